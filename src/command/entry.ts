// What a log entry carries: a fixed header, then the requests' bytes as their clients sent them (DESIGN.md 3). The header
// alone tells the stamps, so that a node can move its clock past an entry without decoding it.
//
//   0 format  1 kind  2 command version u16  4 requests u32  8 operations u32  12 generation f64  20 first stamp f64
//   28 closed stamp f64  36 (length u32, WriteBatch bytes)*, for `threshold` the new threshold f64, for `checksum` nothing

import { assert } from '../base/assert.ts'
import { type Timestamp, asTimestamp } from '../time/timestamp.ts'

const formatVersion = 1
const headerBytes = 36

/** The newest command version that this program applies, and the oldest. */
export const commandVersionMax = 1
export const commandVersionMin = 1

export type EntryCommand =
  | { readonly kind: 'batch'; readonly header: EntryHeader; readonly requests: readonly Uint8Array[] }
  | { readonly kind: 'threshold'; readonly header: EntryHeader; readonly threshold: Timestamp }
  /** Changes nothing: every replica takes a checksum of all its rows as they are here. */
  | { readonly kind: 'checksum'; readonly header: EntryHeader }

export interface EntryHeader {
  readonly commandVersion: number
  readonly operations: number
  readonly generation: number
  readonly firstTimestamp: Timestamp
  readonly closed: Timestamp
}

const kindBatch = 1
const kindThreshold = 2
const kindChecksum = 3

export interface BatchEntry {
  readonly commandVersion: number
  readonly generation: number
  /** Of the first operation; the others follow, one by one. */
  readonly firstTimestamp: Timestamp
  readonly operations: number
  readonly requests: readonly Uint8Array[]
}

export function encodeBatchEntry(entry: BatchEntry): Uint8Array {
  let size = headerBytes
  for (const request of entry.requests) size += 4 + request.length
  const bytes = Buffer.allocUnsafeSlow(size)
  writeHeader(bytes, kindBatch, entry, entry.requests.length)
  let at = headerBytes
  for (const request of entry.requests) {
    bytes.writeUInt32BE(request.length, at)
    bytes.set(request, at + 4)
    at += 4 + request.length
  }
  return bytes
}

export function encodeThresholdEntry(
  entry: Omit<BatchEntry, 'requests' | 'operations'> & { readonly threshold: Timestamp },
): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(headerBytes + 8)
  writeHeader(bytes, kindThreshold, { ...entry, operations: 0 }, 0)
  bytes.writeDoubleBE(entry.threshold, headerBytes)
  return bytes
}

export function encodeChecksumEntry(entry: Omit<BatchEntry, 'requests' | 'operations'>): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(headerBytes)
  writeHeader(bytes, kindChecksum, { ...entry, operations: 0 }, 0)
  return bytes
}

/** Throws on what this program does not know: the replica stops rather than guess. */
export function decodeEntry(data: Uint8Array): EntryCommand {
  const bytes = view(data)
  assert(bytes.length >= headerBytes && bytes[0] === formatVersion, `entry format ${bytes[0]} is not known here`)
  const commandVersion = bytes.readUInt16BE(2)
  assert(
    commandVersion >= commandVersionMin && commandVersion <= commandVersionMax,
    `command version ${commandVersion} is not known here`,
  )
  const header: EntryHeader = {
    commandVersion,
    operations: bytes.readUInt32BE(8),
    generation: bytes.readDoubleBE(12),
    firstTimestamp: asTimestamp(bytes.readDoubleBE(20)),
    closed: asTimestamp(bytes.readDoubleBE(28)),
  }
  if (bytes[1] === kindThreshold)
    return { kind: 'threshold', header, threshold: asTimestamp(bytes.readDoubleBE(headerBytes)) }
  if (bytes[1] === kindChecksum) return { kind: 'checksum', header }
  assert(bytes[1] === kindBatch, `command kind ${bytes[1]} is not known here`)
  const requests: Uint8Array[] = []
  const count = bytes.readUInt32BE(4)
  let at = headerBytes
  for (let number = 0; number < count; number++) {
    const length = bytes.readUInt32BE(at)
    requests.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  assert(at === bytes.length, 'an entry ends with its last request')
  return { kind: 'batch', header, requests }
}

/** The last stamp of an entry, from its header alone; undefined: no entry of ours, which applying will say. */
export function lastStampOf(data: Uint8Array): Timestamp | undefined {
  if (data.length < headerBytes) return undefined
  const stamp = view(data).readDoubleBE(28)
  return Number.isSafeInteger(stamp) && stamp >= 0 ? asTimestamp(stamp) : undefined
}

/** An entry without operations takes one stamp. */
export function stampsOf(operations: number): number {
  return Math.max(1, operations)
}

function writeHeader(bytes: Buffer, kind: number, entry: Omit<BatchEntry, 'requests'>, requests: number): void {
  bytes[0] = formatVersion
  bytes[1] = kind
  bytes.writeUInt16BE(entry.commandVersion, 2)
  bytes.writeUInt32BE(requests, 4)
  bytes.writeUInt32BE(entry.operations, 8)
  bytes.writeDoubleBE(entry.generation, 12)
  bytes.writeDoubleBE(entry.firstTimestamp, 20)
  bytes.writeDoubleBE(entry.firstTimestamp + stampsOf(entry.operations) - 1, 28)
}

function view(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
