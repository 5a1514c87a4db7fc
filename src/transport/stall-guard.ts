// A wait with an end: a promise against a deadline and a signal.

import type { Clock } from '../time/clock.ts'

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
