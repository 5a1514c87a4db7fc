// The hot path: many operations a message, many messages in flight. A request is decoded once, its writes go on as the
// bytes they came in, and there is one promise a message, none an operation.
//
// What a connection may have in flight is bounded (connections.ts); past it the stream is not read.

import type { ServerDuplexStream } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { errorToMessage, tooLarge } from '../gateway/refusal-error.ts'
import { quorate } from '../proto/quorate.js'
import type { Connections } from './connections.ts'
import { type HandlerContext, failStream, malformed, report, signalOf } from './handler.ts'
import { type Received, toBuffer } from './method.ts'

type BatchCall = ServerDuplexStream<Received<quorate.v1.IBatchRequest>, Buffer>

/** Ends the streams that stand when the server drains. */
export class BatchStreams {
  readonly #context: HandlerContext
  readonly #gateway: Gateway
  readonly #connections: Connections
  readonly #finishers = new Set<() => void>()
  #isDraining = false

  constructor(context: HandlerContext, gateway: Gateway, connections: Connections) {
    this.#context = context
    this.#gateway = gateway
    this.#connections = connections
  }

  /** Takes no more requests; every stream ends once it has answered what it has. */
  drain(): void {
    this.#isDraining = true
    for (const finish of this.#finishers) finish()
  }

  readonly handle = (call: BatchCall): void => {
    const { clock, metrics, limits } = this.#context
    const connection = this.#connections.of(call.getPeer())
    const signal = signalOf(call)
    let inFlight = 0
    let unreadBytes = 0
    let isFinishing = false
    let failure: KvError | undefined

    const maybeEnd = (): void => {
      if (!isFinishing || inFlight > 0 || signal.aborted) return
      release()
      if (failure !== undefined) failStream(call, failure)
      else call.end()
    }
    const finish = (): void => {
      isFinishing = true
      maybeEnd()
    }
    const release = (): void => {
      this.#finishers.delete(finish)
      connection.close(call)
    }
    const answer = (response: quorate.v1.IBatchResponse): void => {
      let encoded = toBuffer(quorate.v1.BatchResponse.encode(response).finish())
      if (encoded.length > limits.responseBytesMax) {
        const error = errorToMessage(tooLarge('responseBytesMax', limits.responseBytesMax, encoded.length))
        const { id, header, outcomes } = response
        encoded = toBuffer(
          quorate.v1.BatchResponse.encode({
            id: id ?? 0,
            header: header ?? null,
            error,
            outcomes: outcomes ?? [],
          }).finish(),
        )
      }
      const { length } = encoded
      unreadBytes += length
      connection.responseQueued(length)
      call.write(encoded, () => {
        // After a cancel everything was given back at once.
        if (signal.aborted) return
        unreadBytes -= length
        connection.responseDone(length)
      })
    }

    this.#finishers.add(finish)
    connection.open(call)
    signal.addEventListener('abort', () => {
      release()
      connection.responseDone(unreadBytes)
    })
    call.on('error', () => release())
    call.on('end', finish)
    call.on('data', (received: Received<quorate.v1.IBatchRequest>) => {
      const { message, bytes } = received
      if (isFinishing) {
        if (message !== undefined && this.#isDraining) answer(refusedForDraining(message))
        return
      }
      if (message === undefined) {
        failure = malformed()
        finish()
        return
      }
      const started = clock.monotonicMs()
      inFlight++
      connection.requestBegun(bytes)
      const done = (): void => {
        inFlight--
        connection.requestDone(bytes)
      }
      this.#gateway
        .batch(message, { signal, room: connection.answers })
        .finally(done)
        .then(response => {
          metrics.observe('batch', response.error?.code || 'ok', clock.monotonicMs() - started)
          if (!signal.aborted) answer(response)
          maybeEnd()
        })
        .catch((thrown: unknown) => {
          failure = report(this.#context, 'batch', thrown)
          finish()
        })
    })
    if (this.#isDraining) finish()
  }
}

function refusedForDraining(request: quorate.v1.IBatchRequest): quorate.v1.IBatchResponse {
  const error = new KvError('draining', 'the node is shutting down; ask another')
  return { id: request.id ?? 0, error: errorToMessage(error) }
}
