// A log in memory: what a replica reads, and, as a second one beside it, what its disk holds.

import { assert } from '../../src/base/assert.ts'
import { asIndex, asTerm, type Index, type Term } from '../../src/base/ids.ts'
import type { Entry, LogView } from '../../src/raft/types.ts'

export class MemoryLog implements LogView {
  #truncatedIndex = asIndex(0)
  #truncatedTerm = asTerm(0)
  #entries: Entry[] = []
  /** Reading fails, as a disk's does. */
  failsReads = false

  get truncatedIndex(): Index {
    return this.#truncatedIndex
  }

  get lastIndex(): Index {
    return asIndex(this.#truncatedIndex + this.#entries.length)
  }

  term(index: Index): Term | undefined {
    if (index === this.#truncatedIndex) return this.#truncatedTerm
    return this.#entries[index - this.#truncatedIndex - 1]?.term
  }

  entry(index: Index): Entry | undefined {
    return this.#entries[index - this.#truncatedIndex - 1]
  }

  entries(from: Index, toExclusive: Index, bytesMax: number): readonly Entry[] {
    if (this.failsReads) throw new Error('EIO: reading the log failed')
    assert(
      from > this.#truncatedIndex && toExclusive <= this.lastIndex + 1 && from < toExclusive,
      'a read within the log',
    )
    const found: Entry[] = []
    let bytes = 0
    for (let index = from; index < toExclusive; index = asIndex(index + 1)) {
      const entry = this.entry(index) as Entry
      bytes += entry.data.length
      if (bytes > bytesMax && found.length > 0) break
      found.push(entry)
    }
    return found
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0]
    if (first === undefined) return
    assert(first.index > this.#truncatedIndex && first.index <= this.lastIndex + 1, 'the log has no gap')
    this.#entries.length = first.index - this.#truncatedIndex - 1
    this.#entries.push(...entries)
  }

  truncateTo(index: Index): void {
    if (index <= this.#truncatedIndex) return
    const term = this.term(index)
    assert(term !== undefined, 'only what is there is truncated')
    this.#entries.splice(0, index - this.#truncatedIndex)
    this.#truncatedIndex = index
    this.#truncatedTerm = term
  }

  /** The log continues after (index, term); the suffix stays only where that entry matches. */
  reset(index: Index, term: Term): void {
    if (index > this.#truncatedIndex && this.term(index) === term) {
      this.truncateTo(index)
      return
    }
    this.#entries = []
    this.#truncatedIndex = index
    this.#truncatedTerm = term
  }

  clone(): MemoryLog {
    const copy = new MemoryLog()
    copy.#truncatedIndex = this.#truncatedIndex
    copy.#truncatedTerm = this.#truncatedTerm
    copy.#entries = [...this.#entries]
    return copy
  }
}
