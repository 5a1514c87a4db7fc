// How many bytes of the log wait to be applied, by entry: what a replica may hold of it is bounded. Knows sizes, no entries.
//
// Invariant: it covers exactly the entries in (applied, last].

import { asIndex, type Index } from '../base/ids.ts'

/** Every entry costs something, whatever it carries. */
const entryOverheadBytes = 64
/** The array is cut when so many of its first places are spent. */
const spentMax = 4_096

export class Unapplied {
  /** Of the entry after #applied first, from #start on. */
  #sizes: number[] = []
  #start = 0
  #applied: Index
  #commit: Index
  #handedOut: Index
  #committedBytes = 0
  #handedOutBytes = 0

  constructor(applied: Index) {
    this.#applied = applied
    this.#commit = applied
    this.#handedOut = applied
  }

  /** Committed and not applied. */
  get committedBytes(): number {
    return this.#committedBytes
  }

  /** Handed out to be applied: the shell holds these entries in memory. */
  get handedOutBytes(): number {
    return this.#handedOutBytes
  }

  append(dataBytes: number): void {
    this.#sizes.push(dataBytes + entryOverheadBytes)
  }

  truncateFrom(index: Index): void {
    this.#sizes.length = Math.min(this.#sizes.length, Math.max(this.#start, this.#start + index - this.#applied - 1))
  }

  commitTo(index: Index): void {
    this.#committedBytes += this.#sum(this.#commit, index)
    this.#commit = asIndex(Math.max(this.#commit, index))
  }

  handOutTo(index: Index): void {
    this.#handedOutBytes += this.#sum(this.#handedOut, index)
    this.#handedOut = asIndex(Math.max(this.#handedOut, index))
  }

  appliedTo(index: Index): void {
    if (index <= this.#applied) return
    const bytes = this.#sum(this.#applied, index)
    this.#committedBytes -= bytes
    this.#handedOutBytes -= bytes
    this.#start += index - this.#applied
    this.#applied = index
    if (this.#start < spentMax || this.#start * 2 < this.#sizes.length) return
    this.#sizes = this.#sizes.slice(this.#start)
    this.#start = 0
  }

  #sum(after: Index, to: Index): number {
    let bytes = 0
    const first = this.#start - this.#applied - 1
    for (let index = after + 1; index <= to; index++) bytes += this.#sizes[first + index] ?? 0
    return bytes
  }
}
