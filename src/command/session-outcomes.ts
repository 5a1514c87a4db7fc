// What the numbers of one session came to, in the order of the numbers. Most arrive in that order, and the floor takes them
// away from the front: both cost next to nothing, whatever numbers and floors a client makes up.

import type { quorate } from '../proto/quorate.js'

/** What an outcome without text takes, about: one that says where a DeleteRange goes on counts for several. */
const bytesPerCost = 128

/** So many that were taken from the front stay in memory before the rest moves up. */
const gapMin = 64

export class SessionOutcomes {
  #numbers: number[] = []
  #outcomes: quorate.v1.IOutcome[] = []
  /** Those before it have been taken away. */
  #first = 0
  /** Of all of them, in outcomes of the usual size: what limits are of. */
  cost = 0

  get count(): number {
    return this.#numbers.length - this.#first
  }

  get(number: number): quorate.v1.IOutcome | undefined {
    const at = this.#find(number)
    return this.#numbers[at] === number ? this.#outcomes[at] : undefined
  }

  /** A number that is not here yet. */
  add(number: number, outcome: quorate.v1.IOutcome): void {
    const at = this.#find(number)
    this.cost += costOf(outcome)
    if (at === this.#numbers.length) {
      this.#numbers.push(number)
      this.#outcomes.push(outcome)
    } else {
      this.#numbers.splice(at, 0, number)
      this.#outcomes.splice(at, 0, outcome)
    }
  }

  /** Forgets every number below `floor`. */
  dropBelow(floor: number): void {
    const from = this.#first
    this.#first = this.#find(floor)
    for (let at = from; at < this.#first; at++) this.cost -= costOf(this.#outcomes[at] as quorate.v1.IOutcome)
    // An outcome that was taken away must not live on behind the front.
    if (this.#first >= gapMin && this.#first >= this.#numbers.length / 2) {
      this.#numbers = this.#numbers.slice(this.#first)
      this.#outcomes = this.#outcomes.slice(this.#first)
      this.#first = 0
    }
  }

  *[Symbol.iterator](): Generator<readonly [number: number, outcome: quorate.v1.IOutcome]> {
    for (let at = this.#first; at < this.#numbers.length; at++)
      yield [this.#numbers[at] as number, this.#outcomes[at] as quorate.v1.IOutcome]
  }

  /** Of the first number that is not below `number`. */
  #find(number: number): number {
    let low = this.#first
    let high = this.#numbers.length
    // A new number is above all others, as a rule.
    if (high > low && (this.#numbers[high - 1] as number) < number) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#numbers[middle] as number) < number) low = middle + 1
      else high = middle
    }
    return low
  }
}

function costOf({ resume, message }: quorate.v1.IOutcome): number {
  return 1 + Math.floor(((resume?.length ?? 0) + (message?.length ?? 0)) / bytesPerCost)
}
