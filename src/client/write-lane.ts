// The way of every write (DESIGN.md 3, 10, 17): operations of a tick gather, all that arrives while a batch is under
// way goes into the next one, and a batch's bytes, once encoded, are repeated unchanged until somebody answers for
// them. The session's numbers make that safe: however often the bytes arrive, each write applies once.
//
// Invariants: a number is settled only when no attempt of its will follow; a write that some attempt may have carried
// into the log is never reported as not applied.

import { assert } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import { addsData, keyOperationsOf } from '../base/key-operations.ts'
import { SessionNumbers, sessionIdBytes } from '../base/session-numbers.ts'
import { quorate } from '../proto/quorate.js'
import type { Timer } from '../time/clock.ts'
import { clockSkewMaxMs } from '../time/hybrid-clock.ts'
import { type Timestamp, addMs } from '../time/timestamp.ts'
import { closedError } from './call-errors.ts'
import type { Cluster } from './cluster.ts'
import { decodeErrorMessage } from './error-decoding.ts'
import type { Operation } from './operation.ts'
import { OperationIntake } from './operation-intake.ts'
import { sweepOperations } from './operation-queue.ts'
import type { CallOptions } from './options.ts'
import type { BatchResponse, OutcomeMessage } from './wire.ts'

/** What a Write message carries beside its number. */
export type WriteRequest = Omit<quorate.v1.Write.$Properties, 'number'> & { number?: number }
type WriteOperation = Operation<WriteRequest, OutcomeMessage>

interface WriteBatch {
  readonly operations: readonly WriteOperation[]
  /** Fixed with `notAfter`, unless it is certain that no attempt with them was taken. */
  bytes: Uint8Array
  notAfter: Timestamp
  /** Monotonic milliseconds: the latest of its operations'. */
  readonly deadlineMs: number
  attempts: number
  /** Attempts without an answer: each next one is given longer. */
  unanswered: number
  retry: Timer | undefined
  /** Some attempt may have been applied: its outcome is not known. */
  isInDoubt: boolean
  /** An attempt is out, unanswered. */
  isOut: boolean
  /** Times that a node said that it cannot serve, which says nothing of the others. */
  refusals: number
  lastError: KvError | undefined
  isDone: boolean
}

const leaveEarlyMsMin = 50
/** What nodes take in one request (gateway limit batchKeyOperationsMax), unless they are told otherwise. */
const keyOperations = { max: 16_384, of: keyOperationsOf }

