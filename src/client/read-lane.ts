// The way of every get, and of every scan's first page: those of a kind that ask alike travel together, over a few connections
// of which each carries one batch at a time. Linearizable ones go to the leader, all others to any node in turn. Reads may be
// repeated freely.

import { KvError } from '../base/errors.ts'
import type { Timer } from '../time/clock.ts'
import { quorate } from '../proto/quorate.js'
import { closedError, isWorthRepeating, readTimeout } from './call-errors.ts'
import type { Cluster } from './cluster.ts'
import { decodeErrorMessage } from './error-decoding.ts'
import type { Operation } from './operation.ts'
import { OperationIntake } from './operation-intake.ts'
import { sweepOperations } from './operation-queue.ts'
import { type CallOptions, isLinearizable } from './options.ts'
import {
  type BatchRequest,
  type BatchResponse,
  type KeyVersionMessage,
  type PageMessage,
  type ReadOptionsMessage,
  type ScanRequestMessage,
  decodePage,
} from './wire.ts'

/** A page may take longer than a get: it may have to go past much that was deleted. */
export const pagePatience = 3

/** What is asked for, and how batches carry it. */
interface ReadKind<Asked, Answer> {
  /** Of the queue, for the error of an operation that it has no room for. */
  readonly queue: string
  /** In one batch. */
  readonly countMax: number
  /**
   * Any node may serve them, and each costs more than a message does: those that wait go over all connections that are free. In
   * one batch, they would keep one node busy while the others wait.
   */
  isDear(options: ReadOptionsMessage): boolean
  /** An attempt may take so many times `attemptTimeoutMs`. A connection that does not answer in time is given up. */
  readonly patience: number
  /** Which of the kinds it is: each has streams of its own. */
  readonly group: number
  request(asked: readonly Asked[]): Pick<BatchRequest, 'gets' | 'scans'>
  /** In the order of the request, as many; undefined: not read, because the response came to its limit of bytes. */
  answers(response: BatchResponse): readonly (Answer | undefined)[]
  /** About. */
  bytesOf(answer: Answer): number
  /** The newest stamp that it tells of, 0: none. */
  stampOf(answer: Answer): number
}

export const gets: ReadKind<Uint8Array, KeyVersionMessage> = {
  queue: 'client-reads',
  countMax: Number.POSITIVE_INFINITY,
  isDear: ({ kind }) => kind === quorate.v1.ReadKind.READ_KIND_AT,
  patience: 1,
  group: 0,
  request: keys => ({ gets: [...keys] }),
  answers: ({ items, getsLeft }) => (getsLeft > 0 ? [...items, ...Array<undefined>(getsLeft).fill(undefined)] : items),
  bytesOf: item => item.value?.length ?? 0,
  stampOf: item => item.timestamp ?? 0,
}

export const firstPages: ReadKind<ScanRequestMessage, PageMessage> = {
  queue: 'client-scans',
  countMax: 64,
  isDear: options => !isLinearizable(options),
  patience: pagePatience,
  group: 1,
  request: scans => ({ scans: [...scans] }),
  answers: response => response.pages.map(page => (page.length > 0 ? decodePage(page) : undefined)),
  bytesOf: page => page.items.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0),
  stampOf: page => page.at,
}

interface ReadRequest<Asked> {
  readonly asked: Asked
  readonly options: ReadOptionsMessage
}

interface ReadBatch<Asked, Answer> {
  operations: Operation<ReadRequest<Asked>, Answer>[]
  readonly options: ReadOptionsMessage
  /** Which of the connections it holds. */
  readonly slot: number
  attempts: number
  /** Attempts without an answer: each next one is given longer. */
  unanswered: number
  retry: Timer | undefined
  refusals: number
  lastError: KvError | undefined
}

/**
 * A batch's answer should stay near this: it is decoded in one piece, of each connection at once, and whoever shares the loop
 * waits for that. Sizes are guessed from the answers before; a node answers in part what comes to a few times as much.
 */
const answerBytesTarget = 1024 * 1024
/** So many operations at a time are load enough for several connections, for so long. */
const spreadOperationsMin = 32
const spreadMs = 10_000

export class ReadLane<Asked, Answer> {
  readonly #cluster: Cluster
  readonly #kind: ReadKind<Asked, Answer>
  readonly #intake: OperationIntake<ReadRequest<Asked>, Answer>
  readonly #freeSlots: number[]
  readonly #underWay = new Set<ReadBatch<Asked, Answer>>()
  /** Until then each slot has a connection of its own. */
  #spreadUntilMs = Number.NEGATIVE_INFINITY
  /** Of an answer, as answers have been lately. */
  #answerBytes = 1024

