// Waits with an end: a promise against a deadline and a signal, and work that may take as long as it makes progress.

import type { Clock, Timer } from '../time/clock.ts'

/** The awaited thing did not come in time, or nobody wants it any more. */
export class Stalled extends Error {
  override readonly name = 'Stalled'
}

/** Rejects with Stalled once `timeoutMs` have passed or the signal aborts; the promise itself is not stopped. */
export function withDeadline<T>(
  clock: Clock,
  promise: Promise<T>,
  timeoutMs: number,
  what: string,
  signal?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', abort)
    }
    const abort = (): void => {
      finish()
      reject(new Stalled(`${what}: aborted`))
    }
    const timer = clock.setTimer(Math.max(0, timeoutMs), () => {
      finish()
      reject(new Stalled(`${what}: nothing for ${Math.round(timeoutMs)} ms`))
    })
    signal?.addEventListener('abort', abort, { once: true })
    promise.then(
      value => {
        finish()
        resolve(value)
      },
      (error: unknown) => {
        finish()
        reject(error)
      },
    )
    if (signal?.aborted) abort()
  })
}

/** Calls `onStalled` once, when nothing has moved for `stallMs`. */
export class StallWatch {
  readonly #clock: Clock
  readonly #stallMs: number
  readonly #onStalled: () => void
  #movedMs: number
  #timer: Timer | undefined

  constructor(clock: Clock, stallMs: number, onStalled: () => void) {
    this.#clock = clock
    this.#stallMs = stallMs
    this.#onStalled = onStalled
    this.#movedMs = clock.monotonicMs()
    this.#wait(stallMs)
  }

  moved(): void {
    this.#movedMs = this.#clock.monotonicMs()
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #wait(ms: number): void {
    this.#timer = this.#clock.setTimer(ms, () => {
      // Deferred: after a stall of this process, what has arrived meanwhile counts.
      this.#clock.defer(() => {
        if (this.#timer === undefined) return
        const leftMs = this.#movedMs + this.#stallMs - this.#clock.monotonicMs()
        if (leftMs > 0) {
          this.#wait(leftMs)
          return
        }
        this.#timer = undefined
        this.#onStalled()
      })
    })
  }
}