export class WriteLane {
  readonly #cluster: Cluster
  readonly #numbers: SessionNumbers
  readonly #intake: OperationIntake<WriteRequest, OutcomeMessage>
  readonly #underWay = new Set<WriteBatch>()
  /** Parts of batches that were refused whole, waiting to go alone. */
  #parts: WriteBatch[] = []

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#numbers = new SessionNumbers(crypto.getRandomValues(new Uint8Array(sessionIdBytes)))
    this.#intake = new OperationIntake(cluster, 'client-writes', {
      send: () => this.#send(),
      sweep: nowMs => this.#sweep(nowMs),
      rest: () => {
        for (const batch of [...this.#underWay, ...this.#parts]) this.#giveUp(batch)
      },
    })
  }

  /** Rejects with a KvError: see Client for the codes. */
  submit<Result>(
    request: WriteRequest,
    bytes: number,
    options: CallOptions,
    finish: (outcome: OutcomeMessage) => Result,
  ): Promise<Result> {
    return this.#intake.submit(request, bytes, options, finish)
  }

  close(): void {
    this.#intake.close()
    for (const batch of [...this.#underWay, ...this.#parts]) this.#giveUp(batch, closedError())
  }

  #send(): void {
    const cluster = this.#cluster
    const { writeBatchesInFlight, batchOperationsMax, batchBytesMax } = cluster.settings
    while (this.#underWay.size < writeBatchesInFlight) {
      const part = this.#parts.shift()
      const batch =
        part ?? this.#createBatch(this.#intake.queue.take(batchOperationsMax, batchBytesMax, undefined, keyOperations))
      if (batch === undefined) return
      if (batch.isDone) continue
      this.#underWay.add(batch)
      this.#attempt(batch)
    }
  }

  #createBatch(operations: WriteOperation[]): WriteBatch | undefined {
    if (operations.length === 0) return undefined
    let deadlineMs = 0
    for (const operation of operations) {
      operation.request.number = this.#numbers.next()
      if (operation.deadlineMs > deadlineMs) deadlineMs = operation.deadlineMs
    }
    return this.#openBatch(operations, deadlineMs, addMs(this.#cluster.now(), this.#aheadMs(deadlineMs)))
  }

  /** How far ahead of now `notAfter` is: a leader's clock may be ahead of what was seen by as much as is tolerated. */
  #aheadMs(deadlineMs: number): number {
    return Math.max(0, Math.ceil(deadlineMs - this.#cluster.clock.monotonicMs())) + clockSkewMaxMs
  }

  #encode(operations: readonly WriteOperation[], notAfter: Timestamp): Uint8Array {
    return quorate.v1.WriteBatch.encode({
      session: this.#numbers.sessionId,
      floor: this.#numbers.floor,
      notAfter,
      writes: operations.map(operation => operation.request),
    }).finish()
  }

  #openBatch(operations: readonly WriteOperation[], deadlineMs: number, notAfter: Timestamp): WriteBatch {
    return {
      operations,
      bytes: this.#encode(operations, notAfter),
      notAfter,
      deadlineMs,
      attempts: 0,
      unanswered: 0,
      retry: undefined,
      isInDoubt: false,
      isOut: false,
      refusals: 0,
      lastError: undefined,
      isDone: false,
    }
  }

  #attempt(batch: WriteBatch): void {
    const cluster = this.#cluster
    if (batch.isDone || cluster.isClosed) return
    const nowMs = cluster.clock.monotonicMs()
    const timeoutMs = Math.min(cluster.attemptMs(batch.unanswered), batch.deadlineMs - nowMs)
    if (timeoutMs <= 0) {
      this.#giveUp(batch)
      return
    }
    batch.attempts++
    const address = cluster.pickLeader(nowMs, batch.attempts)
    batch.isOut = true
    for (const operation of batch.operations) operation.isSent = true
    const request = { id: 0, header: cluster.header(timeoutMs), writes: batch.bytes }
    cluster
      .writeStream(address)
      .send(request, { timeoutMs, leader: cluster.routes.leaderAt(address) }, (error, response) => {
        if (batch.isDone) return
        batch.isOut = false
        if (response === undefined) this.#lost(batch, address, error)
        else this.#answered(batch, address, response)
      })
  }

  #lost(batch: WriteBatch, address: string, error: KvError | undefined): void {
    if (error?.code !== 'unavailable') batch.isInDoubt = true
    batch.lastError = error
    if (error?.code === 'too-large' || error?.code === 'invalid-argument') {
      this.#refused(batch, error)
      return
    }
    batch.unanswered++
    this.#retry(batch, false, this.#cluster.lost(address))
  }

  #answered(batch: WriteBatch, address: string, response: BatchResponse): void {
    const cluster = this.#cluster
    cluster.answered(address, response.header)
    if (response.error) {
      const error = decodeErrorMessage(response.error)
      batch.lastError = error
      const goNow = cluster.refused(address, error)
      switch (error.code) {
        case 'unknown-outcome':
        case 'internal':
          batch.isInDoubt = true
          break
        case 'not-leader':
        case 'unavailable':
        case 'overloaded':
        case 'range-mismatch':
        case 'draining':
        case 'closed':
        case 'cancelled':
        case 'deadline-exceeded':
          break
        case 'damaged':
        case 'not-initialised':
          // A quarantined node, or a wiped one, says so of itself; only when all do is there nobody to ask.
          batch.refusals++
          if (batch.refusals < cluster.routes.addresses.length) break
          this.#refused(batch, error)
          return
        default:
          if (!isNotAfterAhead(error)) this.#refused(batch, error)
          // Its bytes may be in the log: others must not go under the same numbers, and these would be refused again.
          else if (batch.isInDoubt) this.#giveUp(batch, error)
          else if (this.#maybeRefix(batch, error)) this.#retry(batch, true, 0)
          else this.#refused(batch, error)
          return
      }
      this.#retry(batch, goNow, error.retryAfterMs)
      return
    }
    if (response.outcomes.length !== batch.operations.length) {
      const counts = `${response.outcomes.length} outcomes for ${batch.operations.length} writes`
      batch.isInDoubt = true
      this.#refused(batch, new KvError('internal', `${address} answered with ${counts}`))
      return
    }
    this.#settle(batch)
    for (let i = 0; i < batch.operations.length; i++) {
      const outcome = response.outcomes[i]
      if (outcome === undefined) continue
      cluster.observed.tokenTo(outcome.timestamp)
      batch.operations[i]?.answer(outcome)
    }
    this.#intake.flush()
  }

  /**
   * The leader's clock finds `notAfter` too far ahead. Nothing was taken, now or before: the same numbers may go again
   * under another one.
   */
  #maybeRefix(batch: WriteBatch, error: KvError): boolean {
    assert(!batch.isInDoubt, 'a number that may be in the log never goes under another notAfter')
    const { limitValue, now, node } = error.details
    const aheadMs = this.#aheadMs(batch.deadlineMs)
    // It is the caller's own deadline that is too far ahead, not the estimate of now.
    if (aheadMs > Number(limitValue)) return false
    const cluster = this.#cluster
    const estimate = cluster.observed.nowAfterRefusal(node ?? '', Number(now))
    batch.notAfter = addMs(estimate, aheadMs)
    batch.bytes = this.#encode(batch.operations, batch.notAfter)
    cluster.discover()
    return true
  }

  #retry(batch: WriteBatch, goNow: boolean, retryAfterMs: number): void {
    if (batch.operations.every(operation => operation.isSettled)) {
      // Nobody waits for it any more; the floor will pass its numbers.
      this.#giveUp(batch)
      return
    }
    const { clock, backoff } = this.#cluster
    // A hint is followed at once, but two nodes that name each other are not followed for ever.
    const isPrompt = goNow && batch.attempts <= 3
    const delayMs = isPrompt ? 0 : backoff.delayMs(batch.attempts - 1, retryAfterMs)
    if (delayMs === 0) clock.defer(() => this.#attempt(batch))
    else batch.retry = clock.setTimer(delayMs, () => this.#attempt(batch))
  }

  /** `error` will not change by trying again. One bad operation must not fail its neighbours: each goes alone. */
  #refused(batch: WriteBatch, error: KvError): void {
    const parts = partsOf(batch.operations, error)
    if (parts.length < 2) {
      this.#giveUp(batch, error)
      return
    }
    batch.isDone = true
    this.#underWay.delete(batch)
    for (const operations of parts) {
      const deadlineMs = Math.max(...operations.map(operation => operation.deadlineMs))
      const part = this.#openBatch(operations, deadlineMs, batch.notAfter)
      part.isInDoubt = batch.isInDoubt
      this.#parts.push(part)
    }
    this.#intake.flush()
  }

  /** No attempt follows. Without `error`, time is up. */
  #giveUp(batch: WriteBatch, error?: KvError): void {
    if (batch.isOut) batch.isInDoubt = true
    this.#settle(batch)
    for (const operation of batch.operations) {
      if (!operation.isSettled) operation.fail(finalError(batch, error))
    }
    this.#intake.flush()
  }

  #settle(batch: WriteBatch): void {
    batch.isDone = true
    batch.retry?.cancel()
    this.#underWay.delete(batch)
    for (const operation of batch.operations) this.#numbers.settled(operation.request.number ?? 0)
  }

  #sweep(nowMs: number): number {
    const cluster = this.#cluster
    let nextMs = this.#intake.queue.sweep(operation => {
      if (operation.deadlineMs > nowMs) return
      const cause = cluster.isReady ? undefined : cluster.discoveryError
      operation.fail(notSentError(cause))
    })
    for (const batch of [...this.#underWay, ...this.#parts]) {
      if (batch.deadlineMs <= nowMs) {
        if (!batch.isDone) this.#giveUp(batch)
        continue
      }
      const earliestMs = sweepOperations(batch.operations, operation => {
        // Who leaves before the batch ends cannot know what becomes of it; so nobody leaves for a few milliseconds.
        const leavesEarly = batch.deadlineMs - operation.deadlineMs > leaveEarlyMsMin
        if (leavesEarly && operation.deadlineMs <= nowMs) operation.fail(unknownOutcome(batch.lastError))
      })
      nextMs = Math.min(nextMs, earliestMs <= nowMs ? batch.deadlineMs : earliestMs)
    }
    return nextMs
  }
}

