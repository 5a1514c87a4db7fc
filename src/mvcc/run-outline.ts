// The outline of a run: where each of its effects is, which effect wrote what it replaced, and one that wrote the row long before. It
// is stored behind the effects, a twentieth of them, and stays in memory at a tenth, so that a reader of an old instant goes back
// through a key's versions without reading them, passes over most, and reads the one effect in which it ends.
//
// Stored: CRC over run id and the rest, count, timestamp of the first effect; then of each effect its bytes, its index above the
// one before, its timestamp beside the one before, a hash of its row, how far above what it replaced it is, and how far above the
// version that its skip leads to.

import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { ByteReader, fixedBytes, varintBytesMax, writeFixed, writeVarint } from './byte-writer.ts'
import { crcOf, crcOfText, crcWithId } from './crc.ts'

const countOffset = 4
const firstStampOffset = 8
const entriesOffset = firstStampOffset + fixedBytes
const hashBytes = 4
const entryBytesMax = 5 * varintBytesMax + hashBytes
/** Most runs are short. */
const firstRoomBytes = 1024
/** What an effect takes in memory. */
const keptBytes = 28
const linkMax = 0xffff_ffff

/** Of a row as it is stored: keyspace, then key. */
export function rowHashOf(bytes: Uint8Array, start: number, end: number): number {
  return crcOf(bytes, start, end, 0)
}

export function rowHash(row: string): number {
  return crcOfText(row, 0, 0)
}

export class OutlineWriter {
  #target = Buffer.allocUnsafeSlow(firstRoomBytes)
  #end = entriesOffset
  #count = 0
  #index: Index
  #timestamp: Timestamp

