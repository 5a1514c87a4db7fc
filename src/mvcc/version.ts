// One version of one key, in memory and as stored under 'd', 't' and, inline, in 'h'. It knows no engine.
//
// Stored: format version, CRC, source, index and three skips (of this node alone), then what all replicas agree on: flags,
// timestamp, its distance from the created stamp, version count, value. The CRC runs over the key, the agreed part and
// then the part before it, so that its first half is the checksum that replicas compare.

import type { Index, Keyspace, RangeId, ReplicaId } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { crcOf, crcOfText } from './crc.ts'
import { ByteReader, varintBytesMax, writeFixed, writeVarint } from './byte-writer.ts'
import type { Source } from './engine-keys.ts'

export const formatVersion = 1

/** Bit 1 is kept for a value that is a place in the log, the rest for what comes. */
const deletedFlag = 1

export interface Version {
  readonly row: string
  readonly source: Source
  readonly index: Index
  readonly timestamp: Timestamp
  /** When the key came to life; a deletion's is its own timestamp. */
  readonly created: Timestamp
  /** How many versions the key has had since; a deletion's is 0. */
  readonly version: number
  readonly deleted: boolean
  /** The stored form; the value is its end. */
  readonly record: Buffer
  readonly valueOffset: number
}

/** What a write did. */
export interface Effect {
  /** Over what all replicas agree on: key, timestamp, created, version, flags, value. Feeds the running state hash. */
  readonly crc: number
  readonly version: number
  readonly wasAlive: boolean
  /** Of living keys and values. */
  readonly bytesDelta: number
}

/**
 * The newest version of a row as a write sees it: where it stands, and what it says, nothing copied. `skip8`, `skip64`, `skip512`:
 * the indexes of the last versions before it whose counts these divide; 0: none that is of the same source.
 */
export interface Latest {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly index: Index
  readonly skip8: number
  readonly skip64: number
  readonly skip512: number
  readonly timestamp: Timestamp
  readonly created: Timestamp
  readonly version: number
  readonly deleted: boolean
  readonly valueOffset: number
}

export interface NewVersion {
  readonly keyspace: Keyspace
  readonly key: Uint8Array
  readonly source: Source
  readonly index: Index
  readonly timestamp: Timestamp
  readonly created: Timestamp
  readonly version: number
  readonly deleted: boolean
  readonly value: Uint8Array
  /** The row's newest until now. */
  readonly before: Latest | undefined
}

const crcOffset = 1
const localOffset = 5
/** Source, index, skips. */
const localNumbers = 6
/** What the stored form takes beyond the value, at most: the longest local part, then flags, timestamp, distance and count. */
export const versionHeaderBytesMax = localOffset + localNumbers * varintBytesMax + 1 + 8 + 2 * varintBytesMax

/** Writes the stored form to `start` of `target`. `crc`: over what all replicas agree on. */
export function encodeVersion(
  target: Buffer,
  start: number,
  from: NewVersion,
): { readonly end: number; readonly crc: number } {
  let offset = writeVarint(target, from.source.rangeId, start + localOffset)
  offset = writeVarint(target, from.source.replicaId, offset)
  offset = writeVarint(target, from.index, offset)
  const before = beforeOf(from)
  offset = writeSkip(target, from.index, before === undefined ? 0 : skipTo(before, 8, before.skip8), offset)
  offset = writeSkip(target, from.index, before === undefined ? 0 : skipTo(before, 64, before.skip64), offset)
  offset = writeSkip(target, from.index, before === undefined ? 0 : skipTo(before, 512, before.skip512), offset)
  const agreedOffset = offset
  target[offset++] = from.deleted ? deletedFlag : 0
  offset = writeFixed(target, from.timestamp, offset)
  offset = writeVarint(target, from.timestamp - from.created, offset)
  offset = writeVarint(target, from.version, offset)
  target[start] = formatVersion
  target.set(from.value, offset)
  const end = offset + from.value.length
  const metadataCrc = crcOf(target, agreedOffset, offset, crcKey(from.keyspace, from.key))
  const crc = crcOf(target, offset, end, metadataCrc)
  target.writeUInt32LE(crcOf(target, start + localOffset, agreedOffset, crc), start + crcOffset)
  return { end, crc }
}

