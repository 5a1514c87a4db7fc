// The entries that one replica's log holds, by index: consecutive, appended at the end, dropped at either end.

import { assert } from '../base/assert.ts'
import type { Slot } from './entry-cache.ts'

export class ReplicaSlots {
  /** Slots before #head were dropped; the array is cut when they are more than half of it. */
  #slots: Slot[]
  #head = 0
  /** The index of the first slot, or of the one that will be. */
  #first: number

  constructor(first: number, slots: Slot[]) {
    this.#first = first
    this.#slots = slots
  }

  get first(): number {
    return this.#first
  }

  /** Past the last. */
  get end(): number {
    return this.#first + this.#slots.length - this.#head
  }

  at(index: number): Slot | undefined {
    return index < this.#first ? undefined : this.#slots[this.#head + index - this.#first]
  }

  push(slot: Slot): void {
    assert(slot.index === this.end, 'entries follow one another')
    this.#slots.push(slot)
  }

  /** Drops every slot from `index` on; returns them. */
  dropFrom(index: number): readonly Slot[] {
    return this.#slots.splice(this.#head + Math.max(index, this.#first) - this.#first)
  }

  /** Drops every slot below `index`; returns them. */
  dropBelow(index: number): readonly Slot[] {
    const count = Math.min(index, this.end) - this.#first
    if (count <= 0) return []
    const dropped = this.#slots.slice(this.#head, this.#head + count)
    this.#head += count
    this.#first += count
    if (this.#head * 2 > this.#slots.length) {
      this.#slots.splice(0, this.#head)
      this.#head = 0
    }
    return dropped
  }

  /** Empty, and to go on at `first`. */
  restart(first: number): void {
    this.#slots = []
    this.#head = 0
    this.#first = first
  }
}