  constructor(firstIndex: Index, timestamp: Timestamp) {
    this.#index = firstIndex
    this.#timestamp = timestamp
    writeFixed(this.#target, timestamp, firstStampOffset)
  }

  /**
   * `replaced`: the index of what it replaced, where that is of the same source; `skip`: of an earlier version of its row, 0:
   * none. Returns the bytes that it takes.
   */
  push(
    bytes: number,
    index: Index,
    timestamp: Timestamp,
    hash: number,
    replaced: Index | undefined,
    skip: Index | 0,
  ): number {
    if (this.#end + entryBytesMax > this.#target.length) this.#grow()
    const target = this.#target
    const stampDelta = timestamp - this.#timestamp
    let offset = writeVarint(target, bytes, this.#end)
    offset = writeVarint(target, index - this.#index, offset)
    offset = writeVarint(target, stampDelta < 0 ? -2 * stampDelta - 1 : 2 * stampDelta, offset)
    offset = target.writeUInt32LE(hash, offset)
    offset = writeVarint(target, replaced === undefined ? 0 : index - replaced + 1, offset)
    offset = writeVarint(target, skip === 0 ? 0 : index - skip, offset)
    const taken = offset - this.#end
    this.#end = offset
    this.#index = index
    this.#timestamp = timestamp
    this.#count++
    return taken
  }

  /** As stored; nothing is pushed any more. */
  encode(runId: string): Buffer {
    this.#target.writeUInt32LE(this.#count, countOffset)
    const stored = this.#target.subarray(0, this.#end)
    stored.writeUInt32LE(crcWithId(runId, stored.subarray(countOffset)))
    return stored
  }

  #grow(): void {
    const grown = Buffer.allocUnsafeSlow(2 * this.#target.length)
    grown.set(this.#target)
    this.#target = grown
  }
}

/** Positions count the effects of the run from 0. */
export class RunOutline {
  readonly #firstIndex: Index
  /** Of each effect in the run, and then the end of the last. */
  readonly #offsets: Uint32Array
  /** Above the run's first. */
  readonly #indexes: Uint32Array
  readonly #hashes: Uint32Array
  /** How far above what it replaced, and one more; 0: not known. */
  readonly #links: Uint32Array
  /** How far above the version that its skip leads to; 0: nowhere. */
  readonly #skips: Uint32Array
  readonly #timestamps: Float64Array

  /** `reader` stands at the count, in bytes whose checksum holds; `offset`: of the first effect. */
  private constructor(firstIndex: Index, offset: number, reader: ByteReader) {
    const count = reader.bytes.readUInt32LE(reader.offset)
    reader.skip(firstStampOffset - countOffset)
    this.#firstIndex = firstIndex
    this.#offsets = new Uint32Array(count + 1)
    this.#indexes = new Uint32Array(count)
    this.#hashes = new Uint32Array(count)
    this.#links = new Uint32Array(count)
    this.#skips = new Uint32Array(count)
    this.#timestamps = new Float64Array(count)
    let index = 0
    let timestamp = reader.fixed()
    for (let at = 0; at < count; at++) {
      this.#offsets[at] = offset
      offset += reader.varint()
      this.#indexes[at] = index += reader.varint()
      const stampDelta = reader.varint()
      this.#timestamps[at] = timestamp += stampDelta % 2 === 1 ? -(stampDelta + 1) / 2 : stampDelta / 2
      this.#hashes[at] = reader.bytes.readUInt32LE(reader.offset)
      reader.skip(hashBytes)
      const link = reader.varint()
      this.#links[at] = link <= linkMax ? link : 0
      const skip = reader.varint()
      this.#skips[at] = skip <= linkMax ? skip : 0
    }
    this.#offsets[count] = offset
  }

  /** undefined: the bytes are damaged, or not this run's. */
  static decode(runId: string, firstIndex: Index, offset: number, stored: Uint8Array): RunOutline | undefined {
    if (stored.length < entriesOffset) return undefined
    const reader = new ByteReader(stored, countOffset)
    if (crcWithId(runId, reader.bytes.subarray(countOffset)) !== reader.bytes.readUInt32LE(0)) return undefined
    return new RunOutline(firstIndex, offset, reader)
  }

  /** In memory. */
  get bytes(): number {
    return this.#indexes.length * keptBytes
  }

  get lastIndex(): Index {
    return (this.#firstIndex + (this.#indexes.at(-1) ?? 0)) as Index
  }

  /** The effects of `index` whose row has this hash. */
  positions(index: Index, hash: number): number[] {
    const wanted = index - this.#firstIndex
    const found: number[] = []
    for (let at = firstAtOrAfter(this.#indexes, wanted); this.#indexes[at] === wanted; at++)
      if (this.#hashes[at] === hash) found.push(at)
    return found
  }

  /** The effect of `index` whose row has this hash; undefined: there is none, or more: one entry may write a row twice. */
  onlyPosition(index: Index, hash: number): number | undefined {
    const found = this.positions(index, hash)
    return found.length === 1 ? found[0] : undefined
  }

  timestamp(position: number): Timestamp {
    return this.#timestamps[position] as Timestamp
  }

  /** The index of what the effect replaced; undefined: it replaced nothing, or what another source wrote. */
  replaced(position: number): Index | undefined {
    const link = this.#links[position] ?? 0
    return link === 0 ? undefined : ((this.#firstIndex + (this.#indexes[position] ?? 0) - (link - 1)) as Index)
  }

  /** The index of an earlier version of its row, which may be far before what it replaced; undefined: not known. */
  skip(position: number): Index | undefined {
    const distance = this.#skips[position] ?? 0
    return distance === 0 ? undefined : ((this.#firstIndex + (this.#indexes[position] ?? 0) - distance) as Index)
  }

  /** Where the effect is in the run. */
  span(position: number): readonly [start: number, end: number] {
    return [this.#offsets[position] ?? 0, this.#offsets[position + 1] ?? 0]
  }
}

/** Looks where it would be if they rose evenly, as they about do, and from there in steps that double: near it is in memory at once. */
function firstAtOrAfter(indexes: Uint32Array, index: number): number {
  const count = indexes.length
  const guess = Math.min(count, Math.floor((index * count) / ((indexes[count - 1] ?? 0) + 1)))
  let low = guess
  let high = guess
  for (let step = 1; low > 0 && (indexes[low - 1] ?? 0) >= index; step *= 2) {
    high = low - 1
    low = Math.max(0, high - step)
  }
  for (let step = 1; high < count && (indexes[high] ?? 0) < index; step *= 2) {
    low = high + 1
    high = Math.min(count, low + step)
  }
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((indexes[middle] ?? 0) < index) low = middle + 1
    else high = middle
  }
  return low
}
