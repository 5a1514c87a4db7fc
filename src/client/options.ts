// What callers may choose, and the defaults. It knows no connection.

import { KvError } from '../base/errors.ts'
import type { Clock } from '../time/clock.ts'
import { systemClock } from '../time/system-clock.ts'
import { type Timestamp, timestampFromUnixMs } from '../time/timestamp.ts'
import { quorate } from '../proto/quorate.js'
import type { ReadOptionsMessage } from './wire.ts'

export interface ClientOptions {
  /** How long an operation may take when its call does not say, in milliseconds. Default 5000. */
  readonly timeoutMs?: number
  /** Ask the cluster for its other nodes. Default true; false stays with the addresses given. */
  readonly discover?: boolean
  /** Connections, each with a stream of its own, that gets are spread over. Default 4. */
  readonly readConnections?: number
  /** Batches of writes under way at a time. Default 1: measured, one big batch beats many. */
  readonly writeBatchesInFlight?: number
  readonly batchOperationsMax?: number
  /** Keys and values in one batch, in bytes. Default 512 KiB, half a log entry; a larger operation travels alone. */
  readonly batchBytesMax?: number
  /** Operations that may wait for a batch; past it `overloaded`. Default 65,536. */
  readonly queueOperationsMax?: number
  /** Bytes that may wait for a batch; past it `overloaded`. Default 64 MiB. */
  readonly queueBytesMax?: number
  /** How long one node may take to answer before another is tried, in milliseconds. Default 1000. */
  readonly attemptTimeoutMs?: number
  /** Limits refused here already, as `too-large`; raise them when the cluster's are higher. */
  readonly keyBytesMax?: number
  readonly valueBytesMax?: number
  readonly requestBytesMax?: number
  /** For tests. */
  readonly clock?: Clock
  /** For tests: uniform in [0, 1). */
  readonly random?: () => number
}

export type Settings = Required<ClientOptions>

const mebibyte = 1024 * 1024

export function resolveSettings(options: ClientOptions): Settings {
  return {
    timeoutMs: options.timeoutMs ?? 5000,
    discover: options.discover ?? true,
    readConnections: options.readConnections ?? 4,
    writeBatchesInFlight: options.writeBatchesInFlight ?? 1,
    batchOperationsMax: options.batchOperationsMax ?? 2048,
    batchBytesMax: options.batchBytesMax ?? mebibyte / 2,
    queueOperationsMax: options.queueOperationsMax ?? 65_536,
    queueBytesMax: options.queueBytesMax ?? 64 * mebibyte,
    attemptTimeoutMs: options.attemptTimeoutMs ?? 1000,
    keyBytesMax: options.keyBytesMax ?? 4096,
    valueBytesMax: options.valueBytesMax ?? mebibyte,
    requestBytesMax: options.requestBytesMax ?? 4 * mebibyte,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  }
}

/** Every call takes these. */
export interface CallOptions {
  /** Gives the call up: KvError `cancelled`. A write that was already sent may still be applied. */
  readonly signal?: AbortSignal
  /** How long the call may take, retries included, in milliseconds. */
  readonly timeoutMs?: number
}

/** An instant: a timestamp of the cluster, a date, or a date as ISO text such as 2026-03-01T12:00:00Z. */
export type Instant = number | Date | string

export type Consistency = 'linearizable' | 'stale' | 'session'

export interface ReadOptions extends CallOptions {
  /**
   * `linearizable` (default): everything acknowledged before the call. `session`: at least what this client has
   * written and seen, from any node. `stale`: whatever the node asked has applied.
   */
  readonly consistency?: Consistency
  /** Read exactly this instant instead; `consistency` is not looked at. */
  readonly at?: Instant
}

export function parseInstant(instant: Instant): Timestamp {
  if (typeof instant === 'number') {
    if (Number.isSafeInteger(instant) && instant > 0) return instant as Timestamp
  } else {
    const unixMs = instant instanceof Date ? instant.getTime() : Date.parse(instant)
    // The last logical moment of that millisecond: everything that carries it is seen.
    if (!Number.isNaN(unixMs)) return timestampFromUnixMs(unixMs, 4095)
  }
  throw new KvError('invalid-argument', `not an instant: ${String(instant)} (a timestamp, a Date or ISO text)`)
}

const linearizable: ReadOptionsMessage = { kind: quorate.v1.ReadKind.READ_KIND_LINEARIZABLE, at: 0 }
const stale: ReadOptionsMessage = { kind: quorate.v1.ReadKind.READ_KIND_STALE, at: 0 }

/** `token`: the timestamp that a session read must not be older than. */
export function readOptionsMessage(options: ReadOptions, token: Timestamp): ReadOptionsMessage {
  if (options.at !== undefined) return { kind: quorate.v1.ReadKind.READ_KIND_AT, at: parseInstant(options.at) }
  switch (options.consistency) {
    case undefined:
    case 'linearizable':
      return linearizable
    case 'stale':
      return stale
    case 'session':
      return { kind: quorate.v1.ReadKind.READ_KIND_SESSION, at: token }
    default:
      throw new KvError('invalid-argument', `unknown consistency: ${String(options.consistency)}`)
  }
}

export function isLinearizable(options: ReadOptionsMessage): boolean {
  return options.kind === quorate.v1.ReadKind.READ_KIND_LINEARIZABLE
}
