// A run: what one source did between two engine flushes, in order (DESIGN.md 7), as one 'h' record that holds each effect with
// the version it replaced. It is encoded as it grows, so that what was replaced need not live on.
//
// Stored: format version, CRC over run id and the rest, first stamp, last stamp, effects, outline, bytes of the outline. An effect
// is flags (what its previous version is), index above the run's first, timestamp, row, and the previous version's record, whole.

import { crc32 } from 'node:zlib'
import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { ByteReader, fixedBytes, varintBytesMax, writeFixed, writeVarint } from './byte-writer.ts'
import { crcWithId } from './crc.ts'
import { encodeRunId, type Source } from './engine-keys.ts'
import { OutlineWriter, RunOutline, rowHashOf } from './run-outline.ts'
import { type Latest, type NewVersion, type Version, decodeVersion, formatVersion, skipOf } from './version.ts'

/** A longer run is ended between two entries: its outline is read at once, and it is collected whole. */
export const runBytesMax = 256 * 1024
/** Most runs are short: there is little to do. One that follows a full one will be full as well, and the last entry goes past that. */
const firstRoomBytes = 16 * 1024
const laterRoomBytes = 1.5 * runBytesMax

export interface RunBounds {
  readonly firstIndex: Index
  readonly lastIndex: Index
  readonly lastStamp: Timestamp
  /** Where in the stored run its outline is. */
  readonly outlineStart: number
  readonly outlineEnd: number
}

/** What replaced what: `previous` is what was there before the effect of `index` at `timestamp`. */
export interface StoredEffect {
  readonly row: string
  readonly index: Index
  readonly timestamp: Timestamp
  readonly previous: Version | null
}

const previousNone = 0
/** 2 is kept for a place in the log; bit 4 for an effect that carries its new value. */
const previousInline = 1
const crcOffset = 1
const bodyOffset = 5
const effectsOffset = bodyOffset + 2 * fixedBytes
const outlineLengthBytes = 4
const boundsBytes = bodyOffset + 4 * fixedBytes

/** What an effect takes beside its row and the version that it replaced, at most. */
const effectHeaderBytesMax = 1 + 8 + 3 * varintBytesMax

export class LiveRun implements RunBounds {
  readonly source: Source
  readonly firstIndex: Index
  lastIndex: Index
  firstStamp: Timestamp
  lastStamp: Timestamp
  /** Known once it is encoded. */
  outlineStart = 0
  outlineEnd = 0
  readonly #outline: OutlineWriter
  #target: Buffer
  /** Of the effects. */
  #end = effectsOffset
  /** What has been read back, by row, oldest first, and how far. */
  readonly #read = new Map<string, StoredEffect[]>()
  #readTo = effectsOffset
  #encoded: Buffer | undefined

  constructor(source: Source, firstIndex: Index, timestamp: Timestamp, isFirst: boolean) {
    this.#outline = new OutlineWriter(firstIndex, timestamp)
    this.#target = Buffer.allocUnsafeSlow(isFirst ? firstRoomBytes : laterRoomBytes)
    this.source = source
    this.firstIndex = firstIndex
    this.lastIndex = firstIndex
    this.firstStamp = timestamp
    this.lastStamp = timestamp
  }

  get bytes(): number {
    return this.#end
  }

