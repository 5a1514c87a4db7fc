// Which keys a workload touches. A checker's work grows fast with what happens at one key, so a key lives for some hundred
// operations and retires for another; one with a few unknown writes retires early. Retired keys are still looked at now and
// then, and once more at the end: what was acknowledged long ago must still be there.

import { must } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'

export interface WorkloadKey {
  readonly name: string
  /** The last value that somebody saw at a register, a good guess for a compare-and-set. */
  guess: string | null
  operations: number
  unknown: number
  underWay: number
}

export interface KeyLimits {
  readonly activeMax: number
  readonly operationsMax: number
  readonly unknownMax: number
  readonly underWayMax: number
}

/** Half of the late looks go to keys that retired just now: there unknown writes may still come out. */
const recentlyRetired = 10

export class KeyPool {
  readonly #prefix: string
  readonly #limits: KeyLimits
  readonly #prng: Prng
  #active: WorkloadKey[] = []
  readonly #retired: WorkloadKey[] = []
  #created = 0

  constructor(prefix: string, limits: KeyLimits, prng: Prng) {
    this.#prefix = prefix
    this.#limits = limits
    this.#prng = prng
  }

  /** One to write or read. */
  active(): WorkloadKey {
    const { activeMax, operationsMax, unknownMax, underWayMax } = this.#limits
    const isSpent = (key: WorkloadKey): boolean => key.operations >= operationsMax || key.unknown >= unknownMax
    if (this.#active.some(isSpent)) {
      this.#retired.push(...this.#active.filter(isSpent))
      this.#active = this.#active.filter(key => !isSpent(key))
    }
    while (this.#active.length < activeMax) this.#active.push(this.#create())
    const free = this.#active.filter(key => key.underWay < underWayMax)
    if (free.length === 0) {
      const key = this.#create()
      this.#active.push(key)
      return key
    }
    return must(free[this.#prng.below(free.length)])
  }

  /** One that is only looked at any more; undefined while there is none. */
  retired(): WorkloadKey | undefined {
    const { length } = this.#retired
    const among = this.#prng.next() < 0.5 ? Math.min(length, recentlyRetired) : length
    return this.#retired[length - 1 - this.#prng.below(among)]
  }

  all(): readonly WorkloadKey[] {
    return [...this.#retired, ...this.#active]
  }

  #create(): WorkloadKey {
    return { name: `${this.#prefix}${this.#created++}`, guess: null, operations: 0, unknown: 0, underWay: 0 }
  }
}
