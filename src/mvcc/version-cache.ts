// What the engine holds for rows written or read of late, so that a write need not read first (DESIGN.md 7). Bounded
// in bytes, oldest out first. Invariant: an entry is what the engine holds; what is newer lies in the write buffer.

import type { Version } from './version.ts'

/** An entry's objects and its place in the map, roughly. */
const overheadBytes = 250

export class VersionCache {
  readonly #bytesMax: number
  readonly #entries = new Map<string, Version>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(row: string): Version | undefined {
    return this.#entries.get(row)
  }

  set(version: Version): void {
    const known = this.#entries.get(version.row)
    if (known !== undefined) this.#bytes -= entryBytes(known)
    // In place: moving it to the end would cost more than now and then losing a row that is still in use.
    this.#entries.set(version.row, version)
    this.#bytes += entryBytes(version)
    if (this.#bytes <= this.#bytesMax) return
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.delete(oldest)
    }
  }

  delete(row: string): void {
    const known = this.#entries.get(row)
    if (known === undefined) return
    this.#entries.delete(row)
    this.#bytes -= entryBytes(known)
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }
}

function entryBytes(version: Version): number {
  return version.record.length + version.row.length + overheadBytes
}
