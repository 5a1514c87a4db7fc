// Keys and values as callers give them, and as the wire wants them. Text is UTF-8.

import { KvError } from '../base/errors.ts'

/** A key or a value: text (UTF-8) or bytes. Bytes are not copied: leave them alone until the call is answered. */
export type Bytes = string | Uint8Array

export const noBytes: Uint8Array = new Uint8Array(0)

export function toBytes(value: Bytes): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value
}

/** A copy: decoded bytes are views of a whole response, which they would keep alive. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? noBytes : Buffer.from(bytes)
}

const decoder = new TextDecoder()

/** Bytes as text; malformed UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** The first key after every key that begins with `prefix`; empty, the end of the keyspace, when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return noBytes
  const end = Uint8Array.from(prefix.subarray(0, length))
  end[length - 1] = (end[length - 1] ?? 0) + 1
  return end
}

/** The smallest key above `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1)
  after.set(key)
  return after
}

/** Below zero when `a` sorts before `b`, as the cluster sorts: by unsigned bytes. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

/** What a span may be given as: `prefix` alone, or `start` (inclusive) and `end` (exclusive), either of them open. */
export interface SpanOptions {
  readonly start?: Bytes
  readonly end?: Bytes
  readonly prefix?: Bytes
}

export interface Span {
  readonly start: Uint8Array
  /** Exclusive; empty: the end of the keyspace. */
  readonly end: Uint8Array
}

/** `prefix` together with `start` or `end` narrows it: what lies in both. Throws KvError `invalid-argument`. */
export function parseSpan(options: SpanOptions): Span {
  let start = options.start === undefined ? noBytes : toBytes(options.start)
  let end = options.end === undefined ? noBytes : toBytes(options.end)
  if (options.prefix !== undefined) {
    const prefix = toBytes(options.prefix)
    const prefixStop = prefixEnd(prefix)
    if (compareBytes(prefix, start) > 0) start = prefix
    if (end.length === 0 || (prefixStop.length > 0 && compareBytes(prefixStop, end) < 0)) end = prefixStop
  }
  if (end.length > 0 && compareBytes(start, end) > 0) {
    throw new KvError('invalid-argument', 'the span ends before it starts')
  }
  return { start, end }
}
