// One long-lived Batch stream to one node: requests with ids out, answers in any order back. It notices what never
// answers. It knows neither sessions nor retries.
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
}

type Duplex = ClientDuplexStream<BatchRequest, BatchResponse>

export class BatchStream {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()
  #call: Duplex | undefined
  #nextId = 1

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
  }

  /** `request.id` is set here. No answer within `timeoutMs`: the connection is given up, and dialled anew next time. */
  send(request: BatchRequest, timeoutMs: number, callback: BatchCallback): void {
    const id = this.#nextId++
    request.id = id
    const timer = this.#clock.setTimer(timeoutMs, () => {
      const message = `no answer from ${this.#connection.address} within ${Math.round(timeoutMs)} ms`
      this.#abandon(new KvError('unknown-outcome', message))
    })
    this.#waiting.set(id, { callback, timer })
    this.#call ??= this.#open()
    this.#call.write(request)
  }

  close(): void {
    this.#abandon(closedError())
  }

  #open(): Duplex {
    const call = this.#connection.bidiStream(batchMethod)
    call.on('data', (response: BatchResponse) => {
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

  #abandon(error: KvError): void {
    const call = this.#call
    this.#connection.redial()
    this.#fail(error)
    call?.cancel()
  }

  #fail(error: KvError): void {
    this.#call = undefined
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { callback, timer } of waiting) {
      timer.cancel()
      callback(error, undefined)
    }
  }
}
