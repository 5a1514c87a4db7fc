// The Clock adapter over Node's timers.

import type { Clock, Timer } from './clock.ts'

export const systemClock: Clock = {
  unixMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback): Timer {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  defer(callback) {
    setImmediate(callback)
  },
}
