// What all replicas of a node may decode and apply in one turn of the event loop, so that heartbeats and other requests have
// theirs between two of them. Where a turn ends depends on the machine; what is applied does not.

import type { ApplyTurn as ApplyTurnPort } from '../command/effect.ts'
import type { Clock } from '../time/clock.ts'

/** Longer than this without giving way, and heartbeats wait. */
const turnMs = 10

export class ApplyTurn implements ApplyTurnPort {
  readonly #clock: Clock
  readonly #keyOperationsMax: number
  #begunMs: number | undefined
  #spent = 0
  /** First come, first served, so that nobody starves behind the others. */
  readonly #waiting: (() => void)[] = []

  constructor(clock: Clock, keyOperationsMax: number) {
    this.#clock = clock
    this.#keyOperationsMax = keyOperationsMax
  }

  /** Wait for `next` before more is applied. */
  get isOver(): boolean {
    if (this.#begunMs === undefined) return false
    return this.#spent >= this.#keyOperationsMax || this.#clock.monotonicMs() - this.#begunMs >= turnMs
  }

  spend(keyOperations: number): void {
    this.#begin()
    this.#spent += keyOperations
  }

  /** Runs `work` in a later turn. It may do one piece without asking again whether that turn is over. */
  next(work: () => void): void {
    this.#begin()
    this.#waiting.push(work)
  }

  #begin(): void {
    if (this.#begunMs !== undefined) return
    this.#begunMs = this.#clock.monotonicMs()
    this.#clock.defer(() => this.#renew())
  }

  #renew(): void {
    this.#begunMs = undefined
    this.#spent = 0
    if (this.#waiting.length === 0) return
    this.#begin()
    do this.#waiting.shift()?.()
    while (this.#waiting.length > 0 && !this.isOver)
  }
}
