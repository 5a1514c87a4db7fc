// Brings an encoded WriteBatch to the leader of its range, and repeats the same bytes, within the deadline, while that is
// safe. It is always safe: every write carries a session and a number, so it is applied once however often it arrives
// (DESIGN.md 10). It knows neither sessions nor operations.
//
// Invariant: once an attempt may have been applied, the caller is never told that it was not.

import { type ErrorCode, KvError } from '../base/errors.ts'
import { type NodeId, type RangeId, asNodeId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import type { LocalStore, Refusal, WriteAnswer } from '../range/local-store.ts'
import type { Clock } from '../time/clock.ts'
import { type Timestamp, timestampZero } from '../time/timestamp.ts'
import type { ClusterView, PeerClient } from './cluster-view.ts'
import { otherNodes } from './other-nodes.ts'
import { type AddressOf, errorFromMessage, isTransfer, refusalToError, toKvError } from './refusal-error.ts'
import type { Retry } from './retry.ts'

export interface RoutedWrite {
  readonly rangeId: RangeId
  readonly generation: number
  readonly clock: Timestamp
  readonly writes: Uint8Array
  /** Of the request: a forwarded one is served here or refused. */
  readonly hops: number
}

export interface WriteDone {
  readonly outcomes: readonly quorate.v1.IOutcome[]
  readonly clock: Timestamp
}

interface WriteRouterOptions {
  readonly store: LocalStore
  readonly peers: PeerClient
  readonly view: ClusterView
  readonly clock: Clock
  readonly addressOf: AddressOf
  readonly forwardAttemptMs: number
}

type Attempt =
  | { readonly kind: 'done'; readonly done: WriteDone }
  /** `leader`: whom the node asked believes to be it, if it refused for not being it. */
  | { readonly kind: 'failed'; readonly error: KvError; readonly leader: NodeId | undefined }

/** Another attempt may end differently; the session makes it safe. */
const repeatable: ReadonlySet<ErrorCode> = new Set([
  'not-leader',
  'unavailable',
  'draining',
  'unknown-outcome',
  'deadline-exceeded',
])

export class WriteRouter {
  readonly #options: WriteRouterOptions

  constructor(options: WriteRouterOptions) {
    this.#options = options
  }

  /** Throws KvError. */
  async write(write: RoutedWrite, retry: Retry): Promise<WriteDone> {
    const { store, view } = this.#options
    let maybeApplied = false
    let hint: NodeId | undefined
    let hintsFollowed = 0
    /** Their replicas' states are not to be trusted: others know who leads. */
    const damaged = new Set<NodeId>()
    for (;;) {
      const target = hint ?? this.#target(write.rangeId, damaged, retry.attempts)
      const attempt =
        write.hops > 0 || target === store.node
          ? await this.#attemptHere(write, retry)
          : await this.#attemptAt(target, write, retry)
      if (attempt.kind === 'done') return attempt.done
      const { error } = attempt
      if (error.code === 'unknown-outcome') maybeApplied = true
      // The node that forwarded it decides what comes next: it may know more, and hops must not multiply attempts.
      if (write.hops > 0) throw error
      let mayOthers = false
      if (error.code === 'damaged') {
        const isNews = !damaged.has(target)
        damaged.add(target)
        hint = undefined
        mayOthers = otherNodes(store, view, write.rangeId, damaged).length > 0
        if (isNews && mayOthers) continue
      }
      if (!repeatable.has(error.code) && !isTransfer(error) && !mayOthers)
        throw maybeApplied ? unknownOutcome(error) : error
      hint = attempt.leader === target ? undefined : attempt.leader
      // A fresh hint is followed at once, but two nodes that name each other must not make this a busy loop. Nor must one
      // that still names a leader which is handing over, its state being damaged.
      if (hint !== undefined && !damaged.has(hint) && hintsFollowed++ < 2) continue
      if (!(await this.#mayRepeat(retry, maybeApplied)))
        throw maybeApplied ? unknownOutcome(error) : this.#gaveUp(write, error)
    }
  }

  /** The leader as this node knows it. A node whose own replica is quarantined knows none: then the others in turn. */
  #target(rangeId: RangeId, damaged: ReadonlySet<NodeId>, turn: number): NodeId {
    const { store, view } = this.#options
    if (!damaged.has(store.node)) return store.leaderOf(rangeId) ?? store.node
    const others = otherNodes(store, view, rangeId, damaged)
    return others[turn % Math.max(1, others.length)] ?? store.node
  }

  async #mayRepeat(retry: Retry, maybeApplied: boolean): Promise<boolean> {
    try {
      return await retry.maybeAgain()
    } catch (error) {
      throw maybeApplied ? unknownOutcome(toKvError(error)) : error
    }
  }

  async #attemptHere(write: RoutedWrite, retry: Retry): Promise<Attempt> {
    const { store, addressOf } = this.#options
    const { rangeId, generation, clock, writes } = write
    const answer: WriteAnswer = await store.write({ rangeId, generation, clock, writes, deadlineMs: retry.deadlineMs })
    switch (answer.kind) {
      case 'done':
        return { kind: 'done', done: answer }
      case 'unknown-outcome':
        return { kind: 'failed', error: unknownOutcome(undefined), leader: undefined }
      default:
        return { kind: 'failed', error: refusalToError(answer, addressOf), leader: leaderIn(answer) }
    }
  }

  async #attemptAt(target: NodeId, write: RoutedWrite, retry: Retry): Promise<Attempt> {
    const { peers, clock, forwardAttemptMs } = this.#options
    // A leader that has gone silent must not eat the whole deadline: its successor is to be asked, too.
    const attemptMs = Math.min(retry.remainingMs(), forwardAttemptMs * 2 ** Math.min(retry.attempts, 8))
    if (attemptMs <= 0) return failed(new KvError('unavailable', `no time was left to ask ${target}`))
    const request: quorate.v1.IBatchRequest = {
      header: {
        clock: write.clock,
        timeoutMs: Math.max(1, Math.floor(attemptMs)),
        rangeId: write.rangeId,
        generation: write.generation,
        hops: 1,
      },
      writes: write.writes,
    }
    let response: quorate.v1.IBatchResponse
    try {
      response = await peers.forward(target, request, clock.monotonicMs() + attemptMs)
    } catch (error) {
      return failed(toKvError(error))
    }
    if (response.error) {
      const { leader } = response.error
      const error = errorFromMessage(response.error)
      return { kind: 'failed', error, leader: error.code === 'not-leader' && leader ? asNodeId(leader) : undefined }
    }
    const timestamp = (response.header?.clock ?? timestampZero) as Timestamp
    return { kind: 'done', done: { outcomes: response.outcomes ?? [], clock: timestamp } }
  }

  /** Nothing was applied, and the time is up. */
  #gaveUp(write: RoutedWrite, last: KvError): KvError {
    const message = `no leader of range ${write.rangeId} took the write in time; last: ${last.message}`
    return new KvError('unavailable', message, { cause: last })
  }
}

function failed(error: KvError): Attempt {
  return { kind: 'failed', error, leader: undefined }
}

function leaderIn(refusal: Refusal): NodeId | undefined {
  return refusal.kind === 'not-leader' ? refusal.leader : undefined
}

function unknownOutcome(cause: KvError | undefined): KvError {
  const last = cause === undefined ? '' : `; last: ${cause.message}`
  return new KvError('unknown-outcome', `the write may or may not have been applied${last}`, { cause })
}
