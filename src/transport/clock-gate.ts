// Judges the clocks that come with every frame, both ways (DESIGN.md 8): one gone wild must not drag the others along.
// A hybrid clock never goes back, so a node whose wall clock was ahead once stays ahead after it has been set right, across
// restarts, until time has passed it. What is told to operators tells the two apart.

import type { NodeId } from '../base/ids.ts'
import { clockSkewMaxMs } from '../time/hybrid-clock.ts'
import { type Timestamp, addMs, asTimestamp, timestampToUnixMs } from '../time/timestamp.ts'
import { LogLimit, type PeerContext } from './peer-context.ts'

const complaintIntervalMs = 10_000
/** A refusal older than this says nothing about now. */
const refusalFreshMs = 3_000

export class ClockGate {
  /** Frames dropped whole because their clock was too far ahead. */
  dropped = 0
  readonly #context: PeerContext
  readonly #complaints: LogLimit
  readonly #refusedMs = new Map<NodeId, number>()

  constructor(context: PeerContext) {
    this.#context = context
    this.#complaints = new LogLimit(context.clock, complaintIntervalMs)
  }

  /** Merges the clock; false, and unmerged, when either clock is too far ahead: then nothing of the frame may be used. */
  admit(from: NodeId, clock: number, rawClock: number): boolean {
    const { hybridClock, logger } = this.#context
    const raw = hybridClock.raw()
    if (rawClock <= addMs(raw, clockSkewMaxMs) && hybridClock.maybeMerge(asTimestamp(clock))) return true
    this.dropped += 1
    if (this.#complaints.allow(`from ${from}`)) {
      const ahead = asTimestamp(Math.max(clock, rawClock))
      const aheadMs = timestampToUnixMs(ahead) - timestampToUnixMs(raw)
      const why =
        rawClock <= addMs(raw, clockSkewMaxMs)
          ? `its wall clock was ahead once, and what it gave out then still is, by ${aheadMs} ms: it is heard again at ${heardAt(ahead)}, when time has passed that; sooner only with another data directory, as a store that joins anew`
          : `its clock is ${aheadMs} ms ahead of ours; set the clock of one of the two (NTP)`
      logger.warn({ peer: from, aheadMs, dropped: this.dropped }, `dropping what ${from} says: ${why}`)
    }
    return false
  }

  /** What the sender of a refused frame is told. */
  refusal(from: NodeId): string {
    return `the clock of ${from} is more than ${clockSkewMaxMs} ms ahead of ${this.#context.identity().node}'s: its messages are dropped until they agree, or time has passed what it gave out`
  }

  /** `by` drops what we say. When everyone we can reach does, this node's own clock is the one that is wrong. */
  refusedBy(by: NodeId, reachable: readonly NodeId[]): void {
    const { clock, hybridClock, identity, logger } = this.#context
    const now = clock.monotonicMs()
    this.#refusedMs.set(by, now)
    const all = reachable.every(node => now - (this.#refusedMs.get(node) ?? Number.NEGATIVE_INFINITY) < refusalFreshMs)
    if (!all || !this.#complaints.allow('own')) return
    const gaveOut = hybridClock.peek()
    // Nothing is left to set when only what was given out while the wall clock was wrong is still ahead.
    const remedy =
      gaveOut > addMs(hybridClock.raw(), clockSkewMaxMs)
        ? `this machine's clock was ahead once, and what this node gave out then still is: it takes part again at ${heardAt(gaveOut)}, when time has passed that; sooner only with another data directory, as a store that joins anew`
        : `set this machine's clock (NTP); until then this node takes no part`
    logger.error(
      { node: identity().node, refusedBy: reachable },
      `every reachable peer drops what this node says, because its clock is more than ${clockSkewMaxMs} ms ahead of theirs: ${remedy}`,
    )
  }
}

/** When peers whose clocks are right no longer find `clock` too far ahead. */
function heardAt(clock: Timestamp): string {
  return new Date(timestampToUnixMs(addMs(clock, -clockSkewMaxMs))).toISOString()
}
