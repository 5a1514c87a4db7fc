// The values of many keys, gathered a turn at a time: a request of a few kilobytes may ask for gigabytes, and for tens of
// thousands of keys. It ends early once its answer's budget is spent; what is left is asked for again. What one turn reads of
// the present is of one instant; what comes after may be newer, which no read of the present minds.

import type { AnswerBudget } from '../base/answer-budget.ts'
import type { KeyRecord, VersionStore } from '../mvcc/version-store.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock } from '../time/clock.ts'
import type { GetRequest } from './local-store.ts'

/** Heartbeats wait for a turn to end. */
const turnMs = 10
/** Between two looks at the clock: some 100 microseconds of keys that are in memory. */
const keysPerLook = 128

export class GetTurns {
  readonly #versions: VersionStore
  readonly #clock: Clock
  readonly #request: GetRequest
  readonly #budget: AnswerBudget | undefined
  /** Of the first keys, in their order. */
  readonly items: quorate.v1.IKeyVersion[] = []
  #turnEndMs = 0

  constructor(versions: VersionStore, clock: Clock, request: GetRequest) {
    this.#versions = versions
    this.#clock = clock
    this.#request = request
    this.#budget = request.budget
  }

  get isDone(): boolean {
    return this.items.length === this.#request.keys.length || this.#budget?.isSpent === true
  }

  get isTurnOver(): boolean {
    return this.#clock.monotonicMs() >= this.#turnEndMs
  }

  beginTurn(): void {
    this.#turnEndMs = this.#clock.monotonicMs() + turnMs
  }

  /** Reads on in the present until the turn is over. Throws DamageError. */
  readPresent(): void {
    const { keyspace, keys } = this.#request
    this.beginTurn()
    while (!this.isDone) {
      const from = this.items.length
      const some = keys.length <= keysPerLook ? keys : keys.slice(from, from + keysPerLook)
      this.#versions.warm(keyspace, some)
      for (const key of some) {
        const record = this.#versions.get(keyspace, key)
        this.push(record)
        // A large value takes as long as many keys do.
        if (this.isDone || ((record?.value.length ?? 0) >= largeBytes && this.isTurnOver)) break
      }
      if (this.isTurnOver) return
    }
  }

  /** Of the next key. */
  push(record: KeyRecord | undefined): void {
    this.items.push(toItem(record))
    this.#budget?.take(record?.value.length ?? 0)
  }

  /** Nothing that was read counts. */
  giveUp(): void {
    this.#budget?.release()
  }
}

/** Read from a file of its own, more often than not. */
const largeBytes = 32 * 1024

function toItem(record: KeyRecord | undefined): quorate.v1.IKeyVersion {
  return record === undefined
    ? {}
    : { value: record.value, timestamp: record.timestamp, created: record.created, version: record.version }
}
