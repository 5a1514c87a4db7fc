// The Clock port. Everything that needs time or waits for it is handed one; only the system clock adapter (and the
// simulator's) sets real timers. Callers owe: dispose what they set. Implementers owe: callbacks never run
// synchronously inside `setTimer`, and a cancelled timer never runs.

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, milliseconds since 1970, may jump. */
  unixMs(): number
  /** Monotonic milliseconds with fractions, for durations. */
  monotonicMs(): number
  setTimer(delayMs: number, callback: () => void): Timer
  /** Runs `callback` once the messages that have already arrived were handled: after I/O, before timers. */
  defer(callback: () => void): void
}
