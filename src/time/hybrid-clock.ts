// The hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), one a node. It knows no disk: the shell
// persists the ceiling (DESIGN.md 8, rule 3) and tells it what is synced.
//
// Invariants: `now` strictly increases; `acknowledged` never exceeds the synced ceiling.

import { type Timestamp, addMs, timestampFromUnixMs, timestampZero } from './timestamp.ts'

/** A message whose clock is further ahead than this is dropped whole, and unmerged (DESIGN.md 8). */
export const clockSkewMaxMs = 500
/** How far ahead of its clock a node promises, in a flush header, not to acknowledge. */
export const ceilingAheadMs = 200

export class HybridClock {
  readonly #unixMs: () => number
  #last: Timestamp
  #ceiling: Timestamp = timestampZero

  /** `floor`: the ceiling found on disk; the clock never gives out anything at or below it. */
  constructor(unixMs: () => number, floor: Timestamp = timestampZero) {
    this.#unixMs = unixMs
    this.#last = floor
  }

  /** The wall clock as a timestamp, unmerged. */
  raw(): Timestamp {
    return timestampFromUnixMs(this.#unixMs())
  }

  /** A fresh timestamp, larger than every one given out or merged before. */
  now(): Timestamp {
    return this.reserve(1)
  }

  /** The first of `count` consecutive fresh timestamps. */
  reserve(count: number): Timestamp {
    const raw = this.raw()
    const first = raw > this.#last ? raw : ((this.#last + 1) as Timestamp)
    this.#last = (first + count - 1) as Timestamp
    return first
  }

  /** The largest timestamp given out or merged, or the wall clock when that is ahead. Gives nothing out. */
  peek(): Timestamp {
    const raw = this.raw()
    return raw > this.#last ? raw : this.#last
  }

  /** Moves past `timestamp`; false, and unmoved, when it lies too far ahead of the wall clock. */
  maybeMerge(timestamp: Timestamp): boolean {
    if (timestamp > addMs(this.raw(), clockSkewMaxMs)) return false
    if (timestamp > this.#last) this.#last = timestamp
    return true
  }

  /** As `maybeMerge`, but what this clock has passed already is never too far ahead: a stamp of its own log, say. */
  maybePass(timestamp: Timestamp): boolean {
    return timestamp <= this.#last || this.maybeMerge(timestamp)
  }

  /** Moves past a timestamp that is already part of this node's own durable state; no limit applies. */
  mergeOwn(timestamp: Timestamp): void {
    if (timestamp > this.#last) this.#last = timestamp
  }

  /** What the next flush should promise. */
  nextCeiling(): Timestamp {
    return addMs(this.peek(), ceilingAheadMs)
  }

  ceilingSynced(ceiling: Timestamp): void {
    if (ceiling > this.#ceiling) this.#ceiling = ceiling
  }

  /** What a message may carry as acknowledged: the clock, but never above the synced ceiling. */
  acknowledged(): Timestamp {
    const now = this.peek()
    return now < this.#ceiling ? now : this.#ceiling
  }
}
