// One long-lived Batch stream to one node: requests with ids out, answers in any order back. It notices what never
// answers, and says early when a node that was asked as the leader has gone silent. It knows neither sessions nor retries.
//
// Invariant: the callback of every request that was sent runs exactly once, never inside `send`.

import type { ClientDuplexStream } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { closedError } from './call-errors.ts'
import type { Connection } from './connection.ts'
import { decodeCallError } from './error-decoding.ts'
import { type BatchRequest, type BatchResponse, batchMethod } from './wire.ts'

/** `response` may still carry an error of its own; `error` is the connection's. One of them is there. */
export type BatchCallback = (error: KvError | undefined, response: BatchResponse | undefined) => void

interface Waiting {
  readonly callback: BatchCallback
  readonly timer: Timer
  readonly sentMs: number
  readonly toLeader: boolean
}

export interface SendOptions {
  /** No answer by then: the connection is given up, and dialled anew next time. */
  readonly timeoutMs: number
  /** Sent here because the node leads: should it fall silent, the question is who leads now. */
  readonly toLeader: boolean
}

/**
 * A leader that answers nothing for so long may have been replaced: less than the election timeouts in use, so that its
 * successor is asked as soon as there is one; more than a healthy cluster takes to commit.
 */
const silenceMs = 250
const inspectEveryMs = 100

type Duplex = ClientDuplexStream<BatchRequest, BatchResponse>

export class BatchStream {
  readonly #connection: Connection
  readonly #clock: Clock
  /** Called again and again while a request to the leader waits in silence. */
  readonly #onSilence: (stream: BatchStream) => void
  readonly #waiting = new Map<number, Waiting>()
  #call: Duplex | undefined
  #nextId = 1
  #heardMs = Number.NEGATIVE_INFINITY
  #inspection: Timer | undefined

  constructor(connection: Connection, clock: Clock, onSilence: (stream: BatchStream) => void) {
    this.#connection = connection
    this.#clock = clock
    this.#onSilence = onSilence
  }

  /** A request to the leader has waited so long, and nothing was heard meanwhile, that it may lead no more. */
  get isSilent(): boolean {
    const nowMs = this.#clock.monotonicMs()
    for (const { toLeader, sentMs } of this.#waiting.values()) {
      if (toLeader) return nowMs - Math.max(sentMs, this.#heardMs) >= silenceMs
    }
    return false
  }

  /** Gives the connection up: whatever waits may have been applied or not. */
  abandon(reason: string): void {
    this.#abandon(new KvError('unknown-outcome', `${this.#connection.address}: ${reason}`))
  }

  /** `request.id` is set here. */
  send(request: BatchRequest, { timeoutMs, toLeader }: SendOptions, callback: BatchCallback): void {
    const id = this.#nextId++
    request.id = id
    const timer = this.#clock.setTimer(timeoutMs, () => {
      const message = `no answer from ${this.#connection.address} within ${Math.round(timeoutMs)} ms`
      this.#abandon(new KvError('unknown-outcome', message))
    })
    this.#waiting.set(id, { callback, timer, sentMs: this.#clock.monotonicMs(), toLeader })
    if (toLeader) this.#inspection ??= this.#clock.setTimer(silenceMs, () => this.#inspect())
    this.#call ??= this.#open()
    this.#call.write(request)
  }

  close(): void {
    this.#abandon(closedError())
  }

  #open(): Duplex {
    const call = this.#connection.bidiStream(batchMethod)
    call.on('data', (response: BatchResponse) => {
      this.#heardMs = this.#clock.monotonicMs()
      const waiting = this.#waiting.get(response.id)
      if (waiting === undefined) return
      this.#waiting.delete(response.id)
      waiting.timer.cancel()
      waiting.callback(undefined, response)
    })
    call.on('error', error => {
      if (this.#call === call) this.#fail(decodeCallError(error, this.#connection.address))
    })
    call.on('end', () => {
      if (this.#call !== call) return
      call.end()
      // After 'end' comes an error if the status says so; it names a better reason than this one.
      this.#clock.defer(() => {
        if (this.#call === call)
          this.#fail(new KvError('unknown-outcome', `${this.#connection.address} ended the stream`))
      })
    })
    return call
  }

  #inspect(): void {
    this.#inspection = undefined
    if (this.#waiting.size === 0) return
    this.#inspection = this.#clock.setTimer(inspectEveryMs, () => this.#inspect())
    if (this.isSilent) this.#onSilence(this)
  }

  #abandon(error: KvError): void {
    const call = this.#call
    this.#connection.redial()
    this.#fail(error)
    call?.cancel()
  }

  #fail(error: KvError): void {
    this.#call = undefined
    this.#inspection?.cancel()
    this.#inspection = undefined
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { callback, timer } of waiting) {
      timer.cancel()
      callback(error, undefined)
    }
  }
}
