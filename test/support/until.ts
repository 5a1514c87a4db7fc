// Waiting for a condition, never for a time: polls until it holds, and fails with what it last saw.

import { setTimeout as delay } from 'node:timers/promises'

export interface UntilOptions {
  readonly limitMs?: number
  readonly intervalMs?: number
}

/** The first value of `attempt` that is neither undefined nor false. A rejection counts as "not yet". */
export async function until<T>(
  what: string,
  attempt: () => T | Promise<T>,
  { limitMs = 20_000, intervalMs = 25 }: UntilOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const start = performance.now()
  let last: unknown
  for (;;) {
    try {
      const value = await attempt()
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() - start > limitMs) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last)
      throw new Error(`${what}: not within ${limitMs} ms (last: ${seen})`, { cause: last })
    }
    await delay(intervalMs)
  }
}

/** Rejects when `promise` has not settled in time. */
export async function within<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
  const expired = new AbortController()
  const late = delay(limitMs, undefined, { signal: expired.signal }).then(
    () => Promise.reject(new Error(`${what}: no answer within ${limitMs} ms`)),
    () => new Promise<never>(() => {}),
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    expired.abort()
  }
}
