// A run: what one source did between two engine flushes, in order (DESIGN.md 7), as one 'h' record that holds each effect with
// the version it replaced. It is encoded as it grows, so that what was replaced need not live on.
//
// Stored: format version, CRC over run id and the rest, first stamp, last stamp, count; an effect is flags (what its
// previous version is), index above the run's first, timestamp, row, and the previous version's own record, whole.

import { crc32 } from 'node:zlib'
import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { ByteReader, fixedBytes, varintBytesMax, writeFixed, writeVarint } from './byte-writer.ts'
import { crcOf, crcOfText } from './crc.ts'
import { encodeRunId, type Source } from './engine-keys.ts'
import { type NewVersion, type Version, decodeVersion, formatVersion } from './version.ts'

/** A longer run is ended between two entries: reading one effect reads its whole record. */
export const runBytesMax = 256 * 1024
/** Most runs are short: there is little to do. One that follows a full one will be full as well, and the last entry goes past that. */
const firstRoomBytes = 16 * 1024
const laterRoomBytes = 1.5 * runBytesMax

export interface RunBounds {
  readonly firstIndex: Index
  readonly lastIndex: Index
  readonly lastStamp: Timestamp
}

/** What replaced what: `previous` is what was there before the effect of `index` at `timestamp`. */
export interface StoredEffect {
  readonly row: string
  readonly index: Index
  readonly timestamp: Timestamp
  readonly previous: Version | null
}

/** A record, from `start` to `end` of `bytes`. */
export interface RecordBytes {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

const previousNone = 0
/** 2 is kept for a place in the log; bit 4 for an effect that carries its new value. */
const previousInline = 1
const nothing = new Uint8Array(0)
const crcOffset = 1
const bodyOffset = 5

/** What an effect takes beside its row and the version that it replaced, at most. */
const effectHeaderBytesMax = 1 + 8 + 3 * varintBytesMax
/** What stands before the effects, at most: kept free, since how many they are is known at the end. */
const headBytesMax = bodyOffset + 16 + varintBytesMax

export class LiveRun {
  readonly source: Source
  readonly firstIndex: Index
  lastIndex: Index
  firstStamp: Timestamp
  lastStamp: Timestamp
  #count = 0
  #target: Buffer
  #end = headBytesMax
  /** What has been read back, by row, oldest first, and how far. */
  readonly #read = new Map<string, StoredEffect[]>()
  #readTo = headBytesMax
  #encoded: Buffer | undefined

