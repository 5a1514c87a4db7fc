// Where each row stands, by its key: a hash table of numbers alone. A Map would hold a string for each row, which V8's collector
// visits again and again, and would follow several pointers for each look: a seventh of a follower's time at 256 callers.
//
// Linear probing (Knuth, The Art of Computer Programming, volume 3, section 6.4: algorithm L; what is removed lets the ones
// behind it move up, algorithm R). Each slot is two words: the key's hash, and the place above 0 or nothing.

import { assert } from '../base/assert.ts'
import type { Keyspace } from '../base/ids.ts'

const slotsMin = 1_024
/** Past three quarters probes grow long. */
const filledMax = 0.75

export class PlaceIndex {
  readonly #isRow: (place: number, keyspace: Keyspace, key: Uint8Array) => boolean
  #slots = new Uint32Array(2 * slotsMin)
  #mask = slotsMin - 1
  #size = 0

  /** `isRow`: whether the row at a place has this key. */
  constructor(isRow: (place: number, keyspace: Keyspace, key: Uint8Array) => boolean) {
    this.#isRow = isRow
  }

  get size(): number {
    return this.#size
  }

  /** undefined: there is no such row. */
  get(hash: number, keyspace: Keyspace, key: Uint8Array): number | undefined {
    const slots = this.#slots
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      const entry = slots[2 * at + 1] ?? 0
      if (entry === 0) return undefined
      if (slots[2 * at] === hash && this.#isRow(entry - 1, keyspace, key)) return entry - 1
    }
  }

  /**
   * Where a row with this hash may be: the first candidate, not compared; undefined: nowhere. It waits for memory only if
   * the hash's slot is not in the processor's cache.
   */
  candidate(hash: number): number | undefined {
    const entry = this.#slots[2 * (hash & this.#mask) + 1] ?? 0
    return entry === 0 ? undefined : entry - 1
  }

  /** A row that is not here yet. */
  add(hash: number, place: number): void {
    if (this.#size >= filledMax * (this.#mask + 1)) this.#grow()
    this.#insert(hash, place)
    this.#size++
  }

  /** The row at `before`, which is here, stands at `place` now. */
  replace(hash: number, before: number, place: number): void {
    this.#slots[2 * this.#find(hash, before) + 1] = place + 1
  }

  /** The row at `place`, which is here. */
  remove(hash: number, place: number): void {
    const slots = this.#slots
    let hole = this.#find(hash, place)
    for (let at = (hole + 1) & this.#mask; slots[2 * at + 1] !== 0; at = (at + 1) & this.#mask) {
      // It may move up unless its own first slot lies behind the hole.
      const distance = (at - (slots[2 * at] ?? 0)) & this.#mask
      if (distance < ((at - hole) & this.#mask)) continue
      slots[2 * hole] = slots[2 * at] ?? 0
      slots[2 * hole + 1] = slots[2 * at + 1] ?? 0
      hole = at
    }
    slots[2 * hole + 1] = 0
    this.#size--
  }

  clear(): void {
    this.#slots = new Uint32Array(2 * slotsMin)
    this.#mask = slotsMin - 1
    this.#size = 0
  }

  #find(hash: number, place: number): number {
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      const entry = this.#slots[2 * at + 1] ?? 0
      if (entry === place + 1) return at
      assert(entry !== 0, 'a place that is replaced or removed is there')
    }
  }

  #insert(hash: number, place: number): void {
    let at = hash & this.#mask
    while (this.#slots[2 * at + 1] !== 0) at = (at + 1) & this.#mask
    this.#slots[2 * at] = hash
    this.#slots[2 * at + 1] = place + 1
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(2 * before.length)
    this.#mask = before.length - 1
    for (let at = 0; at < before.length; at += 2)
      if (before[at + 1] !== 0) this.#insert(before[at] ?? 0, (before[at + 1] ?? 0) - 1)
  }
}

/**
 * FNV-1a over keyspace and key, mixed at its end as in MurmurHash3. `seed` should be secret where keys come from strangers: keys
 * whose hashes are known to agree make every look as long as there are keys.
 */
export function hashOf(seed: number, keyspace: Keyspace, key: Uint8Array): number {
  let hash = Math.imul(seed ^ 0x811c_9dc5 ^ keyspace, 0x0100_0193)
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ (key[at] ?? 0), 0x0100_0193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
