// A run: what one source did between two engine flushes, in order (DESIGN.md 7). In memory it is a list of versions
// that point at their predecessors; stored, one 'h' record that holds each effect with the version it replaced.
//
// Stored: format version, CRC over run id and the rest, first stamp, last stamp, count; an effect is flags (what its
// previous version is), index above the run's first, timestamp, row, and the previous version's own record, whole.

import { crc32 } from 'node:zlib'
import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { ByteReader, varintBytesMax, writeFixed, writeVarint } from './byte-writer.ts'
import { encodeRunId, type Source } from './engine-keys.ts'
import { decodeVersion, formatVersion, type Version } from './version.ts'

/** A longer run is ended between two entries: reading one effect reads its whole record. */
export const runBytesMax = 256 * 1024

export interface RunBounds {
  readonly firstIndex: Index
  readonly lastIndex: Index
  readonly lastStamp: Timestamp
}

export class LiveRun {
  readonly source: Source
  readonly firstIndex: Index
  readonly effects: Version[] = []
  lastIndex: Index
  firstStamp: Timestamp
  lastStamp: Timestamp
  bytes = 0

  constructor(source: Source, firstIndex: Index, timestamp: Timestamp) {
    this.source = source
    this.firstIndex = firstIndex
    this.lastIndex = firstIndex
    this.firstStamp = timestamp
    this.lastStamp = timestamp
  }

  /** Returns the bytes that the effect will take. */
  push(version: Version): number {
    this.effects.push(version)
    this.lastIndex = version.index
    if (version.timestamp > this.lastStamp) this.lastStamp = version.timestamp
    if (version.timestamp < this.firstStamp) this.firstStamp = version.timestamp
    const bytes = effectBytesMax(version)
    this.bytes += bytes
    return bytes
  }
}

/** What replaced what: `previous` is what was there before the effect of `index` at `timestamp`. */
export interface StoredEffect {
  readonly index: Index
  readonly timestamp: Timestamp
  readonly previous: Version | null
}

export interface DecodedRun {
  readonly firstStamp: Timestamp
  readonly lastStamp: Timestamp
  readonly lastIndex: Index
  readonly bytes: number
  /** By row, oldest first. */
  readonly effects: ReadonlyMap<string, readonly StoredEffect[]>
}

const previousNone = 0
/** 2 is kept for a place in the log; bit 4 for an effect that carries its new value. */
const previousInline = 1
const crcOffset = 1
const bodyOffset = 5

function effectBytesMax(version: Version): number {
  return 1 + 8 + 3 * varintBytesMax + version.row.length + (version.previous?.record.length ?? 0)
}

export function encodeRun(run: LiveRun): Buffer {
  const target = Buffer.allocUnsafe(bodyOffset + 16 + varintBytesMax + run.bytes)
  target[0] = formatVersion
  let offset = writeFixed(target, run.firstStamp, bodyOffset)
  offset = writeFixed(target, run.lastStamp, offset)
  offset = writeVarint(target, run.effects.length, offset)
  for (const effect of run.effects) {
    const { previous } = effect
    target[offset++] = previous ? previousInline : previousNone
    offset = writeVarint(target, effect.index - run.firstIndex, offset)
    offset = writeFixed(target, effect.timestamp, offset)
    offset = writeVarint(target, effect.row.length, offset)
    offset += target.write(effect.row, offset, 'latin1')
    if (previous) {
      offset = writeVarint(target, previous.record.length, offset)
      target.set(previous.record, offset)
      offset += previous.record.length
    }
  }
  const record = target.subarray(0, offset)
  record.writeUInt32LE(runCrc(encodeRunId(run.source, run.firstIndex), record), crcOffset)
  return record
}

/** undefined: the bytes are damaged, or not this run's. */
export function decodeRun(runId: string, firstIndex: Index, stored: Uint8Array): DecodedRun | undefined {
  if (stored.length < bodyOffset + 17 || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, bodyOffset)
  if (runCrc(runId, reader.bytes) !== reader.bytes.readUInt32LE(crcOffset)) return undefined
  const firstStamp = reader.fixed() as Timestamp
  const lastStamp = reader.fixed() as Timestamp
  const effects = new Map<string, StoredEffect[]>()
  let lastIndex = firstIndex
  for (let left = reader.varint(); left > 0; left--) {
    const flags = reader.byte()
    const index = (firstIndex + reader.varint()) as Index
    const timestamp = reader.fixed() as Timestamp
    const rowLength = reader.varint()
    const row = reader.view(rowLength).toString('latin1')
    let previous: Version | null = null
    if (flags === previousInline) {
      const decoded = decodeVersion(row, reader.view(reader.varint()))
      if (decoded === undefined) return undefined
      previous = decoded
    } else if (flags !== previousNone) return undefined
    lastIndex = index
    const known = effects.get(row)
    if (known === undefined) effects.set(row, [{ index, timestamp, previous }])
    else known.push({ index, timestamp, previous })
  }
  return { firstStamp, lastStamp, lastIndex, bytes: stored.length, effects }
}

function runCrc(runId: string, record: Buffer): number {
  return crc32(record.subarray(bodyOffset), crc32(Buffer.from(runId, 'latin1')))
}

/** A run's bounds as stored apart: format version, last index, last stamp. */
export function encodeRunBounds(bounds: RunBounds): Buffer {
  const target = Buffer.allocUnsafe(21)
  target[0] = formatVersion
  writeFixed(target, bounds.lastIndex, 5)
  writeFixed(target, bounds.lastStamp, 13)
  target.writeUInt32LE(crc32(target.subarray(5)), 1)
  return target
}

export function decodeRunBounds(firstIndex: Index, stored: Uint8Array): RunBounds | undefined {
  if (stored.length !== 21 || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, 5)
  if (crc32(reader.bytes.subarray(5)) !== reader.bytes.readUInt32LE(1)) return undefined
  return {
    firstIndex,
    lastIndex: reader.fixed() as Index,
    lastStamp: reader.fixed() as Timestamp,
  }
}
