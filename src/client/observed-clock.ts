// What this client has learned of the cluster's time (DESIGN.md 8, 9, 10): the largest clock seen, which it sends back;
// an estimate of now, from which instants are fixed; and the token of session reads. Its own wall clock is used only
// until the first answer, because it may be hours off.

import type { Clock } from '../time/clock.ts'
import { type Timestamp, addMs, timestampFromUnixMs, timestampZero } from '../time/timestamp.ts'

export class ObservedClock {
  readonly #clock: Clock
  #largest: Timestamp = timestampZero
  #seenAtMs = 0
  #token: Timestamp = timestampZero

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The largest clock seen; zero before the first answer. */
  get largest(): Timestamp {
    return this.#largest
  }

  /** What a session read must not be older than: everything that this client wrote and saw. */
  get token(): Timestamp {
    return this.#token
  }

  observe(clock: number | null | undefined): void {
    if (!clock || clock <= this.#largest) return
    this.#largest = clock as Timestamp
    this.#seenAtMs = this.#clock.monotonicMs()
  }

  tokenTo(timestamp: number | null | undefined): void {
    if (timestamp && timestamp > this.#token) this.#token = timestamp as Timestamp
  }

  now(): Timestamp {
    if (this.#largest === timestampZero) return timestampFromUnixMs(this.#clock.unixMs())
    return addMs(this.#largest, Math.max(0, Math.floor(this.#clock.monotonicMs() - this.#seenAtMs)))
  }
}