  constructor(source: Source, firstIndex: Index, timestamp: Timestamp, isFirst: boolean) {
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

  /** `previous`: the record of what the effect replaced, and where in its bytes. Returns the bytes that it takes. */
  push({ keyspace, key, index, timestamp }: NewVersion, previous: RecordBytes | undefined): number {
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
    target[offset++] = keyspace
    target.set(key, offset)
    offset += key.length
    if (previous !== undefined) {
      offset = writeVarint(target, recordBytes, offset)
      offset += previous.bytes.copy(target, offset, previous.start, previous.end)
    }
    const taken = offset - this.#end
    this.#end = offset
    this.#count++
    this.lastIndex = index
    if (timestamp > this.lastStamp) this.lastStamp = timestamp
    if (timestamp < this.firstStamp) this.firstStamp = timestamp
    return taken
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
    const head = Buffer.allocUnsafe(headBytesMax)
    head[0] = formatVersion
    let offset = writeFixed(head, this.firstStamp, bodyOffset)
    offset = writeFixed(head, this.lastStamp, offset)
    offset = writeVarint(head, this.#count, offset)
    const start = headBytesMax - offset
    this.#target.set(head.subarray(0, offset), start)
    const record = this.#target.subarray(start, this.#end)
    record.writeUInt32LE(runCrc(encodeRunId(this.source, this.firstIndex), record), crcOffset)
    return record
  }

  /** What was read back holds on to the bytes where they were. */
  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#target.length, this.#end + bytes))
    grown.set(this.#target.subarray(0, this.#end))
    this.#target = grown
  }
}

/** Bytes of a stored run; undefined: they are not there. */
export type ReadRunPart = (start: number, end: number) => Uint8Array | undefined

/**
 * Where each effect of a stored run is: a thirtieth of the run, so that many stay in memory and a step along a chain reads one
 * effect. Made when the run has been read and checked. What is read later needs no checksum of its own: it must be the effect
 * that was asked for, and of its length, and the version in it has one.
 */
export class RunOutline {
  readonly #firstIndex: Index
  /** Of each effect, in order, and then the run's end. */
  readonly #offsets: Uint32Array
  /** Above the run's first. */
  readonly #indexes: Uint32Array
  /** Of row and timestamp: one entry may have many effects. */
  readonly #hashes: Uint32Array

  /** `reader` stands at the count of effects, in bytes whose checksum holds. */
  constructor(firstIndex: Index, reader: ByteReader) {
    const count = reader.varint()
    this.#firstIndex = firstIndex
    this.#offsets = new Uint32Array(count + 1)
    this.#indexes = new Uint32Array(count)
    this.#hashes = new Uint32Array(count)
    for (let at = 0; at < count; at++) {
      this.#offsets[at] = reader.offset
      const { index, timestamp, rowStart, rowEnd } = skipEffect(reader)
      this.#indexes[at] = index
      this.#hashes[at] = crcOf(reader.bytes, rowStart, rowEnd, timestamp >>> 0)
    }
    this.#offsets[count] = reader.offset
  }

  get bytes(): number {
    return this.#offsets.length * 12
  }

  /** What the effect of `index` at `timestamp` replaced; null: nothing. undefined: there is no such effect here, or it is damaged. */
  previous(row: string, index: Index, timestamp: Timestamp, readPart: ReadRunPart): Version | null | undefined {
    const wanted = index - this.#firstIndex
    const hash = crcOfText(row, 0, timestamp >>> 0)
    for (let at = firstAtOrAfter(this.#indexes, wanted); this.#indexes[at] === wanted; at++) {
      if (this.#hashes[at] !== hash) continue
      const bytes = readPart(this.#offsets[at] ?? 0, this.#offsets[at + 1] ?? 0)
      const reader = new ByteReader(bytes ?? nothing, 0)
      const effect = readEffect(reader, this.#firstIndex)
      if (effect === undefined || reader.offset !== reader.bytes.length) return undefined
      if (effect.index === index && effect.timestamp === timestamp && effect.row === row) return effect.previous
    }
    return undefined
  }
}

/** undefined: the bytes are damaged, or not this run's. */
export function outlineRun(runId: string, firstIndex: Index, stored: Uint8Array): RunOutline | undefined {
  const checked = checkRun(runId, stored)
  return checked && new RunOutline(firstIndex, checked.reader)
}

/** undefined: the bytes are damaged, or not this run's. */
export function boundsOfRun(runId: string, firstIndex: Index, stored: Uint8Array): RunBounds | undefined {
  const checked = checkRun(runId, stored)
  if (checked === undefined) return undefined
  const { reader, lastStamp } = checked
  let last = 0
  for (let left = reader.varint(); left > 0; left--) last = skipEffect(reader).index
  return { firstIndex, lastIndex: (firstIndex + last) as Index, lastStamp }
}

/** `reader` stands at the count of effects. What a checksum holds for is whole. */
function checkRun(
  runId: string,
  stored: Uint8Array,
): { readonly reader: ByteReader; readonly lastStamp: Timestamp } | undefined {
  if (stored.length < bodyOffset + 17 || stored[0] !== formatVersion) return undefined
  const reader = new ByteReader(stored, bodyOffset)
  if (runCrc(runId, reader.bytes) !== reader.bytes.readUInt32LE(crcOffset)) return undefined
  // The first stamp stands in front, for whoever looks for an instant.
  reader.fixed()
  return { reader, lastStamp: reader.fixed() as Timestamp }
}

/** What an effect says of itself; `index`: above the run's first. */
interface EffectHead {
  readonly index: number
  readonly timestamp: number
  readonly rowStart: number
  readonly rowEnd: number
}

function skipEffect(reader: ByteReader): EffectHead {
  const flags = reader.byte()
  const index = reader.varint()
  const timestamp = reader.fixed()
  const rowBytes = reader.varint()
  const rowStart = reader.offset
  reader.skip(rowBytes)
  if (flags === previousInline) reader.skip(reader.varint())
  return { index, timestamp, rowStart, rowEnd: rowStart + rowBytes }
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

function firstAtOrAfter(indexes: Uint32Array, index: number): number {
  let low = 0
  let high = indexes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((indexes[middle] ?? 0) < index) low = middle + 1
    else high = middle
  }
  return low
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