  /** `previous`: what the effect replaced. Returns the bytes that it takes. */
  push(from: NewVersion, previous: Latest | undefined): number {
    const { keyspace, key, source, index, timestamp } = from
    assert(this.#encoded === undefined, 'a run grows until it is encoded')
    const recordBytes = previous === undefined ? 0 : previous.end - previous.start
    const bytes = effectHeaderBytesMax + 1 + key.length + recordBytes
    if (this.#end + bytes > this.#target.length) this.#grow(bytes)
    const target = this.#target
    let offset = this.#end
    target[offset++] = previous === undefined ? previousNone : previousInline
    offset = writeVarint(target, index - this.firstIndex, offset)
    offset = writeFixed(target, timestamp, offset)
    offset = writeVarint(target, 1 + key.length, offset)
    const rowStart = offset
    target[offset++] = keyspace
    target.set(key, offset)
    offset += key.length
    const hash = rowHashOf(target, rowStart, offset)
    if (previous !== undefined) {
      offset = writeVarint(target, recordBytes, offset)
      offset += previous.bytes.copy(target, offset, previous.start, previous.end)
    }
    const taken = offset - this.#end
    this.#end = offset
    this.lastIndex = index
    if (timestamp > this.lastStamp) this.lastStamp = timestamp
    if (timestamp < this.firstStamp) this.firstStamp = timestamp
    const isOfSource = previous?.replicaId === source.replicaId && previous.rangeId === source.rangeId
    const replaced = isOfSource ? previous.index : undefined
    return taken + this.#outline.push(taken, index, timestamp, hash, replaced, skipOf(from))
  }

  /** What the effect of `index` at `timestamp` replaced; null: nothing. undefined: there is no such effect here. */
  previous(row: string, index: Index, timestamp: Timestamp): Version | null | undefined {
    const reader = new ByteReader(this.#target.subarray(0, this.#end), this.#readTo)
    while (reader.offset < this.#end) this.#readNext(reader)
    this.#readTo = this.#end
    return effectAt(this.#read.get(row), index, timestamp)?.previous
  }

  #readNext(reader: ByteReader): void {
    const effect = must(readEffect(reader, this.firstIndex), 'what was encoded is whole')
    const known = this.#read.get(effect.row)
    if (known === undefined) this.#read.set(effect.row, [effect])
    else known.push(effect)
  }

  /** As stored; nothing is pushed any more. */
  encode(): Buffer {
    return (this.#encoded ??= this.#encode())
  }

  #encode(): Buffer {
    const runId = encodeRunId(this.source, this.firstIndex)
    const outline = this.#outline.encode(runId)
    this.outlineStart = this.#end
    this.outlineEnd = this.#end + outline.length
    const bytes = this.outlineEnd + outlineLengthBytes
    if (bytes > this.#target.length) this.#grow(bytes - this.#end)
    const record = this.#target.subarray(0, bytes)
    record[0] = formatVersion
    writeFixed(record, this.lastStamp, writeFixed(record, this.firstStamp, bodyOffset))
    record.set(outline, this.outlineStart)
    record.writeUInt32LE(outline.length, this.outlineEnd)
    record.writeUInt32LE(crcWithId(runId, record.subarray(bodyOffset)), crcOffset)
    return record
  }

  /** What was read back holds on to the bytes where they were. */
  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#target.length, this.#end + bytes))
    grown.set(this.#target.subarray(0, this.#end))
    this.#target = grown
  }
}

/** `stored`: the part of the run where its outline is. undefined: the bytes are damaged, or not this run's. */
export function decodeOutline(runId: string, firstIndex: Index, stored: Uint8Array): RunOutline | undefined {
  return RunOutline.decode(runId, firstIndex, effectsOffset, stored)
}

/**
 * `stored`: the part of the run where one effect is, by its outline. It needs no checksum of its own: it must be the effect that
 * is asked for, and of its length, and the version in it has one. undefined: it is damaged.
 */
export function decodeEffect(firstIndex: Index, stored: Uint8Array): StoredEffect | undefined {
  const reader = new ByteReader(stored, 0)
  const effect = readEffect(reader, firstIndex)
  return reader.offset === stored.length ? effect : undefined
}

/** undefined: the bytes are damaged, or not this run's. */
export function boundsOfRun(runId: string, firstIndex: Index, stored: Uint8Array): RunBounds | undefined {
  if (stored.length < effectsOffset + outlineLengthBytes || stored[0] !== formatVersion) return undefined
  const { bytes } = new ByteReader(stored, 0)
  if (crcWithId(runId, bytes.subarray(bodyOffset)) !== bytes.readUInt32LE(crcOffset)) return undefined
  const outlineEnd = bytes.length - outlineLengthBytes
  const outlineStart = outlineEnd - bytes.readUInt32LE(outlineEnd)
  const outline = decodeOutline(runId, firstIndex, bytes.subarray(outlineStart, outlineEnd))
  // The first stamp stands in front, for whoever looks for an instant.
  const lastStamp = new ByteReader(bytes, bodyOffset + fixedBytes).fixed() as Timestamp
  return outline && { firstIndex, lastIndex: outline.lastIndex, lastStamp, outlineStart, outlineEnd }
}

/** The effect that stands next, in bytes that need not be whole; undefined: they are damaged. */
function readEffect(reader: ByteReader, firstIndex: Index): StoredEffect | undefined {
  const flags = reader.byte()
  const index = (firstIndex + reader.varint()) as Index
  if (reader.offset + fixedBytes > reader.bytes.length) return undefined
  const timestamp = reader.fixed() as Timestamp
  const row = reader.view(reader.varint()).toString('latin1')
  if (flags === previousNone) return { row, index, timestamp, previous: null }
  if (flags !== previousInline) return undefined
  const previous = decodeVersion(row, reader.view(reader.varint()))
  return previous && { row, index, timestamp, previous }
}

/** The first effect of `index` at `timestamp`; they ascend in both. */
function effectAt(
  effects: readonly StoredEffect[] | undefined,
  index: Index,
  timestamp: Timestamp,
): StoredEffect | undefined {
  if (effects === undefined) return undefined
  let low = 0
  let high = effects.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const effect = effects[middle] as StoredEffect
    if (effect.index < index || (effect.index === index && effect.timestamp < timestamp)) low = middle + 1
    else high = middle
  }
  const found = effects[low]
  return found?.index === index && found.timestamp === timestamp ? found : undefined
}

/** A run's bounds as stored apart: format version, CRC, last index, last stamp, where the outline is. */
export function encodeRunBounds(bounds: RunBounds): Buffer {
  const target = Buffer.allocUnsafe(boundsBytes)
  target[0] = formatVersion
  let offset = bodyOffset
  for (const value of [bounds.lastIndex, bounds.lastStamp, bounds.outlineStart, bounds.outlineEnd])
    offset = writeFixed(target, value, offset)
  target.writeUInt32LE(crc32(target.subarray(bodyOffset)), crcOffset)
  return target
}

export function decodeRunBounds(firstIndex: Index, stored: Uint8Array): RunBounds | undefined {
  if (stored.length !== boundsBytes || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, bodyOffset)
  if (crc32(reader.bytes.subarray(bodyOffset)) !== reader.bytes.readUInt32LE(crcOffset)) return undefined
  return {
    firstIndex,
    lastIndex: reader.fixed() as Index,
    lastStamp: reader.fixed() as Timestamp,
    outlineStart: reader.fixed(),
    outlineEnd: reader.fixed(),
  }
}
