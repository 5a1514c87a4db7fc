// Replicas compare their states (DESIGN.md 7): each tells all others the hash that it has come to at certain indexes, and judges by
// what it hears. Whoever differs from the majority is quarantined by its own judgement, so nobody takes another's word for it.
//
// Invariants: an answer that does not come is never counted as equal; what is not compared is said to be so; a replica keeps the
// hashes of the last few indexes only, however many are sent to it.

import type { Index, ReplicaId } from '../base/ids.ts'
import { asIndex } from '../base/ids.ts'
import type { Configuration } from '../raft/types.ts'
import { type StateVerdict, judgeStates } from './state-verdict.ts'

/** Indexes whose hashes are kept, for replicas that apply later. */
const pointsMax = 16
/** A message may be lost: whoever has not answered is asked again, */
const askEveryMs = 1_000
/** for so many times of `answerMs`; without end where no majority agrees, because the range waits for it. */
const askForTimes = 6

export interface StateComparisonOptions {
  readonly self: ReplicaId
  /** Replicas that have not answered by then: could not compare. */
  readonly answerMs: number
  readonly nowMs: () => number
  readonly configuration: () => Configuration
  readonly nodeOf: (replica: ReplicaId) => string
  readonly tell: (to: ReplicaId, index: Index, hash: string, isAnswer: boolean) => void
  /** This replica's state at `index` is another than the majority's. */
  readonly onMinority: (index: Index) => void
  /** A reason: no majority agrees, so nobody is to be believed. undefined: one does again. */
  readonly onDisagreement: (reason: string | undefined) => void
}

interface Point {
  readonly index: Index
  readonly answers: Map<ReplicaId, string>
  own: string | undefined
  begunMs: number
  askedMs: number
}

export class StateComparison {
  readonly #options: StateComparisonOptions
  /** Ascending. */
  #points: Point[] = []
  /** The newest index at which a majority agreed, this replica among it. */
  comparedIndex: Index = asIndex(0)
  #isDisagreed = false

  constructor(options: StateComparisonOptions) {
    this.#options = options
  }

  /** This replica has come to `hash` at `index`. */
  reached(index: Index, hash: string): void {
    const { nowMs, self } = this.#options
    const point = this.#point(index)
    if (point === undefined || point.own !== undefined) return
    point.own = hash
    point.answers.set(self, hash)
    point.begunMs = nowMs()
    this.#ask(point, this.#others())
    this.#judge(point)
  }

  heard(from: ReplicaId, index: Index, hash: string, isAnswer: boolean): void {
    const point = this.#point(index)
    if (point === undefined) return
    point.answers.set(from, hash)
    if (point.own === undefined) return
    if (!isAnswer) this.#options.tell(from, index, point.own, true)
    this.#judge(point)
  }

  /** Every tick. */
  tick(): void {
    const point = this.#newest
    if (point === undefined) return
    const nowMs = this.#options.nowMs()
    const askForMs = this.#options.answerMs * askForTimes
    this.#judge(point)
    if (nowMs - point.askedMs < askEveryMs || (nowMs - point.begunMs > askForMs && !this.#isDisagreed)) return
    this.#ask(
      point,
      this.#others().filter(member => !point.answers.has(member)),
    )
  }

  /** What was heard of `index`, this replica's own answer included. */
  answersAt(index: Index): ReadonlyMap<ReplicaId, string> {
    return this.#points.find(point => point.index === index)?.answers ?? new Map()
  }

  /** How the newest comparison stands, in words for people. */
  describe(): string {
    const point = this.#newest
    if (point === undefined) return 'nothing was compared yet'
    const verdict = this.#verdict(point)
    switch (verdict.kind) {
      case 'agreed': {
        const parts = [
          verdict.differing.length > 0 ? `another state on ${this.#names(verdict.differing)}` : '',
          verdict.missing.length > 0 ? `could not compare with ${this.#names(verdict.missing)}` : '',
        ].filter(part => part !== '')
        if (verdict.missing.length > 0 && !this.#isLate(point)) return 'being compared'
        return parts.length === 0 ? 'equal' : parts.join('; ')
      }
      case 'open':
        return this.#isLate(point)
          ? `could not compare: no answer from ${this.#names(verdict.missing)}`
          : 'being compared'
      case 'none-agrees':
        return 'no majority of the replicas agrees'
      default:
        return verdict satisfies never
    }
  }

  /** The newest whose hash this replica knows itself. */
  get #newest(): Point | undefined {
    return this.#points.findLast(point => point.own !== undefined)
  }

  #judge(point: Point): void {
    const { self, onMinority, onDisagreement } = this.#options
    const verdict = this.#verdict(point)
    switch (verdict.kind) {
      case 'agreed':
        if (verdict.differing.includes(self)) {
          onMinority(point.index)
          return
        }
        if (point.index > this.comparedIndex) this.comparedIndex = point.index
        if (this.#isDisagreed) {
          this.#isDisagreed = false
          onDisagreement(undefined)
        }
        return
      case 'none-agrees':
        if (this.#isDisagreed) return
        this.#isDisagreed = true
        onDisagreement(
          `the replicas have come to different states at entry ${point.index}, and no majority of them agrees`,
        )
        return
      default:
    }
  }

  #verdict(point: Point): StateVerdict {
    const verdict = judgeStates(this.#options.configuration(), point.answers)
    // Those that are still to answer had their time: it is not known who is right.
    return verdict.kind === 'open' && verdict.isHalved && this.#isLate(point) ? { kind: 'none-agrees' } : verdict
  }

  #isLate(point: Point): boolean {
    return this.#options.nowMs() - point.begunMs > this.#options.answerMs
  }

  #others(): ReplicaId[] {
    const { voters, votersOutgoing, learners } = this.#options.configuration()
    const members = new Set([...voters, ...votersOutgoing, ...learners])
    members.delete(this.#options.self)
    return [...members]
  }

  #ask(point: Point, whom: readonly ReplicaId[]): void {
    point.askedMs = this.#options.nowMs()
    for (const member of whom) this.#options.tell(member, point.index, point.own ?? '', false)
  }

  #names(replicas: readonly ReplicaId[]): string {
    return replicas.map(replica => this.#options.nodeOf(replica)).join(', ')
  }

  /** undefined: older than all that is kept. */
  #point(index: Index): Point | undefined {
    const known = this.#points.find(point => point.index === index)
    if (known !== undefined) return known
    const first = this.#points[0]
    if (this.#points.length >= pointsMax && first !== undefined && index < first.index) return undefined
    const point = { index, answers: new Map<ReplicaId, string>(), own: undefined, begunMs: 0, askedMs: 0 }
    this.#points = [...this.#points, point].sort((a, b) => a.index - b.index).slice(-pointsMax)
    return point
  }
}
