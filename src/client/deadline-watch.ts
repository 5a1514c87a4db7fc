// One timer for the deadlines of many operations: it stands at the earliest that was ever announced, and when it runs,
// the owner sweeps and says which comes next. A timer an operation would cost more than the operation.

import type { Clock, Timer } from '../time/clock.ts'

export class DeadlineWatch {
  readonly #clock: Clock
  readonly #sweep: (nowMs: number) => number
  #timer: Timer | undefined
  #atMs = Number.POSITIVE_INFINITY

  /** `sweep` fails what is due at `nowMs` and returns the next deadline, or infinity. */
  constructor(clock: Clock, sweep: (nowMs: number) => number) {
    this.#clock = clock
    this.#sweep = sweep
  }

  watch(deadlineMs: number): void {
    if (deadlineMs >= this.#atMs) return
    this.#timer?.cancel()
    this.#atMs = deadlineMs
    const delayMs = Math.max(0, Math.ceil(deadlineMs - this.#clock.monotonicMs()))
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#atMs = Number.POSITIVE_INFINITY
      this.watch(this.#sweep(this.#clock.monotonicMs()))
    })
  }

  close(): void {
    this.#timer?.cancel()
    this.#atMs = Number.POSITIVE_INFINITY
  }
}
