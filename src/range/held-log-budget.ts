// What followers that catch up may hold of the log (log-holds.ts), in all ranges of a node together. In the second half of the
// budget, writes are slowed to what the room left bears for three minutes, ever more slowly as it shrinks: they go on, and the
// follower is level some day, instead of starting anew for ever.

import type { Logger } from '../base/logger.ts'
import type { RaftStatus } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import type { Refusal } from './local-store.ts'
import type { LogHolds } from './log-holds.ts'

/** The room left lasts so long, at the pace at which writes are let through. */
const roomLastsMs = 180_000
const lookEveryMs = 1_000
/** By default a mebibyte, of 512: a follower that gains less in half a minute must not slow down a cluster. */
const progressesOfBudget = 512
const retryMsMin = 50
const retryMsMax = 1_000
/** The `queue` of an overloaded that lasts until followers have caught up. */
const heldLogQueue = 'log held for followers that catch up'

/** What of a replica counts here. */
export interface HoldingReplica {
  readonly holds: LogHolds
  readonly log: { readonly truncatedIndex: RaftStatus['commit'] }
  status(): RaftStatus
}

export class HeldLogBudget {
  readonly #budgetBytes: number
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #logger: Pick<Logger, 'warn'>
  #heldBytes = 0
  #lookDueMs = 0
  #isTold = false
  /** Not before this is the next write let through. */
  #nextMs = 0

  constructor(budgetBytes: number, clock: Pick<Clock, 'monotonicMs'>, logger: Pick<Logger, 'warn'>) {
    this.#budgetBytes = budgetBytes
    this.#clock = clock
    this.#logger = logger
  }

  /** Writes are slowed. */
  get #isShort(): boolean {
    return this.#heldBytes > this.#budgetBytes / 2
  }

  /** Before its log is truncated. */
  look(replica: HoldingReplica): void {
    const slowedForBytes = this.#isShort ? Math.ceil(this.#budgetBytes / progressesOfBudget) : 0
    replica.holds.look(replica.status(), replica.log.truncatedIndex, this.#clock.monotonicMs(), slowedForBytes)
  }

  /** At every tick: who makes progress is noticed once a second. */
  tick(replicas: readonly HoldingReplica[]): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < this.#lookDueMs) return
    this.#lookDueMs = nowMs + lookEveryMs
    for (const replica of replicas) this.look(replica)
    this.#heldBytes = replicas.reduce((sum, { holds }) => sum + holds.heldBytes, 0)
    if (this.#heldBytes === 0) this.#isTold = false
  }

  /** What a write of so many bytes is answered that is to be tried again later; undefined: it is let through. */
  admit({ holds }: Pick<HoldingReplica, 'holds'>, bytes: number): Refusal | undefined {
    if (holds.heldBytes === 0) return undefined
    if (this.#isShort) {
      const roomBytes = this.#budgetBytes - this.#heldBytes
      const nowMs = this.#clock.monotonicMs()
      const waitMs = roomBytes <= 0 ? retryMsMax : this.#nextMs - nowMs
      if (waitMs > 0) {
        this.#tell()
        const retryAfterMs = Math.min(retryMsMax, Math.max(retryMsMin, Math.ceil(waitMs)))
        return { kind: 'overloaded', queue: heldLogQueue, retryAfterMs }
      }
      this.#nextMs = nowMs + (bytes * roomLastsMs) / roomBytes
    }
    // What is let through is held until the next look finds otherwise.
    this.#heldBytes += bytes
    return undefined
  }

  /** Once, until nothing is held any more. */
  #tell(): void {
    if (this.#isTold) return
    this.#isTold = true
    this.#logger.warn(
      { bytes: this.#heldBytes, budget: this.#budgetBytes },
      'followers that catch up hold much log: writes are slowed until they have',
    )
  }
}
