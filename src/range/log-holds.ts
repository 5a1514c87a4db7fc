// Which log a leader keeps for followers that catch up, beyond what it keeps anyway. A follower holds what it lacks, and while
// a snapshot is on its way, what comes after that; else each snapshot would be too old by the time it is installed, and the
// next one as well (hashicorp/raft#212, braft#528). However long that takes: what counts is progress. A follower whose log
// does not grow, or whose snapshot does not go on, for `stallMs` holds nothing until it does again; one that does not
// even answer holds nothing that others are slowed for.

import { type Index, type ReplicaId, asIndex } from '../base/ids.ts'
import type { ProgressStatus, RaftStatus } from '../raft/types.ts'
import type { LogRetention } from './log-retention.ts'

interface Holder {
  /** Everything above it is needed. */
  has: Index
  streamIndex: number
  streamBytes: number
  gainedBytes: number
  /** The last time that it had gained enough, or lacked nothing, and what it had gained by then. */
  progressMs: number
  progressBytes: number
}

export class LogHolds {
  readonly #retention: LogRetention
  readonly #stallMs: number
  readonly #holders = new Map<ReplicaId, Holder>()
  readonly #streams = new Map<ReplicaId, { readonly index: Index; readonly workBytes: number }>()
  #needed = asIndex(Number.MAX_SAFE_INTEGER)
  #heldBytes = 0

  constructor(retention: LogRetention, stallMs: number) {
    this.#retention = retention
    this.#stallMs = stallMs
  }

  /** Somebody needs everything above it. */
  get needed(): Index {
    return this.#needed
  }

  /** What is kept for followers alone, as of the last look. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** A snapshot of `index` is on its way, and so much of it was received, and then installed. */
  streamed(to: ReplicaId, index: Index, workBytes: number): void {
    this.#streams.set(to, { index, workBytes })
  }

  streamEnded(to: ReplicaId): void {
    this.#streams.delete(to)
  }

  /**
   * `slowedForBytes`: writes are slowed for the holders, each of which has to gain so many bytes within `stallMs`; 0: they are
   * not, and anything is progress. Looked at before every truncation, and every second or so.
   */
  look(status: RaftStatus, truncatedIndex: Index, nowMs: number, slowedForBytes: number): void {
    const followers = status.progress.filter(({ replica }) => replica !== status.id)
    const known = new Set(followers.map(({ replica }) => replica))
    for (const replica of this.#holders.keys()) if (!known.has(replica)) this.#holders.delete(replica)
    this.#needed = asIndex(Number.MAX_SAFE_INTEGER)
    for (const follower of followers) {
      const has = this.#hasOf(follower)
      // Whoever lacks what is truncated already gets a snapshot in any case.
      if (has < truncatedIndex) continue
      if (this.#isHolding(follower, has, status.lastIndex, nowMs, slowedForBytes) && has < this.#needed)
        this.#needed = has
    }
    const lacking = this.#retention.bytesAbove(this.#needed)
    this.#heldBytes = Math.max(0, lacking - this.#retention.retainedBytes)
  }

  #hasOf({ replica, state, match, next }: ProgressStatus): Index {
    if (state === 'snapshot') return this.#streams.get(replica)?.index ?? asIndex(next - 1)
    return state === 'replicate' ? match : asIndex(next - 1)
  }

  #isHolding(follower: ProgressStatus, has: Index, last: Index, nowMs: number, slowedForBytes: number): boolean {
    const { replica, state, recentActive } = follower
    let holder = this.#holders.get(replica)
    if (holder === undefined) {
      const none = { streamIndex: 0, streamBytes: 0, gainedBytes: 0, progressBytes: 0 }
      holder = { has, progressMs: nowMs, ...none }
      this.#holders.set(replica, holder)
    }
    const isNewChance = this.#isNewChance(holder, replica)
    holder.gainedBytes += this.#gained(holder, follower, has)
    if (isNewChance || has >= last || holder.gainedBytes - holder.progressBytes >= Math.max(1, slowedForBytes)) {
      holder.progressMs = nowMs
      holder.progressBytes = holder.gainedBytes
    }
    // While it installs a snapshot, a replica answers nothing else.
    if (slowedForBytes > 0 && !recentActive && state !== 'snapshot') holder.progressMs = nowMs - this.#stallMs
    return nowMs - holder.progressMs < this.#stallMs
  }

  /** A snapshot begins, and the one before was not in vain from its start. */
  #isNewChance({ streamIndex, streamBytes }: Holder, replica: ReplicaId): boolean {
    const stream = this.#streams.get(replica)
    return stream !== undefined && stream.index !== streamIndex && (streamIndex === 0 || streamBytes > 0)
  }

  /** Since the last look. Neither is it progress that a newer snapshot begins further on, nor what it begins with. */
  #gained(holder: Holder, { replica, state }: ProgressStatus, has: Index): number {
    let gained = 0
    if (has > holder.has && state !== 'snapshot')
      gained += Math.max(1, this.#retention.bytesAbove(holder.has) - this.#retention.bytesAbove(has))
    holder.has = has
    const stream = this.#streams.get(replica)
    if (stream === undefined) return gained
    if (stream.index === holder.streamIndex) gained += Math.max(0, stream.workBytes - holder.streamBytes)
    holder.streamIndex = stream.index
    holder.streamBytes = stream.workBytes
    return gained
  }
}
