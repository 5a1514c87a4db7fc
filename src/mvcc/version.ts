// One version of one key, in memory and as stored under 'd', 't' and, inline, in 'h'. It knows no engine.
//
// Stored: format version, CRC, source and index (of this node alone), then what all replicas agree on: flags,
// timestamp, its distance from the created stamp, version count, value. The CRC runs over the key, the agreed part and
// then the part before it, so that its first half is the checksum that replicas compare.

import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { crcOf } from './crc.ts'
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
  /** Over what all replicas agree on. */
  readonly crc: number
  /** The stored form; the value is its end. */
  readonly record: Buffer
  readonly valueOffset: number
  /** null: there was none. undefined: it is in the history record of this version's run. */
  previous: Version | null | undefined
  /** What the engine holds for the row, as long as this version waits in the write buffer. */
  stored: Stored
}

export type Stored = 'nothing' | 'latest' | 'tombstone'

export interface NewVersion {
  readonly row: string
  readonly keyBytes: Uint8Array
  readonly source: Source
  readonly index: Index
  readonly timestamp: Timestamp
  readonly created: Timestamp
  readonly version: number
  readonly deleted: boolean
  readonly value: Uint8Array
  readonly previous: Version | null | undefined
  readonly stored: Stored
}

const crcOffset = 1
const localOffset = 5
/** The longest local part, then flags, timestamp, distance and count. */
const headerBytesMax = localOffset + 3 * varintBytesMax + 1 + 8 + 2 * varintBytesMax
const header = Buffer.alloc(headerBytesMax)

/** Copies the value: it may be a view of a larger buffer. */
export function createVersion(from: NewVersion): Version {
  let offset = writeVarint(header, from.source.rangeId, localOffset)
  offset = writeVarint(header, from.source.replicaId, offset)
  offset = writeVarint(header, from.index, offset)
  const agreedOffset = offset
  header[offset++] = from.deleted ? deletedFlag : 0
  offset = writeFixed(header, from.timestamp, offset)
  offset = writeVarint(header, from.timestamp - from.created, offset)
  offset = writeVarint(header, from.version, offset)
  header[0] = formatVersion

  const record = Buffer.allocUnsafe(offset + from.value.length)
  record.set(from.value, offset)
  const metadataCrc = crcOf(header, agreedOffset, offset, crcKey(from.keyBytes, from.row))
  const crc = crcOf(from.value, 0, from.value.length, metadataCrc)
  header.writeUInt32LE(crcOf(header, localOffset, agreedOffset, crc), crcOffset)
  for (let at = 0; at < offset; at++) record[at] = header[at] ?? 0
  return {
    row: from.row,
    source: from.source,
    index: from.index,
    timestamp: from.timestamp,
    created: from.created,
    version: from.version,
    deleted: from.deleted,
    crc,
    record,
    valueOffset: offset,
    previous: from.previous,
    stored: from.stored,
  }
}

/** undefined: the bytes are damaged, or not this row's. */
export function decodeVersion(row: string, stored: Uint8Array): Version | undefined {
  if (stored.length < localOffset || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, localOffset)
  const { bytes } = reader
  const rangeId = reader.varint()
  const replicaId = reader.varint()
  const index = reader.varint()
  const agreedOffset = reader.offset
  // Checked before anything is believed: up to here a damaged length only moved the offset, at most past the end.
  if (agreedOffset + 9 > bytes.length) return undefined
  const crc = crcOf(bytes, agreedOffset, bytes.length, crcKey(Buffer.from(row.slice(1), 'latin1'), row))
  if (crcOf(bytes, localOffset, agreedOffset, crc) !== bytes.readUInt32LE(crcOffset)) return undefined
  const flags = reader.byte()
  const timestamp = reader.fixed()
  const created = timestamp - reader.varint()
  const version = reader.varint()
  if ((flags & ~deletedFlag) !== 0 || reader.offset > bytes.length) return undefined
  return {
    row,
    source: { rangeId, replicaId } as Source,
    index: index as Index,
    timestamp: timestamp as Timestamp,
    created: created as Timestamp,
    version,
    deleted: flags === deletedFlag,
    crc,
    record: bytes,
    valueOffset: reader.offset,
    previous: undefined,
    stored: 'nothing',
  }
}

export function valueBytes(version: Version): number {
  return version.record.length - version.valueOffset
}

/** The keyspace is part of the key, so that a record moved to another keyspace does not pass. */
function crcKey(keyBytes: Uint8Array, row: string): number {
  return crcOf(keyBytes, 0, keyBytes.length, row.charCodeAt(0) + 1)
}
