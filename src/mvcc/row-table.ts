// The rows that are in memory, each with its newest version: those that wait in a write buffer, and those written or read of
// late, so that a write need not read first (DESIGN.md 7). One table for both: a put looks its key up once. Bounded in
// bytes: what was overwritten goes first, then the oldest; a row that waits stays.
//
// What lives for seconds must not be objects: V8's collector copies and marks each of them. So the versions stand as bytes in
// chunks, one behind the other as they came, and an index of numbers has the place of each row's newest.
//
// Invariants: the version of a clean row is what the engine holds, and that of a dirty one is newer. Bytes in a chunk never
// change, and a chunk is never used again: who holds a view of a value keeps it.

import { assert, must } from '../base/assert.ts'
import type { Keyspace } from '../base/ids.ts'
import { PlaceIndex, hashOf } from './place-index.ts'
import {
  type Latest,
  type NewVersion,
  type Version,
  encodeVersion,
  readLatest,
  readVersion,
  versionHeaderBytesMax,
} from './version.ts'

/** Where a version stands: its chunk's number, and the word in it. */
export type Place = number & { readonly brand: 'Place' }

/** What a table held at one moment. */
export interface RowReader {
  version(name: string, place: Place): Version
}

interface Chunk {
  readonly number: number
  readonly bytes: Buffer
  readonly words: Uint32Array
  /** Words used. */
  end: number
  /** The last write buffer that anything in it waits in. */
  buffer: number
}

const wordBytes = 4
/** Words of a slot before its row and its record: the write buffer, the position in it, the bytes of the row and of the record. */
const headerWords = 4
/** Instead of the write buffer: a newer version of the row stands elsewhere, or none is needed. */
const outdated = 0xffff_ffff
const chunkBytesMin = 64 * 1024
/** Whoever holds a value holds all of its chunk. */
const chunkBytesMax = 1024 * 1024
/** The engine's own cache has what is larger. */
const storedBytesMax = chunkBytesMax / 8
const chunkWordsMax = chunkBytesMax / wordBytes
/** Places stay small integers: a number and a word in 31 bits. */
const chunksMax = 2 ** 31 / chunkWordsMax
/** A row costs its part of the index as well: two words, in a table that is three eighths full when it has just grown. */
const overheadBytes = 22
/** As long as the newest versions take less than this part of the room, what is dropped is only what was overwritten. */
const keptPart = 0.7
/**
 * Rows looked at for one that comes, at least, and for each flush: going through all of a chunk would hold up everything else.
 * To make room for a large one takes many small ones.
 */
const looksPerRow = 4
const bytesPerLook = 64
const looksPerFlush = 10_000
/** The index takes 64 MiB then; what waits for the engine comes on top. */
const rowsMax = 2 ** 22

export class RowTable {
  readonly #bytesMax: number
  readonly #hashSeed: number
  readonly #places = new PlaceIndex((place, keyspace, key) => this.#isRow(place as Place, keyspace, key))
  /** By number; numbers are used again once their chunk is gone. */
  #chunks: (Chunk | undefined)[] = []
  #numbers: number[] = []
  /** Oldest first; the last one is written to. */
  #order: Chunk[] = []
  #bytes = 0
  /** Of the newest versions alone, each with what its row costs. */
  #newestBytes = 0
  /** How far the oldest chunk has been looked through. */
  #looked = 0
  /** What `warm` came upon: kept so that no compiler leaves the looks out. */
  warmed = 0
  /** Rows of the buffers up to here are in the engine. */
  #settled = 0

  /** `hashSeed`: see hashOf. */
  constructor(bytesMax: number, hashSeed = 0) {
    this.#bytesMax = bytesMax
    this.#hashSeed = hashSeed
  }

  get(keyspace: Keyspace, key: Uint8Array): Place | undefined {
    return this.#places.get(hashOf(this.#hashSeed, keyspace, key), keyspace, key) as Place | undefined
  }

