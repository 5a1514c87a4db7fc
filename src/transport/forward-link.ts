// Requests to one other node's gateway, many on one stream. Each ends by its answer, its deadline, or the stream's end;
// and it ends knowing whether it may have been applied: certainly not when it was never written, or writes nothing.

import { Metadata } from '@grpc/grpc-js'
import { must } from '../base/assert.ts'
import { type ErrorCode, KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import type { Timer } from '../time/clock.ts'
import { DialedStream, type Reception } from './dialed-stream.ts'
import { createHello } from './hello.ts'
import { LogLimit, type PeerContext } from './peer-context.ts'
import { helloMetadataKey, peerMethods } from './peer-service.ts'
import type { NodeAddress } from './transport.ts'

const budgetBytes = 16 << 20
const outstandingBytesMax = 2 << 20
const pingBytes = quorate.v1.BatchRequest.encode({}).finish()

interface Call {
  readonly id: number
  readonly bytes: Uint8Array
  readonly writes: boolean
  readonly timer: Timer
  readonly resolve: (response: quorate.v1.IBatchResponse) => void
  readonly reject: (error: KvError) => void
  sent: boolean
}

export class ForwardLink {
  readonly peer: NodeAddress
  readonly #context: PeerContext
  readonly #stream: DialedStream
  readonly #complaints: LogLimit
  readonly #calls = new Map<number, Call>()
  #unsent: Call[] = []
  #pendingBytes = 0
  #nextId = 1
  #closed = false

  constructor(context: PeerContext, peer: NodeAddress) {
    this.peer = peer
    this.#context = context
    this.#complaints = new LogLimit(context.clock, 60_000)
    const timeoutMs = context.electionTimeoutMs
    this.#stream = new DialedStream({
      clock: context.clock,
      address: peer.peerAddress,
      method: peerMethods.Forward,
      metadata: () => {
        const metadata = new Metadata()
        metadata.set(helloMetadataKey, Buffer.from(quorate.v1.Hello.encode(createHello(context, peer)).finish()))
        return metadata
      },
      hello: () => pingBytes,
      ping: () => pingBytes,
      pingIntervalMs: timeoutMs / 2,
      connectTimeoutMs: timeoutMs,
      silenceMs: timeoutMs * 2,
      outstandingBytesMax,
      onMessage: bytes => this.#handleResponse(bytes),
      onReady: () => this.#flush(),
      onDrain: () => this.#flush(),
      onDown: reason => this.#handleDown(reason),
    })
  }

  /** `deadlineMs` is of Clock.monotonicMs. */
  call(request: quorate.v1.IBatchRequest, deadlineMs: number): Promise<quorate.v1.IBatchResponse> {
    const { clock } = this.#context
    const { node } = this.peer
    if (this.#closed) return Promise.reject(new KvError('unavailable', `the link to ${node} is closed`))
    const leftMs = Math.floor(deadlineMs - clock.monotonicMs())
    if (leftMs <= 0) return Promise.reject(new KvError('unavailable', `no time was left to ask ${node}`))
    const id = this.#nextId++
    const header = {
      ...request.header,
      timeoutMs: Math.min(leftMs, 0x7fff_ffff),
    }
    const bytes = quorate.v1.BatchRequest.encode({
      ...request,
      id,
      header,
    }).finish()
    if (this.#calls.size > 0 && this.#pendingBytes + bytes.length > budgetBytes) {
      const details = { queue: 'forward', node }
      return Promise.reject(
        new KvError('overloaded', `too much is waiting for ${node}`, {
          details,
          retryAfterMs: 50,
        }),
      )
    }
    return new Promise((resolve, reject) => {
      const writes = (request.writes?.length ?? 0) > 0
      const timer = clock.setTimer(leftMs, () => this.#fail(call, `no answer from ${node} in time`))
      const call: Call = {
        id,
        bytes,
        writes,
        timer,
        resolve,
        reject,
        sent: false,
      }
      this.#calls.set(id, call)
      this.#pendingBytes += bytes.length
      this.#unsent.push(call)
      this.#flush()
    })
  }

  close(): void {
    this.#closed = true
    this.#stream.close()
    this.#failAll(`the link to ${this.peer.node} was closed`)
  }

  #flush(): void {
    let count = 0
    while (count < this.#unsent.length && this.#stream.writable) {
      const call = must(this.#unsent[count])
      count += 1
      if (!this.#calls.has(call.id)) continue // its deadline has passed
      call.sent = true
      this.#stream.write(call.bytes)
    }
    if (count > 0) this.#unsent.splice(0, count)
  }

  #handleResponse(bytes: Uint8Array): Reception {
    let response: quorate.v1.IBatchResponse
    try {
      response = quorate.v1.BatchResponse.decode(bytes)
    } catch {
      return { refused: 'it answered with something that is no BatchResponse' }
    }
    const id = response.id ?? 0
    if (id === 0) return 'welcome'
    const call = this.#calls.get(id)
    if (call !== undefined) {
      this.#settle(call)
      call.resolve(response)
    }
    return 'heard'
  }

  /** Nothing waits for the next stream: the gateway is told at once, for it may know another way. */
  #handleDown(reason: string): void {
    const { node } = this.peer
    this.#failAll(`${node} cannot be reached: ${reason}`)
    if (this.#complaints.allow(reason)) {
      this.#context.logger.info({ peer: node, address: this.peer.peerAddress, reason }, 'the forward stream broke')
    }
  }

  #failAll(reason: string): void {
    this.#unsent = []
    for (const call of [...this.#calls.values()]) this.#fail(call, reason)
  }

  #fail(call: Call, reason: string): void {
    this.#settle(call)
    const code: ErrorCode = call.sent && call.writes ? 'unknown-outcome' : 'unavailable'
    call.reject(new KvError(code, reason, { details: { node: this.peer.node } }))
  }

  #settle(call: Call): void {
    call.timer.cancel()
    if (!this.#calls.delete(call.id)) return
    this.#pendingBytes -= call.bytes.length
  }
}
