// The way of every get: those that ask alike travel together, over a few connections of which each carries one batch
// at a time. Linearizable ones go to the leader, all others to any node in turn. Reads may be repeated freely.

import { KvError } from '../base/errors.ts'
import { closedError, isWorthRepeating, readTimeout } from './call-errors.ts'
import { type Cluster, firstReadLane } from './cluster.ts'
import { decodeErrorMessage } from './error-decoding.ts'
import type { Operation } from './operation.ts'
import { OperationIntake } from './operation-intake.ts'
import { sweepOperations } from './operation-queue.ts'
import { type CallOptions, isLinearizable } from './options.ts'
import type { BatchResponse, KeyVersionMessage, ReadOptionsMessage } from './wire.ts'

export interface ReadRequest {
  readonly key: Uint8Array
  readonly options: ReadOptionsMessage
}
type ReadOperation = Operation<ReadRequest, KeyVersionMessage>

interface ReadBatch {
  operations: ReadOperation[]
  readonly options: ReadOptionsMessage
  /** Which of the connections it holds. */
  readonly slot: number
  attempts: number
  refusals: number
  lastError: KvError | undefined
}

/** A batch's answer should stay near this; sizes are guessed from the answers before. */
const answerBytesTarget = 4 * 1024 * 1024

export class ReadLane {
  readonly #cluster: Cluster
  readonly #intake: OperationIntake<ReadRequest, KeyVersionMessage>
  readonly #freeSlots: number[]
  readonly #underWay = new Set<ReadBatch>()
  #itemBytes = 1024

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    const { readConnections } = cluster.settings
    this.#freeSlots = Array.from({ length: Math.max(1, readConnections) }, (_, slot) => slot)
    this.#intake = new OperationIntake(cluster, 'client-reads', {
      send: () => this.#send(),
      sweep: nowMs => this.#sweep(nowMs),
    })
  }

  submit<Result>(
    key: Uint8Array,
    readOptions: ReadOptionsMessage,
    options: CallOptions,
    finish: (item: KeyVersionMessage) => Result,
  ): Promise<Result> {
    return this.#intake.submit({ key, options: readOptions }, key.length, options, finish)
  }

  close(): void {
    this.#intake.close()
    for (const batch of this.#underWay) sweepOperations(batch.operations, operation => operation.fail(closedError()))
  }

  #send(): void {
    const cluster = this.#cluster
    const { batchOperationsMax, batchBytesMax } = cluster.settings
    while (this.#intake.queue.length > 0) {
      const slot = this.#freeSlots.shift()
      if (slot === undefined) return
      const operationsMax = Math.max(1, Math.min(batchOperationsMax, Math.floor(answerBytesTarget / this.#itemBytes)))
      const operations = this.#intake.queue.take(operationsMax, batchBytesMax, goTogether)
      const first = operations[0]
      if (first === undefined) {
        this.#freeSlots.push(slot)
        return
      }
      const batch = { operations, options: first.request.options, slot, attempts: 0, refusals: 0, lastError: undefined }
      this.#underWay.add(batch)
      this.#attempt(batch)
    }
  }

  #attempt(batch: ReadBatch): void {
    const cluster = this.#cluster
    if (cluster.isClosed) return
    batch.operations = batch.operations.filter(operation => !operation.isSettled)
    if (batch.operations.length === 0) {
      this.#done(batch)
      return
    }
    const nowMs = cluster.clock.monotonicMs()
    let latestMs = 0
    for (const operation of batch.operations) latestMs = Math.max(latestMs, operation.deadlineMs)
    const timeoutMs = Math.max(1, Math.min(cluster.settings.attemptTimeoutMs, latestMs - nowMs))
    const { routes } = cluster
    const toLeader = isLinearizable(batch.options)
    const address = toLeader ? routes.pickLeader(nowMs) : routes.pickAny(nowMs)
    batch.attempts++
    const request = {
      id: 0,
      header: cluster.header(timeoutMs),
      gets: batch.operations.map(operation => operation.request.key),
      options: batch.options,
    }
    const sent = batch.operations
    const stream = cluster.stream(address, firstReadLane + batch.slot)
    stream.send(request, { timeoutMs, toLeader }, (error, response) => {
      if (response !== undefined) this.#answered(batch, sent, address, response)
      else if (error?.code === 'too-large') this.#refused(batch, error)
      else {
        batch.lastError = error
        cluster.lost(address)
        this.#retry(batch, false, 0)
      }
    })
  }

  #answered(batch: ReadBatch, sent: readonly ReadOperation[], address: string, response: BatchResponse): void {
    const cluster = this.#cluster
    cluster.answered(address, response.header)
    if (response.error) {
      const error = decodeErrorMessage(response.error)
      batch.lastError = error
      const goNow = cluster.refused(address, error)
      if (isWorthRepeating(error) || this.#anotherMayServe(batch, error)) {
        this.#retry(batch, goNow, error.retryAfterMs)
      } else this.#refused(batch, error)
      return
    }
    if (response.items.length !== sent.length) {
      const counts = `${response.items.length} items for ${sent.length} gets`
      this.#failAll(batch, new KvError('internal', `${address} answered with ${counts}`))
      return
    }
    let bytes = 0
    for (let i = 0; i < sent.length; i++) {
      const item = response.items[i]
      if (item === undefined) continue
      bytes += item.value?.length ?? 0
      // Of a key that was absent only the state's last stamp is known to be no earlier.
      cluster.observed.tokenTo(item.timestamp || response.header?.clock)
      sent[i]?.answer(item)
    }
    this.#itemBytes = Math.max(64, this.#itemBytes * 0.75 + (bytes / sent.length) * 0.25)
    this.#done(batch)
  }

  /** What one replica cannot serve, another may. */
  #anotherMayServe(batch: ReadBatch, error: KvError): boolean {
    if (error.code !== 'damaged' && error.code !== 'not-initialised') return false
    batch.refusals++
    return batch.refusals < this.#cluster.routes.addresses.length
  }

  #retry(batch: ReadBatch, goNow: boolean, retryAfterMs: number): void {
    const { clock, backoff } = this.#cluster
    const delayMs = goNow && batch.attempts <= 3 ? 0 : backoff.delayMs(batch.attempts - 1, retryAfterMs)
    if (delayMs === 0) clock.defer(() => this.#attempt(batch))
    else clock.setTimer(delayMs, () => this.#attempt(batch))
  }

  /** `error` will not change by trying again; but one get's fault, or one answer too large, is not the others'. */
  #refused(batch: ReadBatch, error: KvError): void {
    const mayBeOnesFault = error.code === 'invalid-argument' || error.code === 'too-large'
    if (!mayBeOnesFault || batch.operations.length === 1) {
      this.#failAll(batch, error)
      return
    }
    if (error.code === 'too-large') this.#itemBytes = Math.max(this.#itemBytes, answerBytesTarget / 8)
    const half = Math.ceil(batch.operations.length / 2)
    const rest = { ...batch, operations: batch.operations.slice(half) }
    batch.operations = batch.operations.slice(0, half)
    this.#underWay.add(rest)
    this.#attempt(rest)
    this.#attempt(batch)
  }

  #failAll(batch: ReadBatch, error: KvError): void {
    for (const operation of batch.operations) operation.fail(error)
    this.#done(batch)
  }

  #done(batch: ReadBatch): void {
    this.#underWay.delete(batch)
    // Halves of one batch share its connection; the last of them frees it.
    for (const other of this.#underWay) if (other.slot === batch.slot) return
    this.#freeSlots.push(batch.slot)
    this.#intake.flush()
  }

  #sweep(nowMs: number): number {
    const cluster = this.#cluster
    const expire = (cause: KvError | undefined) => (operation: ReadOperation) => {
      if (operation.deadlineMs <= nowMs) operation.fail(readTimeout(cause))
    }
    let nextMs = this.#intake.queue.sweep(expire(cluster.isReady ? undefined : cluster.discoveryError))
    for (const batch of this.#underWay) {
      nextMs = Math.min(nextMs, sweepOperations(batch.operations, expire(batch.lastError)))
    }
    return nextMs
  }
}

function goTogether(first: ReadRequest, other: ReadRequest): boolean {
  return (
    first.options === other.options ||
    (first.options.kind === other.options.kind && first.options.at === other.options.at)
  )
}