  /**
   * Keys that will be looked up next: touches where they are, so that the processor fetches all of it at once. One after
   * another, each would wait for memory two or three times.
   */
  warm(keyspace: Keyspace, keys: readonly Uint8Array[]): void {
    const hashes = keys.map(key => hashOf(this.#hashSeed, keyspace, key))
    let seen = 0
    for (const hash of hashes) seen += this.#places.candidate(hash) ?? 0
    for (const hash of hashes) {
      const place = this.#places.candidate(hash) as Place | undefined
      if (place !== undefined) seen += this.#chunk(place).words[(place % chunkWordsMax) + headerWords] ?? 0
    }
    this.warmed = seen
  }

  latest(place: Place): Latest {
    const { bytes, words } = this.#chunk(place)
    const at = place % chunkWordsMax
    const start = (at + headerWords) * wordBytes + (words[at + 2] ?? 0)
    return readLatest(bytes, start, start + (words[at + 3] ?? 0))
  }

  version(name: string, place: Place): Version {
    return versionIn(this.#chunk(place), name, place)
  }

  /** The row that stands there, as the engine's keys have it. */
  nameOf(place: Place): string {
    const { bytes, words } = this.#chunk(place)
    const at = place % chunkWordsMax
    const rowAt = (at + headerWords) * wordBytes
    return bytes.toString('latin1', rowAt, rowAt + (words[at + 2] ?? 0))
  }

  /** Reads the places of now, whatever becomes of them. */
  pin(): RowReader {
    const chunks = [...this.#chunks]
    return { version: (name, place) => versionIn(chunkOf(chunks, place), name, place) }
  }

  /** The number of the write buffer that the version came with; 0: it was read from the engine. */
  bufferOf(place: Place): number {
    return this.#chunk(place).words[place % chunkWordsMax] ?? 0
  }

  positionOf(place: Place): number {
    return this.#chunk(place).words[(place % chunkWordsMax) + 1] ?? 0
  }

  /** A version that `buffer` keeps at `position`; `before`: where the row's newest is. `crc`: over what all replicas agree on. */
  put(
    from: NewVersion,
    before: Place | undefined,
    buffer: number,
    position: number,
  ): { readonly place: Place; readonly crc: number } {
    const { keyspace, key } = from
    const rowBytes = 1 + key.length
    const chunk = this.#room(rowBytes + versionHeaderBytesMax + from.value.length)
    const rowAt = (chunk.end + headerWords) * wordBytes
    chunk.bytes[rowAt] = keyspace
    chunk.bytes.set(key, rowAt + 1)
    const { end, crc } = encodeVersion(chunk.bytes, rowAt + rowBytes, from)
    const place = this.#take(chunk, rowBytes, end - rowAt - rowBytes, buffer, position)
    this.#index(hashOf(this.#hashSeed, keyspace, key), before, place)
    return { place, crc }
  }

  /** What the engine holds for a row that is not here. It may go at once; one that is large, or has no room now, is not kept. */
  maybeAddStored(keyspace: Keyspace, key: Uint8Array, record: Buffer): void {
    if (record.length > storedBytesMax || (this.#isFull && this.#isOldestWaiting)) return
    const chunk = this.#room(1 + key.length + record.length)
    const rowAt = (chunk.end + headerWords) * wordBytes
    chunk.bytes[rowAt] = keyspace
    chunk.bytes.set(key, rowAt + 1)
    chunk.bytes.set(record, rowAt + 1 + key.length)
    const place = this.#take(chunk, 1 + key.length, record.length, 0, 0)
    this.#index(hashOf(this.#hashSeed, keyspace, key), undefined, place)
  }

  /** The rows of `buffer` are in the engine, but for those written anew since. */
  settle(buffer: number): void {
    this.#settled = buffer
    this.#evict(looksPerFlush)
  }

  /** The engine holds the row no longer. */
  forget(keyspace: Keyspace, key: Uint8Array): void {
    const place = this.get(keyspace, key)
    if (place === undefined || this.bufferOf(place) > this.#settled) return
    this.#remove(this.#chunk(place), place)
  }

  /** What waits is void as well. */
  clear(): void {
    this.#places.clear()
    this.#chunks = []
    this.#numbers = []
    this.#order = []
    this.#bytes = 0
    this.#newestBytes = 0
    this.#looked = 0
  }

  #chunk(place: Place): Chunk {
    return chunkOf(this.#chunks, place)
  }

  #room(bytes: number): Chunk {
    const words = headerWords + Math.ceil(bytes / wordBytes)
    const last = this.#order.at(-1)
    if (last !== undefined && last.end + words <= Math.min(last.words.length, chunkWordsMax)) return last
    const number = this.#numbers.pop() ?? this.#chunks.length
    assert(number < chunksMax, 'the rows in memory fit their places')
    // Small at first, so that a small state is.
    const wanted = Math.min(chunkBytesMax, Math.max(chunkBytesMin, this.#bytes / 16))
    const buffer = new ArrayBuffer(Math.max(Math.ceil(wanted / wordBytes), words) * wordBytes)
    const chunk = { number, bytes: Buffer.from(buffer), words: new Uint32Array(buffer), end: 0, buffer: 0 }
    this.#chunks[number] = chunk
    this.#order.push(chunk)
    this.#bytes += buffer.byteLength
    return chunk
  }

  #take(chunk: Chunk, rowBytes: number, recordBytes: number, buffer: number, position: number): Place {
    const at = chunk.end
    const { words } = chunk
    words[at] = buffer
    words[at + 1] = position
    words[at + 2] = rowBytes
    words[at + 3] = recordBytes
    chunk.end = at + slotWords(words, at)
    if (buffer > chunk.buffer) chunk.buffer = buffer
    return (chunk.number * chunkWordsMax + at) as Place
  }

  /** The row's newest version stands at `place` from now on. */
  #index(hash: number, before: Place | undefined, place: Place): void {
    if (before === undefined) {
      this.#places.add(hash, place)
      this.#bytes += overheadBytes
    } else {
      this.#places.replace(hash, before, place)
      this.#newestBytes -= this.#costOf(before)
      this.#chunk(before).words[before % chunkWordsMax] = outdated
    }
    const cost = this.#costOf(place)
    this.#newestBytes += cost
    this.#evict(Math.max(looksPerRow, cost / bytesPerLook))
  }

  #remove({ bytes, words }: Chunk, place: Place): void {
    const at = place % chunkWordsMax
    this.#newestBytes -= this.#costOf(place)
    this.#bytes -= overheadBytes
    this.#places.remove(this.#hashAt(bytes, words, at), place)
    words[at] = outdated
  }

  #hashAt(bytes: Buffer, words: Uint32Array, at: number): number {
    const rowAt = (at + headerWords) * wordBytes
    const key = bytes.subarray(rowAt + 1, rowAt + (words[at + 2] ?? 0))
    return hashOf(this.#hashSeed, bytes[rowAt] as Keyspace, key)
  }

  #isRow(place: Place, keyspace: Keyspace, key: Uint8Array): boolean {
    const { bytes, words } = this.#chunk(place)
    const at = place % chunkWordsMax
    const rowAt = (at + headerWords) * wordBytes
    if (words[at + 2] !== 1 + key.length || bytes[rowAt] !== keyspace) return false
    for (let byte = 0; byte < key.length; byte++) if (bytes[rowAt + 1 + byte] !== key[byte]) return false
    return true
  }

  #costOf(place: Place): number {
    return overheadBytes + slotWords(this.#chunk(place).words, place % chunkWordsMax) * wordBytes
  }

  get #isFull(): boolean {
    return this.#bytes > this.#bytesMax || this.#places.size > rowsMax
  }

  get #isOldestWaiting(): boolean {
    return (this.#order[0]?.buffer ?? 0) > this.#settled
  }

  #evict(looksMax: number): void {
    for (let left = looksMax; left > 0 && this.#isFull && !this.#isOldestWaiting; left--) {
      const [oldest] = this.#order
      if (oldest === undefined) return
      if (this.#looked < oldest.end) this.#lookAt(oldest, this.#looked)
      else this.#drop(oldest)
    }
  }

  #lookAt(chunk: Chunk, at: number): void {
    const { words } = chunk
    this.#looked = at + slotWords(words, at)
    if (words[at] === outdated) return
    if (this.#newestBytes < this.#bytesMax * keptPart && this.#places.size <= rowsMax) this.#move(chunk, at)
    else this.#remove(chunk, (chunk.number * chunkWordsMax + at) as Place)
  }

  #move({ number, bytes, words }: Chunk, at: number): void {
    const slot = slotWords(words, at)
    const to = this.#room((slot - headerWords) * wordBytes)
    to.words.set(words.subarray(at, at + slot), to.end)
    const hash = this.#hashAt(bytes, words, at)
    this.#places.replace(hash, number * chunkWordsMax + at, to.number * chunkWordsMax + to.end)
    to.end += slot
  }

  #drop({ number, bytes }: Chunk): void {
    this.#order.shift()
    this.#chunks[number] = undefined
    this.#numbers.push(number)
    this.#bytes -= bytes.byteLength
    this.#looked = 0
  }
}

function chunkOf(chunks: readonly (Chunk | undefined)[], place: Place): Chunk {
  return must(chunks[Math.floor(place / chunkWordsMax)], 'a place is of a chunk that is there')
}

function versionIn({ bytes, words }: Chunk, name: string, place: Place): Version {
  const at = place % chunkWordsMax
  const start = (at + headerWords) * wordBytes + (words[at + 2] ?? 0)
  return readVersion(name, bytes.subarray(start, start + (words[at + 3] ?? 0)))
}

function slotWords(words: Uint32Array, at: number): number {
  return headerWords + Math.ceil(((words[at + 2] ?? 0) + (words[at + 3] ?? 0)) / wordBytes)
}
