// The rows that are in memory, each with its newest version: those that wait in a write buffer, and those written or read of
// late, so that a write need not read first (DESIGN.md 7). One table for both: a put looks its key up once. Bounded in
// bytes, oldest row out first; a row that waits stays.
//
// Invariant: the version of a clean row is what the engine holds, and that of a dirty one is newer.

import type { Version } from './version.ts'

export interface Row {
  readonly name: string
  version: Version
  /** The number of the write buffer that it was last written in; 0: it was read from the engine. */
  buffer: number
}

/** A row's objects and its place in the map, roughly. */
const overheadBytes = 300
/** Rows looked at for one that comes, and for each flush: going through all that wait would hold up everything else. */
const looksPerRow = 8
const looksPerFlush = 10_000

export class RowTable {
  readonly #bytesMax: number
  readonly #rows = new Map<string, Row>()
  #bytes = 0
  /** Rows of the buffers up to here are in the engine. */
  #settled = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(name: string): Row | undefined {
    return this.#rows.get(name)
  }

  /** A row that is not here yet. It may go at once: whoever means to write it adds it written. */
  add(version: Version, buffer: number): Row {
    const row: Row = { name: version.row, version, buffer }
    this.#rows.set(version.row, row)
    this.#bytes += rowBytes(row)
    this.#evict(looksPerRow)
    return row
  }

  replace(row: Row, version: Version, buffer: number): void {
    this.#bytes += version.record.length - row.version.record.length
    row.version = version
    row.buffer = buffer
  }

  /** The rows of `buffer` are in the engine, but for those written anew since. */
  settle(buffer: number): void {
    this.#settled = buffer
    this.#evict(looksPerFlush)
  }

  /** The engine holds the row no longer. */
  forget(name: string): void {
    const row = this.#rows.get(name)
    if (row !== undefined && this.#isClean(row)) this.#delete(row)
  }

  /** What waits is void as well. */
  clear(): void {
    this.#rows.clear()
    this.#bytes = 0
  }

  #isClean(row: Row): boolean {
    return row.buffer <= this.#settled
  }

  #evict(looksMax: number): void {
    if (this.#bytes <= this.#bytesMax) return
    let left = Math.min(looksMax, this.#rows.size)
    for (const row of this.#rows.values()) {
      if (this.#bytes <= this.#bytesMax || left-- === 0) return
      this.#delete(row)
      if (this.#isClean(row)) continue
      // It stays, and is the last to be looked at again.
      this.#rows.set(row.name, row)
      this.#bytes += rowBytes(row)
    }
  }

  #delete(row: Row): void {
    this.#rows.delete(row.name)
    this.#bytes -= rowBytes(row)
  }
}

function rowBytes({ name, version }: Row): number {
  return version.record.length + name.length + overheadBytes
}
