// One call's budget of retries: it ends with the deadline, waits a jittered, growing while in between, and stops at once
// when the caller has gone.

import { KvError } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import type { Clock } from '../time/clock.ts'

interface RetryLimits {
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

export class Retry {
  readonly deadlineMs: number
  readonly #clock: Clock
  readonly #prng: Prng
  readonly #limits: RetryLimits
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal | undefined
  #attempts = 0

  constructor(clock: Clock, prng: Prng, limits: RetryLimits, deadlineMs: number, signal: AbortSignal | undefined) {
    this.#clock = clock
    this.#prng = prng
    this.#limits = limits
    this.deadlineMs = deadlineMs
    this.signal = signal
  }

  get attempts(): number {
    return this.#attempts
  }

  remainingMs(): number {
    return this.deadlineMs - this.#clock.monotonicMs()
  }

  /** Waits before the next attempt. False: there is no time for one. Throws KvError `cancelled`. */
  async maybeAgain(): Promise<boolean> {
    this.throwIfCancelled()
    const { backoffMinMs, backoffMaxMs } = this.#limits
    const whole = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempts, 16))
    this.#attempts++
    const delay = whole * (0.5 + 0.5 * this.#prng.next())
    if (delay >= this.remainingMs()) return false
    await this.#sleep(delay)
    this.throwIfCancelled()
    return true
  }

  throwIfCancelled(): void {
    if (this.signal?.aborted) throw new KvError('cancelled', 'the caller cancelled the call')
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        timer.cancel()
        this.signal?.removeEventListener('abort', wake)
        resolve()
      }
      const timer = this.#clock.setTimer(delayMs, wake)
      this.signal?.addEventListener('abort', wake, { once: true })
    })
  }
}