/** How what was refused together may go anew: each alone that may be at fault; deletions, where there is no room for data. */
function partsOf(operations: readonly WriteOperation[], { code }: KvError): readonly (readonly WriteOperation[])[] {
  if (code === 'invalid-argument' || code === 'too-large') return operations.map(operation => [operation])
  if (code !== 'disk-full') return [operations]
  const adding = operations.filter(({ request }) => addsData(request))
  const others = operations.filter(({ request }) => !addsData(request))
  return [others, adding].filter(part => part.length > 0)
}

function isNotAfterAhead(error: KvError): boolean {
  return error.code === 'invalid-argument' && error.details['limit'] === 'notAfterAheadMs'
}

function finalError(batch: WriteBatch, error: KvError | undefined): KvError {
  if (batch.isInDoubt) return unknownOutcome(error ?? batch.lastError)
  if (error !== undefined) return error
  return notSentError(batch.lastError)
}

function unknownOutcome(cause: KvError | undefined): KvError {
  const reason = cause === undefined ? '' : `: ${cause.message}`
  return new KvError('unknown-outcome', `the write may or may not have been applied${reason}`, { cause })
}

function notSentError(cause: KvError | undefined): KvError {
  if (cause === undefined) return new KvError('deadline-exceeded', 'the time was up before the write could be sent')
  return new KvError('unavailable', `not applied: ${cause.message}`, { cause })
}
