// The newest entries stay in memory, up to a number of bytes for the whole log; older ones are read back from disk.
//
// Invariant: an entry that is not on disk yet is never let go.

import { must } from '../base/assert.ts'
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

/** Entries are copied into room for many: each in a piece of memory of its own, they leave as many holes of every size. */
const slabBytes = 1024 * 1024
/** What is larger keeps the memory it came in. */
const copiedBytesMax = slabBytes / 8
/** Of an entry beside its data: three objects. */
const overheadBytes = 200

export class EntryCache {
  readonly #bytesMax: number
  /** Oldest first, from #head on. One that was dropped counts until it is passed: it may stand between others that do not go. */
  #slots: Slot[] = []
  #head = 0
  #bytes = 0
  #slab: Buffer = Buffer.alloc(0)
  #slabEnd = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(slot: Slot): void {
    const { entry } = slot
    if (entry !== undefined && slot.bytes <= copiedBytesMax) slot.entry = { ...entry, data: this.#copy(entry.data) }
    this.#slots.push(slot)
    this.#bytes += slot.bytes + overheadBytes
  }

  drop(slot: Slot): void {
    slot.entry = undefined
  }

  /** Lets the oldest go until the rest fits. Called after each flush. */
  trim(): void {
    for (; this.#head < this.#slots.length; this.#head++) {
      const slot = must(this.#slots[this.#head])
      if (slot.entry !== undefined && (this.#bytes <= this.#bytesMax || slot.place === undefined)) break
      this.drop(slot)
      this.#bytes -= slot.bytes + overheadBytes
    }
    if (this.#head * 2 <= this.#slots.length) return
    this.#slots.splice(0, this.#head)
    this.#head = 0
  }

  #copy(data: Uint8Array): Uint8Array {
    if (this.#slabEnd + data.length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes)
      this.#slabEnd = 0
    }
    const copy = this.#slab.subarray(this.#slabEnd, this.#slabEnd + data.length)
    copy.set(data)
    this.#slabEnd += data.length
    return copy
  }
}
