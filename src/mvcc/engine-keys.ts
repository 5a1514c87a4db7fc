// The keys of DESIGN.md 7's table, as latin1 strings. They order like their bytes; numbers in them are big-endian, so
// that they order like numbers. A "row" is a key without its prefix: keyspace byte, then the user's key.

import { assert } from '../base/assert.ts'
import type { Index, Keyspace, RangeId, ReplicaId } from '../base/ids.ts'
import { type EngineKey, type EngineSpan, apartPrefixes } from '../engine/engine.ts'

/** One replica's life on this node: range id, replica id. */
export interface Source {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
}

const numberBytes = 8
const scratch = Buffer.alloc(numberBytes)

/** Keyspace 255 would have no key after it. */
const keyspaceMax = 254

export function encodeRow(keyspace: Keyspace, key: Uint8Array): string {
  assert(keyspace >= 0 && keyspace <= keyspaceMax, `no keyspace: ${keyspace}`)
  return String.fromCharCode(keyspace) + latin1(key)
}

/** The user's key in a row. */
export function decodeRow(row: string): Uint8Array {
  return Buffer.from(row.slice(1), 'latin1')
}

export interface RowSpan {
  readonly start: string
  /** Exclusive. */
  readonly end: string
}

/** An empty `end` is the end of the keyspace, after every key. */
export function rowSpan(keyspace: Keyspace, start: Uint8Array, end: Uint8Array): RowSpan {
  return {
    start: encodeRow(keyspace, start),
    end: end.length === 0 ? String.fromCharCode(keyspace + 1) : encodeRow(keyspace, end),
  }
}

export function prefixSpan(prefix: string, rows?: RowSpan): EngineSpan {
  if (rows !== undefined) return { start: prefix + rows.start, end: prefix + rows.end }
  return {
    start: prefix,
    end: prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1),
  }
}

export const latestPrefix = apartPrefixes.rows
export const tombstonePrefix = 't'
export const runPrefix = apartPrefixes.history
export const lockPrefix = 'k'
export const localPrefix = 'r'
export const markerPrefix = 'nmarker/'
/** Bounds and stamps of each run, apart: reading them at a start must not read the history itself. */
export const runBoundsPrefix = 'nrun/'

export function localKey(rangeId: RangeId, name: string): EngineKey {
  return localPrefix + encodeNumber(rangeId) + name
}

/** What follows 'h' and 'nrun/': source, first index. */
export function encodeRunId(source: Source, firstIndex: Index): string {
  return encodeNumber(source.rangeId) + encodeNumber(source.replicaId) + encodeNumber(firstIndex)
}

export function decodeRunId(id: string): Source & { readonly firstIndex: Index } {
  assert(id.length === 3 * numberBytes, 'a run id has three numbers')
  return {
    rangeId: decodeNumber(id, 0) as RangeId,
    replicaId: decodeNumber(id, numberBytes) as ReplicaId,
    firstIndex: decodeNumber(id, 2 * numberBytes) as Index,
  }
}

export function encodeNumber(value: number): string {
  scratch.writeUInt32BE(Math.floor(value / 0x1_0000_0000), 0)
  scratch.writeUInt32BE(value >>> 0, 4)
  return scratch.toString('latin1')
}

function decodeNumber(text: string, offset: number): number {
  let value = 0
  for (let position = offset; position < offset + numberBytes; position++)
    value = value * 256 + text.charCodeAt(position)
  return value
}

function latin1(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('latin1')
}
