// The newest entries stay in memory, up to a number of bytes for the whole log; older ones are read back from disk.
//
// Invariant: an entry that is not on disk yet is never let go.

import type { Entry, EntryKind } from '../raft/types.ts'
import type { Index, Term } from '../base/ids.ts'
import type { RecordPlace } from './segment.ts'

/** What the log knows of one entry. */
export interface Slot {
  readonly term: Term
  readonly index: Index
  readonly kind: EntryKind
  /** Of its data. */
  readonly bytes: number
  /** Its durable record, undefined until it has one; and where in it the data begins. */
  place: RecordPlace | undefined
  at: number
  entry: Entry | undefined
  /** Truncated or overwritten: it belongs to nobody, and holds nothing. */
  dropped: boolean
}

export class EntryCache {
  readonly #bytesMax: number
  /** Oldest first, from #head on; slots that were dropped stay until they are passed. */
  #slots: Slot[] = []
  #head = 0
  #bytes = 0
  #count = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  add(slot: Slot): void {
    this.#slots.push(slot)
    this.#bytes += slot.bytes
    this.#count++
  }

  drop(slot: Slot): void {
    if (slot.entry === undefined) return
    slot.entry = undefined
    this.#bytes -= slot.bytes
    this.#count--
  }

  /** Lets the oldest go until the rest fits. Called after each flush. */
  trim(): void {
    for (; this.#head < this.#slots.length; this.#head++) {
      const slot = this.#slots[this.#head]
      if (slot === undefined || slot.entry === undefined) continue
      if (this.#bytes <= this.#bytesMax || slot.place === undefined) break
      this.drop(slot)
    }
    // One old entry that stays must not keep a row of dropped ones behind it.
    if (this.#slots.length > 1024 && this.#slots.length > 2 * this.#count) {
      this.#slots = this.#slots.slice(this.#head).filter(slot => slot.entry !== undefined)
      this.#head = 0
    }
  }
}