/** undefined: the bytes are damaged, or not this row's. */
export function decodeVersion(row: string, stored: Uint8Array): Version | undefined {
  if (stored.length < localOffset || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, localOffset)
  const { bytes } = reader
  for (let numbers = localNumbers; numbers > 0; numbers--) reader.varint()
  const agreedOffset = reader.offset
  // Checked before anything is believed: up to here a damaged length only moved the offset, at most past the end.
  if (agreedOffset + 9 > bytes.length) return undefined
  const crc = crcOf(bytes, agreedOffset, bytes.length, crcOfText(row, 1, row.charCodeAt(0) + 1))
  if (crcOf(bytes, localOffset, agreedOffset, crc) !== bytes.readUInt32LE(crcOffset)) return undefined
  const version = readVersion(row, bytes)
  return ((bytes[agreedOffset] ?? 0) & ~deletedFlag) !== 0 || version.valueOffset > bytes.length ? undefined : version
}

/** The version in `record`, which never left this process's memory, or has been checked. */
export function readVersion(row: string, record: Buffer): Version {
  const reader = new ByteReader(record, localOffset)
  const rangeId = reader.varint() as RangeId
  const replicaId = reader.varint() as ReplicaId
  const index = reader.varint() as Index
  for (let skips = 3; skips > 0; skips--) reader.varint()
  const flags = reader.byte()
  const timestamp = reader.fixed() as Timestamp
  const created = (timestamp - reader.varint()) as Timestamp
  const version = reader.varint()
  const deleted = flags === deletedFlag
  const valueOffset = reader.offset
  return {
    row,
    source: { rangeId, replicaId },
    index,
    timestamp,
    created,
    version,
    deleted,
    record,
    valueOffset,
  }
}

/** The version whose stored form stands in `bytes` from `start` to `end`, likewise. */
export function readLatest(bytes: Buffer, start: number, end: number): Latest {
  const reader = new ByteReader(bytes, start + localOffset)
  const rangeId = reader.varint() as RangeId
  const replicaId = reader.varint() as ReplicaId
  const index = reader.varint() as Index
  const skip8 = readSkip(reader, index)
  const skip64 = readSkip(reader, index)
  const skip512 = readSkip(reader, index)
  const deleted = reader.byte() === deletedFlag
  const timestamp = reader.fixed() as Timestamp
  const created = (timestamp - reader.varint()) as Timestamp
  const version = reader.varint()
  const valueOffset = reader.offset
  return {
    bytes,
    start,
    end,
    rangeId,
    replicaId,
    index,
    skip8,
    skip64,
    skip512,
    timestamp,
    created,
    version,
    deleted,
    valueOffset,
  }
}

/**
 * Where a reader of an old instant may go on from the new version, instead of at the one before it: the last before it whose count
 * is a multiple of 512, 64 or 8, the largest of these that divides its own, or else of 8. So it passes by some eight versions of
 * each size, however many there are. 0: there is none.
 */
export function skipOf(from: NewVersion): Index | 0 {
  const before = beforeOf(from)
  if (before === undefined) return 0
  const { version } = from
  if (version % 512 === 0) return skipTo(before, 512, before.skip512)
  return version % 64 === 0 ? skipTo(before, 64, before.skip64) : skipTo(before, 8, before.skip8)
}

/** The last version up to `before` whose count is a multiple of `stride`; `skip`: the last one before that. */
function skipTo(before: Latest, stride: number, skip: number): Index | 0 {
  return before.version % stride === 0 ? before.index : (skip as Index | 0)
}

/** What the skips are taken from: indexes of another source are of other runs. */
function beforeOf({ before, source }: NewVersion): Latest | undefined {
  return before?.rangeId === source.rangeId && before.replicaId === source.replicaId ? before : undefined
}

/** One to the same entry is none: a skip leads back, or nowhere. */
function writeSkip(target: Buffer, index: Index, skip: Index | 0, offset: number): number {
  return writeVarint(target, skip === 0 ? 0 : index - skip, offset)
}

function readSkip(reader: ByteReader, index: Index): number {
  const distance = reader.varint()
  return distance === 0 ? 0 : index - distance
}

/** The keyspace is part of the key, so that a record moved to another keyspace does not pass. */
function crcKey(keyspace: Keyspace, key: Uint8Array): number {
  return crcOf(key, 0, key.length, keyspace + 1)
}
