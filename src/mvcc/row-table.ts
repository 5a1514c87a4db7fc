// The rows that are in memory, each with its newest version: those that wait in a write buffer, and those written or read of
// late, so that a write need not read first (DESIGN.md 7). One table for both: a put looks its key up once. Bounded in
// bytes: what was overwritten goes first, then the oldest; a row that waits stays.
//
// What lives for seconds must not be objects: V8's collector copies and marks each of them. So the versions stand as bytes in
// chunks, one behind the other as they came, and a map has the place of each row's newest.
//
// Invariants: the version of a clean row is what the engine holds, and that of a dirty one is newer. Bytes in a chunk never
// change, and a chunk is never used again: who holds a view of a value keeps it.

import { assert, must } from '../base/assert.ts'
import { type NewVersion, type Version, encodeVersion, readVersion, versionHeaderBytesMax } from './version.ts'

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
const chunkBytesMin = 64 * 1024
/** Whoever holds a value holds all of its chunk. */
const chunkBytesMax = 1024 * 1024
/** The engine's own cache has what is larger. */
const storedBytesMax = chunkBytesMax / 8
const chunkWordsMax = chunkBytesMax / wordBytes
/** Places stay small integers: a number and a word in 31 bits. */
const chunksMax = 2 ** 31 / chunkWordsMax
/** A row costs its place in the map and its name there as well, roughly. */
const overheadBytes = 100
/** As long as the newest versions take less than this part of the room, what is dropped is only what was overwritten. */
const keptPart = 0.7
/**
 * Rows looked at for one that comes, at least, and for each flush: going through all of a chunk would hold up everything else.
 * To make room for a large one takes many small ones.
 */
const looksPerRow = 4
const bytesPerLook = 64
const looksPerFlush = 10_000
/** A Map holds 2^24; what waits for the engine comes on top. */
const rowsMax = 2 ** 22

export class RowTable {
  readonly #bytesMax: number
  #places = new Map<string, Place>()
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
  /** Rows of the buffers up to here are in the engine. */
  #settled = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(name: string): Place | undefined {
    return this.#places.get(name)
  }

  version(name: string, place: Place): Version {
    return versionIn(this.#chunk(place), name, place)
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

  /** A version that `buffer` keeps at `position`. `crc`: over what all replicas agree on. */
  put(from: NewVersion, buffer: number, position: number): { readonly place: Place; readonly crc: number } {
    const rowBytes = from.row.length
    const chunk = this.#room(rowBytes + versionHeaderBytesMax + from.value.length)
    const at = chunk.end
    const rowAt = (at + headerWords) * wordBytes
    chunk.bytes[rowAt] = from.row.charCodeAt(0)
    chunk.bytes.set(from.keyBytes, rowAt + 1)
    const { end, crc } = encodeVersion(chunk.bytes, rowAt + rowBytes, from)
    const place = this.#take(chunk, from.row, end - rowAt - rowBytes, buffer, position)
    return { place, crc }
  }

  /** What the engine holds for a row that is not here. It may go at once; one that is large, or has no room now, is not kept. */
  maybeAddStored({ row, record }: Version): void {
    if (record.length > storedBytesMax || (this.#isFull && this.#isOldestWaiting)) return
    const chunk = this.#room(row.length + record.length)
    const rowAt = (chunk.end + headerWords) * wordBytes
    chunk.bytes.write(row, rowAt, 'latin1')
    chunk.bytes.set(record, rowAt + row.length)
    this.#take(chunk, row, record.length, 0, 0)
  }

  /** The rows of `buffer` are in the engine, but for those written anew since. */
  settle(buffer: number): void {
    this.#settled = buffer
    this.#evict(looksPerFlush)
  }

  /** The engine holds the row no longer. */
  forget(name: string): void {
    const place = this.#places.get(name)
    if (place === undefined || this.bufferOf(place) > this.#settled) return
    this.#remove(name, place)
  }

  /** What waits is void as well. */
  clear(): void {
    this.#places = new Map()
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

  #take(chunk: Chunk, row: string, recordBytes: number, buffer: number, position: number): Place {
    const at = chunk.end
    const { words } = chunk
    words[at] = buffer
    words[at + 1] = position
    words[at + 2] = row.length
    words[at + 3] = recordBytes
    chunk.end = at + slotWords(words, at)
    if (buffer > chunk.buffer) chunk.buffer = buffer
    const before = this.#places.get(row)
    const place = this.#set(row, chunk, at)
    if (before === undefined) this.#bytes += overheadBytes
    else this.#newestBytes -= this.#costOf(before)
    const cost = this.#costOf(place)
    this.#newestBytes += cost
    this.#evict(Math.max(looksPerRow, cost / bytesPerLook))
    return place
  }

  #set(row: string, { number }: Chunk, at: number): Place {
    const place = (number * chunkWordsMax + at) as Place
    this.#places.set(row, place)
    return place
  }

  #remove(name: string, place: Place): void {
    this.#newestBytes -= this.#costOf(place)
    this.#bytes -= overheadBytes
    this.#places.delete(name)
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
    const { number, bytes, words } = chunk
    const rowAt = (at + headerWords) * wordBytes
    const name = bytes.toString('latin1', rowAt, rowAt + (words[at + 2] ?? 0))
    this.#looked = at + slotWords(words, at)
    const place = (number * chunkWordsMax + at) as Place
    if (this.#places.get(name) !== place) return
    if (this.#newestBytes < this.#bytesMax * keptPart && this.#places.size <= rowsMax) this.#move(chunk, at, name)
    else this.#remove(name, place)
  }

  #move(from: Chunk, at: number, name: string): void {
    const slot = slotWords(from.words, at)
    const to = this.#room((slot - headerWords) * wordBytes)
    to.words.set(from.words.subarray(at, at + slot), to.end)
    this.#set(name, to, to.end)
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
