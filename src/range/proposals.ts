// Writes on their way: those that wait to be proposed, and those proposed that wait to be applied. It knows no Raft;
// the replica tells it what became of an entry.
//
// Invariants: each request is answered exactly once; the queue's bytes are bounded; an entry that was applied under
// another term than it was proposed in was overwritten, and its requests were certainly not applied.

import { must } from '../base/assert.ts'
import type { Index, NodeId, Term } from '../base/ids.ts'
import type { ApplyResult } from '../command/apply.ts'
import type { RangeState } from '../command/range-state.ts'
import type { quorate } from '../proto/quorate.js'
import type { WriteAnswer } from './local-store.ts'
import { appliedAnswer } from './proposal-refusal.ts'

export interface PendingWrite {
  readonly writes: Uint8Array
  readonly batch: quorate.v1.WriteBatch
  readonly operations: number
  /** Keys that it touches when it is applied. */
  readonly keyOperations: number
  readonly deadlineMs: number
  readonly answer: (answer: WriteAnswer) => void
}

export interface EntryLimits {
  readonly entryBytes: number
  readonly entryKeyOperations: number
}

interface ProposedEntry {
  readonly index: Index
  readonly term: Term
  readonly writes: readonly PendingWrite[]
}

export class Proposals {
  #waiting: PendingWrite[] = []
  #waitingBytes = 0
  /** In index order: proposals are appended as they are made, and settled from the front. */
  #proposed: ProposedEntry[] = []
  /** Of the entry that was applied last, or is being applied. */
  #applying: readonly PendingWrite[] = []

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#proposed.length === 0
  }

  enqueue(write: PendingWrite): void {
    this.#waiting.push(write)
    this.#waitingBytes += write.writes.length
  }

  /** The next writes for one entry: as many as fit in both limits, at least one. */
  takeForEntry({ entryBytes, entryKeyOperations }: EntryLimits): readonly PendingWrite[] {
    let bytes = 0
    let keyOperations = 0
    let count = 0
    for (const write of this.#waiting) {
      bytes += write.writes.length
      keyOperations += write.keyOperations
      if (count > 0 && (bytes > entryBytes || keyOperations > entryKeyOperations)) {
        bytes -= write.writes.length
        break
      }
      count++
    }
    const taken = count === this.#waiting.length ? this.#waiting : this.#waiting.slice(0, count)
    this.#waiting = count === this.#waiting.length ? [] : this.#waiting.slice(count)
    this.#waitingBytes -= bytes
    return taken
  }

  proposed(index: Index, term: Term, writes: readonly PendingWrite[]): void {
    this.#proposed.push({ index, term, writes })
  }

  /** The writes of the entry at `index`, if it is the one proposed here. Those overwritten by another term's are answered. */
  takeApplied(index: Index, term: Term, leader: NodeId | undefined): readonly PendingWrite[] | undefined {
    const first = this.#proposed[0]
    if (first === undefined || first.index > index) return undefined
    this.#proposed.shift()
    if (first.index === index && first.term === term) return (this.#applying = first.writes)
    for (const write of first.writes) write.answer({ kind: 'not-leader', leader })
    return first.index < index ? this.takeApplied(index, term, leader) : undefined
  }

  /** Leadership was lost: what was only waiting was not applied, what was proposed may yet be. */
  leadershipLost(leader: NodeId | undefined): void {
    this.refuseWaiting({ kind: 'not-leader', leader })
    for (const entry of this.#proposed) for (const write of entry.writes) write.answer({ kind: 'unknown-outcome' })
    this.#proposed = []
  }

  /** Nothing is applied any more: the entry that it ended in may be applied elsewhere. */
  stop(refusal: WriteAnswer): void {
    for (const write of this.#applying) write.answer({ kind: 'unknown-outcome' })
    this.leadershipLost(undefined)
    this.refuseWaiting(refusal)
  }

  refuseWaiting(answer: WriteAnswer): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const write of waiting) write.answer(answer)
  }

  /** Answers what waited past its deadline; entries stay listed so that applying finds them (an answer counts once). */
  expire(nowMs: number): void {
    if (this.#waiting.some(write => write.deadlineMs <= nowMs)) {
      const kept: PendingWrite[] = []
      for (const write of this.#waiting) {
        if (write.deadlineMs > nowMs) kept.push(write)
        else {
          this.#waitingBytes -= write.writes.length
          write.answer({ kind: 'overloaded', queue: 'proposals', retryAfterMs: 50 })
        }
      }
      this.#waiting = kept
    }
    for (const writes of [this.#applying, ...this.#proposed.map(entry => entry.writes)])
      for (const write of writes) if (write.deadlineMs <= nowMs) write.answer({ kind: 'unknown-outcome' })
  }
}

/** One result each, in the order of the entry. `state`: after it. */
export function answerApplied(writes: readonly PendingWrite[], { requests }: ApplyResult, state: RangeState): void {
  writes.forEach((write, at) => write.answer(appliedAnswer(must(requests[at]), state)))
}

/** Wraps a resolver so that the first answer counts and later ones are nothing. */
export function answerOnce(resolve: (answer: WriteAnswer) => void): (answer: WriteAnswer) => void {
  let answered = false
  return answer => {
    if (answered) return
    answered = true
    resolve(answer)
  }
}
