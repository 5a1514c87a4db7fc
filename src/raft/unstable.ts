// What was handed to the log and is not known to be durable. Knows indexes and terms, no entries.
//
// The trap (the ABA race of asynchronous log writes): entry 5 of term 1 is handed over, overwritten in term 2, and handed
// over again in term 3. The report of the first write must not count for the third: in between, the disk holds the second.
// Nor is a term enough to tell writes apart: entries that came in term 1 may be handed over in term 2, and be overwritten
// in it. So each write is remembered until it is reported, and a report counts for the oldest that it fits.

import { asIndex, type Index, type Term } from '../base/ids.ts'

interface Write {
  readonly first: Index
  readonly last: Index
  /** Of the last entry, and of the core when it was handed over: a report names either. */
  readonly lastTerm: Term
  readonly coreTerm: Term
}

export class Unstable {
  #durable: Index
  /** Oldest first. They complete in this order. */
  readonly #writes: Write[] = []

  constructor(durable: Index) {
    this.#durable = durable
  }

  /** Every entry of the log up to here is on disk as it is now. */
  get durable(): Index {
    return this.#durable
  }

  get hasUnreported(): boolean {
    return this.#writes.length > 0
  }

  /** The log was overwritten from `first` on. */
  truncatedFrom(first: Index): void {
    if (this.#durable >= first) this.#durable = asIndex(first - 1)
  }

  /** Entries [first, last] go to the log. A snapshot replaces everything up to its index. */
  handedOver(first: Index, last: Index, lastTerm: Term, coreTerm: Term): void {
    this.truncatedFrom(first)
    this.#writes.push({ first, last, lastTerm, coreTerm })
  }

  /**
   * A write that ended in (index, term) is on disk, and every one before it. `last` is the last index handed over that
   * still stands: what was truncated since, its replacement not yet handed over, lies beyond it.
   */
  durableTo(index: Index, term: Term, last: Index): void {
    const slot = this.#writes.findIndex(
      write => write.last === index && (write.lastTerm === term || write.coreTerm === term),
    )
    if (slot < 0) return
    this.#writes.splice(0, slot + 1)
    let reached = index
    // What is still to be written overwrites what has just been.
    for (const write of this.#writes) if (write.first <= reached) reached = asIndex(write.first - 1)
    if (reached > last) reached = last
    if (reached > this.#durable) this.#durable = reached
  }
}
