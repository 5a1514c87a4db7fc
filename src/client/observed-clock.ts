// What this client has learned of the cluster's time (DESIGN.md 8, 9, 10). Two things that must not be mixed:
//
// - The token: the largest stamp of the log that this client wrote or saw. It is what session reads must not be older than,
//   and what every request carries, so that a leader stamps above it. No leader refuses what its own log holds.
// - An estimate of now, from which instants such as `notAfter` are fixed. Each node's latest answer is one sample, carried on
//   by elapsed time; their median withstands a minority of wild clocks. It is never sent as anything seen.
//
// Too late an estimate is harmless, or is refused by the leader with its own clock, for certain not applied; too early
// a one ends in an unknown outcome. So, of two that disagree, the later counts. The own wall clock may be hours off: it is
// one more sample while less than a majority has answered, until it has been found wrong.

import type { Clock } from '../time/clock.ts'
import { type Timestamp, addMs, timestampFromUnixMs, timestampZero } from '../time/timestamp.ts'

interface Sample {
  readonly clock: Timestamp
  readonly monotonicMs: number
  readonly unixMs: number
}

/** Fewer cannot outvote one wild clock. */
const medianNodesMin = 3
/** Once the estimate has failed, a sample older than this may be of a clock that was set since. */
const freshMs = 10_000

export class ObservedClock {
  readonly #clock: Clock
  readonly #samples = new Map<string, Sample>()
  #token: Timestamp = timestampZero
  #isWallTrusted = true

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Zero before the first result. */
  get token(): Timestamp {
    return this.#token
  }

  /** `node` has just answered that its clock shows `clock`. */
  observe(node: string, clock: number | null | undefined): void {
    if (!isTimestamp(clock)) return
    const { monotonicMs, unixMs } = this.#read()
    this.#samples.set(node, { clock, monotonicMs, unixMs })
  }

  /** `timestamp` is a stamp of the log. */
  tokenTo(timestamp: number | null | undefined): void {
    if (isTimestamp(timestamp) && timestamp > this.#token) this.#token = timestamp
  }

  /** `nodes`: how many are known. Of an even number of samples the later one in the middle. */
  now(nodes: number): Timestamp {
    const samples = this.#samplesNow()
    const isMinority = samples.length * 2 <= nodes
    if (samples.length === 0 || (isMinority && this.#isWallTrusted)) {
      samples.push(timestampFromUnixMs(this.#clock.unixMs()))
      samples.sort(ascending)
    }
    return this.#atLeastToken(samples[samples.length >> 1])
  }

  /**
   * The leader `node`, whose clock shows `clock`, finds the estimate far too late: what to take instead. Its word holds
   * unless enough nodes were heard to outvote it.
   */
  nowAfterRefusal(node: string, clock: number): Timestamp {
    this.#isWallTrusted = false
    const oldestMs = this.#clock.monotonicMs() - freshMs
    for (const [name, sample] of this.#samples) if (sample.monotonicMs < oldestMs) this.#samples.delete(name)
    this.observe(node, clock)
    const samples = this.#samplesNow()
    const isOutvoted = samples.length >= medianNodesMin || !isTimestamp(clock)
    return this.#atLeastToken(isOutvoted ? samples[(samples.length - 1) >> 1] : clock)
  }

  #read(): { readonly monotonicMs: number; readonly unixMs: number } {
    return { monotonicMs: this.#clock.monotonicMs(), unixMs: this.#clock.unixMs() }
  }

  /** Ascending. */
  #samplesNow(): Timestamp[] {
    const { monotonicMs, unixMs } = this.#read()
    const samples: Timestamp[] = []
    for (const sample of this.#samples.values()) {
      // Monotonic time stands still while a machine sleeps, and drifts over days; a wall clock set ahead only errs late.
      const elapsedMs = Math.max(0, monotonicMs - sample.monotonicMs, unixMs - sample.unixMs)
      samples.push(addMs(sample.clock, Math.floor(elapsedMs)))
    }
    return samples.sort(ascending)
  }

  #atLeastToken(estimate: Timestamp = timestampZero): Timestamp {
    return estimate > this.#token ? estimate : this.#token
  }
}

function ascending(a: number, b: number): number {
  return a - b
}

function isTimestamp(value: number | null | undefined): value is Timestamp {
  return Number.isSafeInteger(value) && (value ?? 0) > 0
}
