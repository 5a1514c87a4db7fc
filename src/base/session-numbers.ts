// The numbers of one session (DESIGN.md 10): which are still waiting for an answer, and the floor below which none is.
// It knows no wire and no time. Numbers start at 1 and are never used twice.
//
// Invariant: floor <= every outstanding number; every number below the floor is settled.

import { assert } from './assert.ts'

export const sessionIdBytes = 16

export class SessionNumbers {
  readonly sessionId: Uint8Array
  /** A ring of the numbers in [floor, next): 1 where settled. Its length is a power of two. */
  #ring = new Uint8Array(1024)
  #next = 1
  #floor = 1

  constructor(sessionId: Uint8Array) {
    assert(sessionId.length === sessionIdBytes, `a session id has ${sessionIdBytes} bytes, not ${sessionId.length}`)
    this.sessionId = sessionId
  }

  /** Every number below it has been answered, or given up for good. 1 before the first. */
  get floor(): number {
    return this.#floor
  }

  /** Numbers given out and not settled, counting the settled ones above the oldest of them. */
  get window(): number {
    return this.#next - this.#floor
  }

  next(): number {
    if (this.#next - this.#floor === this.#ring.length) this.#grow()
    const number = this.#next++
    this.#ring[number & (this.#ring.length - 1)] = 0
    return number
  }

  /** Its answer has arrived, or nobody will send it again. A second report changes nothing. */
  settled(number: number): void {
    assert(number > 0 && number < this.#next, `session number ${number} was never given out`)
    if (number < this.#floor) return
    const mask = this.#ring.length - 1
    this.#ring[number & mask] = 1
    while (this.#floor < this.#next && this.#ring[this.#floor & mask] === 1) this.#floor++
  }

  #grow(): void {
    const old = this.#ring
    const ring = new Uint8Array(old.length * 2)
    for (let number = this.#floor; number < this.#next; number++) {
      ring[number & (ring.length - 1)] = old[number & (old.length - 1)] ?? 0
    }
    this.#ring = ring
  }
}