  constructor(cluster: Cluster, kind: ReadKind<Asked, Answer>) {
    this.#cluster = cluster
    this.#kind = kind
    const { readConnections } = cluster.settings
    this.#freeSlots = Array.from({ length: Math.max(1, readConnections) }, (_, slot) => slot)
    this.#intake = new OperationIntake(cluster, kind.queue, {
      send: () => this.#send(),
      sweep: nowMs => this.#sweep(nowMs),
      rest: () => {
        for (const batch of [...this.#underWay]) this.#done(batch)
      },
    })
  }

  /** `bytes`: of what is asked for. */
  submit<Result>(
    asked: Asked,
    bytes: number,
    readOptions: ReadOptionsMessage,
    options: CallOptions,
    finish: (answer: Answer) => Result,
  ): Promise<Result> {
    return this.#intake.submit({ asked, options: readOptions }, bytes, options, finish)
  }

  close(): void {
    this.#intake.close()
    for (const batch of this.#underWay) {
      batch.retry?.cancel()
      sweepOperations(batch.operations, operation => operation.fail(closedError()))
    }
  }

  #send(): void {
    const cluster = this.#cluster
    const { batchOperationsMax, batchBytesMax } = cluster.settings
    const { queue } = this.#intake
    while (queue.first !== undefined) {
      const isDear = this.#kind.isDear(queue.first.options)
      const share = isDear ? Math.ceil(queue.length / this.#freeSlots.length) : Number.POSITIVE_INFINITY
      const slot = this.#freeSlots.shift()
      if (slot === undefined) return
      const countMax = Math.min(batchOperationsMax, this.#kind.countMax, share)
      const operationsMax = Math.max(1, Math.min(countMax, Math.floor(answerBytesTarget / this.#answerBytes)))
      const operations = queue.take(operationsMax, batchBytesMax, goTogether)
      const first = operations[0]
      if (first === undefined) {
        this.#freeSlots.push(slot)
        return
      }
      this.#maybeSpread(operations.length + queue.length)
      const batch = createBatch(operations, first.request.options, slot)
      this.#underWay.add(batch)
      this.#attempt(batch)
    }
  }

  /** `waiting`: operations that one moment has to send. One connection carries little faster, and many clients lighter. */
  #maybeSpread(waiting: number): void {
    if (waiting >= spreadOperationsMin) this.#spreadUntilMs = this.#cluster.clock.monotonicMs() + spreadMs
  }

  #attempt(batch: ReadBatch<Asked, Answer>): void {
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
    const patienceMs = cluster.attemptMs(batch.unanswered) * this.#kind.patience
    const timeoutMs = Math.max(1, Math.min(patienceMs, latestMs - nowMs))
    const { routes } = cluster
    const toLeader = isLinearizable(batch.options)
    batch.attempts++
    const address = toLeader ? cluster.pickLeader(nowMs, batch.attempts) : routes.pickAny(nowMs)
    const request = {
      id: 0,
      header: cluster.header(timeoutMs),
      options: batch.options,
      ...this.#kind.request(batch.operations.map(operation => operation.request.asked)),
    }
    const sent = batch.operations
    const stream = cluster.readStream(address, this.#kind.group, batch.slot, nowMs < this.#spreadUntilMs)
    stream.send(request, { timeoutMs, leader: toLeader ? routes.leaderAt(address) : undefined }, (error, response) => {
      if (!this.#underWay.has(batch)) return
      if (response !== undefined) this.#answered(batch, sent, address, response)
      else if (error?.code === 'too-large') this.#refused(batch, error)
      else {
        batch.lastError = error
        batch.unanswered++
        this.#retry(batch, false, cluster.lost(address))
      }
    })
  }

  #answered(
    batch: ReadBatch<Asked, Answer>,
    sent: ReadBatch<Asked, Answer>['operations'],
    address: string,
    response: BatchResponse,
  ): void {
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
    const answers = this.#kind.answers(response)
    if (answers.length !== sent.length) {
      const counts = `${answers.length} answers for ${sent.length} reads`
      this.#failAll(batch, new KvError('internal', `${address} answered with ${counts}`))
      return
    }
    let bytes = 0
    let count = 0
    const left: Operation<ReadRequest<Asked>, Answer>[] = []
    for (let i = 0; i < sent.length; i++) {
      const [operation, answer] = [sent[i], answers[i]]
      if (operation === undefined) continue
      if (answer === undefined) {
        left.push(operation)
        continue
      }
      count++
      bytes += this.#kind.bytesOf(answer)
      // Of a key that was absent only the state's last stamp is known to be no earlier.
      cluster.observed.tokenTo(this.#kind.stampOf(answer) || response.header?.clock)
      operation.answer(answer)
    }
    if (count === 0) {
      this.#failAll(batch, new KvError('internal', `${address} answered none of ${sent.length} reads`))
      return
    }
    const mean = bytes / count
    // An answer in part says that the guess was far too low: to approach the truth by steps would ask for much in vain.
    this.#answerBytes =
      left.length > 0 ? Math.max(mean, this.#answerBytes) : Math.max(64, this.#answerBytes * 0.75 + mean * 0.25)
    this.#intake.queue.putBack(left)
    this.#done(batch)
  }

  /** What one replica cannot serve, another may. */
  #anotherMayServe(batch: ReadBatch<Asked, Answer>, error: KvError): boolean {
    if (error.code !== 'damaged' && error.code !== 'not-initialised') return false
    batch.refusals++
    return batch.refusals < this.#cluster.routes.addresses.length
  }

  #retry(batch: ReadBatch<Asked, Answer>, goNow: boolean, retryAfterMs: number): void {
    const { clock, backoff } = this.#cluster
    const delayMs = goNow && batch.attempts <= 3 ? 0 : backoff.delayMs(batch.attempts - 1, retryAfterMs)
    if (delayMs === 0) clock.defer(() => this.#attempt(batch))
    else batch.retry = clock.setTimer(delayMs, () => this.#attempt(batch))
  }

  /** `error` will not change by trying again; but one get's fault, or one answer too large, is not the others'. */
  #refused(batch: ReadBatch<Asked, Answer>, error: KvError): void {
    const mayBeOnesFault = error.code === 'invalid-argument' || error.code === 'too-large'
    if (!mayBeOnesFault || batch.operations.length === 1) {
      this.#failAll(batch, error)
      return
    }
    if (error.code === 'too-large') this.#answerBytes = Math.max(this.#answerBytes, answerBytesTarget / 8)
    const half = Math.ceil(batch.operations.length / 2)
    const rest = { ...batch, operations: batch.operations.slice(half) }
    batch.operations = batch.operations.slice(0, half)
    this.#underWay.add(rest)
    this.#attempt(rest)
    this.#attempt(batch)
  }

  #failAll(batch: ReadBatch<Asked, Answer>, error: KvError): void {
    for (const operation of batch.operations) operation.fail(error)
    this.#done(batch)
  }

  #done(batch: ReadBatch<Asked, Answer>): void {
    batch.retry?.cancel()
    this.#underWay.delete(batch)
    // Halves of one batch share its connection; the last of them frees it.
    for (const other of this.#underWay) if (other.slot === batch.slot) return
    // Used again first: who asks one thing after another needs one stream.
    this.#freeSlots.unshift(batch.slot)
    this.#intake.flush()
  }

  #sweep(nowMs: number): number {
    const cluster = this.#cluster
    const expire = (cause: KvError | undefined) => (operation: Operation<ReadRequest<Asked>, Answer>) => {
      if (operation.deadlineMs <= nowMs) operation.fail(readTimeout(cause))
    }
    let nextMs = this.#intake.queue.sweep(expire(cluster.isReady ? undefined : cluster.discoveryError))
    for (const batch of this.#underWay) {
      nextMs = Math.min(nextMs, sweepOperations(batch.operations, expire(batch.lastError)))
    }
    return nextMs
  }
}

function createBatch<Asked, Answer>(
  operations: Operation<ReadRequest<Asked>, Answer>[],
  options: ReadOptionsMessage,
  slot: number,
): ReadBatch<Asked, Answer> {
  return {
    operations,
    options,
    slot,
    attempts: 0,
    unanswered: 0,
    retry: undefined,
    refusals: 0,
    lastError: undefined,
  }
}

function goTogether(first: ReadRequest<unknown>, other: ReadRequest<unknown>): boolean {
  return (
    first.options === other.options ||
    (first.options.kind === other.options.kind && first.options.at === other.options.at)
  )
}
