// What the leader knows of one follower's log, and how it sends to it (dissertation 10.2; etcd-io/raft's tracker):
//   probe      where the logs match is a guess: one append at a time, until one is accepted;
//   replicate  they match: appends flow ahead of their acknowledgements, within the in-flight window;
//   snapshot   what the follower needs is truncated: nothing is sent until the stream has ended.
// Invariant: match < next.

import { assert } from '../base/assert.ts'
import { asIndex, type Index } from '../base/ids.ts'
import { Inflights } from './inflights.ts'
import type { RaftOptions } from './types.ts'

/**
 * In election timeouts: how long a follower may be silent. With one alone, a follower that is merely late unseats a leader
 * that the others would have waited for, since they draw theirs from one to two.
 */
const silenceFactor = 1.5

export class Progress {
  readonly inflights: Inflights
  #match: Index = asIndex(0)
  #next: Index
  #state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  #snapshotIndex: Index = asIndex(0)
  readonly #silentTicksMax: number
  /** Since it was heard. None at first: a newcomer gets a chance to answer. */
  #silentTicks = 0
  #hasAnswered = false
  /** Probe: one was sent; wait for its answer, or for a heartbeat's, before the next. */
  probeSent = false
  /** The commit index that the last append carried. */
  commitSent: Index = asIndex(0)
  /**
   * Replicate: an append goes even if it is empty, so that its answer tells whether earlier ones were lost. Probe: the next
   * one goes without entries, since one that has them is on its way, or lost.
   */
  nudge = false
  /** The follower takes no entries for now: it is sent none until its answer to a heartbeat says otherwise. */
  held = false
  /** It has lost its state. Its log is whole: appends go on, and a snapshot goes beside them. */
  needsState = false
  /** A snapshot for its lost state is on its way. */
  isRebuilding = false
  /** Until another is sent, after one that failed. */
  #rebuildPauseTicks = 0
  readonly #rebuildPauseTicksMax: number
  /** The newest ReadIndex round that a heartbeat response has confirmed. */
  readAcked = 0

  constructor(options: RaftOptions, next: Index) {
    this.inflights = new Inflights(options.inflightMessagesMax, options.inflightBytesMax)
    this.#next = next
    this.#rebuildPauseTicksMax = options.electionTimeoutTicks
    this.#silentTicksMax = Math.ceil(options.electionTimeoutTicks * silenceFactor)
  }

  tick(): void {
    this.#silentTicks++
    if (this.#rebuildPauseTicks > 0) this.#rebuildPauseTicks--
  }

  heard(): void {
    this.#silentTicks = 0
    this.#hasAnswered = true
  }

  /** Since it was heard. Infinite: not yet, by this leader. */
  get silentTicks(): number {
    return this.#hasAnswered ? this.#silentTicks : Number.POSITIVE_INFINITY
  }

  /** Heard lately: what check-quorum counts. */
  get recentActive(): boolean {
    return this.#silentTicks < this.#silentTicksMax
  }

  get match(): Index {
    return this.#match
  }

  get next(): Index {
    return this.#next
  }

  get state(): 'probe' | 'replicate' | 'snapshot' {
    return this.#state
  }

  /** `next`: where to start; match + 1 is always safe. */
  becomeProbe(next: Index = asIndex(this.#match + 1)): void {
    this.#become('probe', next)
    // What was sent beyond here may be lost, and the commit index with it.
    this.commitSent = asIndex(Math.min(this.commitSent, next - 1))
  }

  becomeReplicate(): void {
    this.#become('replicate', asIndex(this.#match + 1))
  }

  /** What is on its way was not taken: it begins anew after what is known to match. */
  hold(): void {
    if (!this.held && this.#state === 'replicate') this.becomeProbe()
    this.held = true
  }

  becomeSnapshot(index: Index): void {
    this.#become('snapshot', asIndex(Math.max(index, this.#match) + 1))
    this.#snapshotIndex = index
  }

  #become(state: 'probe' | 'replicate' | 'snapshot', next: Index): void {
    this.#state = state
    this.#snapshotIndex = asIndex(0)
    this.#nextTo(next)
    this.probeSent = false
    this.nudge = false
    this.inflights.clear()
  }

  #nextTo(next: Index): void {
    assert(next > this.#match, 'match < next')
    this.#next = next
  }

  /** The follower has everything up to `index`, durable. False: nothing new. */
  maybeMatchTo(index: Index): boolean {
    if (index <= this.#match) return false
    this.#match = index
    if (this.#next <= index) this.#next = asIndex(index + 1)
    this.probeSent = false
    return true
  }

  /** Replicate: an append up to `lastIndex` has gone. */
  sentTo(lastIndex: Index, bytes: number): void {
    this.#nextTo(asIndex(lastIndex + 1))
    this.inflights.add(lastIndex, bytes)
  }

  /** An append after `rejected` was refused; the logs may match at `hint`. False: an old answer, already known to be wrong. */
  maybeRejectedTo(rejected: Index, hint: Index): boolean {
    if (this.#state === 'replicate') {
      if (rejected <= this.#match) return false
      this.becomeProbe()
      return true
    }
    // Probes go one at a time: any other index answers one that was overtaken.
    if (this.#state !== 'probe' || rejected !== this.#next - 1) return false
    this.#nextTo(asIndex(Math.max(Math.min(rejected, hint + 1), this.#match + 1)))
    this.probeSent = false
    this.nudge = false
    return true
  }

  /** False: one is on its way already, or one has failed a moment ago. */
  maybeBeginRebuild(): boolean {
    if (this.isRebuilding || this.#rebuildPauseTicks > 0 || this.#state === 'snapshot') return false
    this.isRebuilding = true
    return true
  }

  /** The snapshot stream has ended: installed at `index`, or failed. */
  snapshotEnded(index: Index, installed: boolean): void {
    if (this.isRebuilding && !installed) this.#rebuildPauseTicks = this.#rebuildPauseTicksMax
    this.isRebuilding = false
    if (this.#state !== 'snapshot') return
    if (installed) {
      this.heard()
      this.becomeProbe(asIndex(Math.max(this.#match, index, this.#snapshotIndex) + 1))
      return
    }
    // Wait for a heartbeat's answer before another stream is begun.
    this.becomeProbe()
    this.probeSent = true
  }
}
