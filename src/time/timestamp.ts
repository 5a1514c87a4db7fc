// One safe integer orders all versions (DESIGN.md 8): milliseconds since 2024-01-01 x 4096 + a logical counter.
// Ordering is `<`. It serves until 2093.

import { AssertionError } from '../base/assert.ts'
import type { Brand } from '../base/ids.ts'

export type Timestamp = Brand<number, 'Timestamp'>

export const epochUnixMs = Date.UTC(2024, 0, 1)
export const logicalPerMs = 4096
export const timestampZero = 0 as Timestamp
export const timestampMax = Number.MAX_SAFE_INTEGER as Timestamp

export function asTimestamp(value: number): Timestamp {
  // Not by `assert`: its message would be made every time, which costs more than all else here.
  if (!Number.isSafeInteger(value) || value < 0) throw new AssertionError(`not a timestamp: ${value}`)
  return value as Timestamp
}

export function timestampFromUnixMs(unixMs: number, logical = 0): Timestamp {
  return asTimestamp(Math.max(0, Math.floor(unixMs - epochUnixMs)) * logicalPerMs + logical)
}

export function timestampToUnixMs(timestamp: Timestamp): number {
  return Math.floor(timestamp / logicalPerMs) + epochUnixMs
}

/** `timestamp` moved by whole milliseconds, never below zero. */
export function addMs(timestamp: Timestamp, ms: number): Timestamp {
  return asTimestamp(Math.max(0, timestamp + ms * logicalPerMs))
}
