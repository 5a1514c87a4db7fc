// How long to wait before the next attempt: exponential with jitter, and a budget over all calls of a client, so that
// an outage is not answered with a storm. A retry is never refused for want of budget, only slowed: the caller's
// deadline ends it.

import type { Clock } from '../time/clock.ts'

const firstDelayMs = 20
const delayMsMax = 120
const budgetMax = 64
const budgetPerSecond = 32
const delayWithoutBudgetMs = 500

export class Backoff {
  readonly #clock: Clock
  readonly #random: () => number
  #budget = budgetMax
  #refilledAtMs: number

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock
    this.#random = random
    this.#refilledAtMs = clock.monotonicMs()
  }

  /** Milliseconds before retry number `retry` (0 for the first, which goes to another node at once). */
  delayMs(retry: number, atLeastMs = 0): number {
    const nowMs = this.#clock.monotonicMs()
    this.#budget = Math.min(budgetMax, this.#budget + ((nowMs - this.#refilledAtMs) / 1000) * budgetPerSecond)
    this.#refilledAtMs = nowMs
    const jitter = 0.5 + this.#random()
    if (this.#budget < 1) return Math.max(atLeastMs, delayWithoutBudgetMs) * jitter
    this.#budget -= 1
    if (retry === 0) return atLeastMs * jitter
    return Math.max(atLeastMs, Math.min(delayMsMax, firstDelayMs * 2 ** Math.min(retry - 1, 10))) * jitter
  }
}
