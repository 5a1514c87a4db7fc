// Which session ends first: a binary heap that knows where each session stands in it, so that a session whose end moves
// away is moved as well. Sessions are ordered by their end and then by their id: the order depends on nothing but what the
// table holds, never on how it came to hold it, and is the same on every replica and after every restart.
//
// Williams, "Algorithm 232: Heapsort" (1964).

import { must } from '../base/assert.ts'
import type { Timestamp } from '../time/timestamp.ts'

export interface Ending {
  readonly id: string
  notAfterMax: Timestamp
  /** Where it stands in the heap, for SessionOrder alone. */
  place: number
}

export class SessionOrder<Item extends Ending> {
  readonly #heap: Item[] = []

  /** The one that ends first. */
  get first(): Item | undefined {
    return this.#heap[0]
  }

  add(item: Item): void {
    this.#put(item, this.#heap.length)
    this.#up(item)
  }

  /** Its `notAfterMax` has grown. */
  postponed(item: Item): void {
    this.#down(item)
  }

  remove(item: Item): void {
    const last = must(this.#heap.pop(), 'what is removed is in the heap')
    if (last === item) return
    this.#put(last, item.place)
    this.#up(last)
    this.#down(last)
  }

  #up(item: Item): void {
    while (item.place > 0) {
      const parent = must(this.#heap[(item.place - 1) >> 1])
      if (!isBefore(item, parent)) return
      this.#swap(item, parent)
    }
  }

  #down(item: Item): void {
    for (;;) {
      const left = this.#heap[2 * item.place + 1]
      const right = this.#heap[2 * item.place + 2]
      const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left
      if (child === undefined || !isBefore(child, item)) return
      this.#swap(item, child)
    }
  }

  #swap(a: Item, b: Item): void {
    const { place } = a
    this.#put(a, b.place)
    this.#put(b, place)
  }

  #put(item: Item, place: number): void {
    this.#heap[place] = item
    item.place = place
  }
}

function isBefore(a: Ending, b: Ending): boolean {
  return a.notAfterMax < b.notAfterMax || (a.notAfterMax === b.notAfterMax && a.id < b.id)
}
