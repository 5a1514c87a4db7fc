// What readers ask of the version store, and what they get. A read that goes on for long gives way to others, and asks now and
// then whether its caller still waits.

import { KvError } from '../base/errors.ts'
import type { Keyspace } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { KeyRecord } from './key-record.ts'

export interface ScanRequest {
  readonly keyspace: Keyspace
  readonly start: Uint8Array
  /** Exclusive; empty is the end of the keyspace. */
  readonly end: Uint8Array
  readonly at: Timestamp
  readonly limit: number
  readonly bytesMax: number
  readonly reverse: boolean
  readonly keysOnly: boolean
}

/** Asked now and then while a read goes on: whether its caller still waits for it. */
export type IsWanted = () => boolean

export interface VisitOptions {
  /** Asked before each version that is found: no more is wanted for this page, be it the first. */
  readonly isEnough?: () => boolean
  readonly isWanted?: IsWanted
}

export interface HistoryRequest {
  /** Only versions below it. */
  readonly before: Timestamp
  readonly limit: number
  /** Of values; one always fits. */
  readonly bytesMax: number
  readonly isWanted?: IsWanted
}

export interface HistoryPage {
  readonly items: readonly KeyRecord[]
  /** There are older ones. */
  readonly more: boolean
}

export interface ScanPage {
  readonly items: readonly KeyRecord[]
  /** Where to go on: the next start, or the next end when reverse. undefined: nothing is left. */
  readonly resume: Uint8Array | undefined
}

/** Throws when it is not. */
export function checkWanted(isWanted: IsWanted | undefined): void {
  if (isWanted?.() === false)
    throw new KvError('unavailable', 'the read was given up: its caller has gone, or its time is up')
}
