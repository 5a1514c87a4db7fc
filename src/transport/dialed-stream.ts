// One stream to one peer that is always being dialled, on a connection of its own. It knows nothing of what is said.
//
// A grpc-js channel whose peer accepts TCP and then says nothing stays CONNECTING for ever, and an established one that
// is cut stays READY. So every attempt has a deadline to be welcomed by, and a standing stream must answer pings; one
// that does not is closed and dialled afresh. Dialling begins with a plain socket that greets in HTTP/2, waits for the
// peer's greeting and is thrown away: grpc-js cannot abandon a connection that is not answered, and leaked one an attempt.

import { type Socket, connect } from 'node:net'
import { Client, type ClientDuplexStream, Metadata, credentials } from '@grpc/grpc-js'
import { must } from '../base/assert.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { parsePeerAddress } from './peer-context.ts'
import { type BytesMethod, peerClientOptions } from './peer-service.ts'

/** The client's preface and an empty SETTINGS frame (RFC 9113, 3.4): a server greets back at once. */
const greeting = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])
/** Slower, and a link is as good as none. */
const bytesPerMsMin = 16
const backoffMinMs = 50
const backoffMaxMs = 250

export interface DialedStreamOptions {
  readonly clock: Clock
  readonly address: string
  readonly method: BytesMethod
  readonly metadata?: () => Metadata
  /** The first message of each attempt. */
  readonly hello: () => Uint8Array
  /** A message that the peer answers at once, sent every `pingIntervalMs`. */
  readonly ping: () => Uint8Array
  readonly pingIntervalMs: number
  /** An attempt not welcomed by then is abandoned. */
  readonly connectTimeoutMs: number
  /**
   * A stream on which a ping goes unanswered, and nothing else comes, for so long is abandoned; later, where the largest of
   * what was written takes longer on a link of `bytesPerMsMin`: it may be on its way, and the answer comes after it.
   */
  readonly silenceMs: number
  /** Written and not yet taken by the connection; past it `writable` is false. */
  readonly outstandingBytesMax: number
  /** 'welcome' makes the stream ready; 'refused' ends the attempt. Must not throw on anything a peer can send. */
  readonly onMessage: (bytes: Uint8Array) => Reception
  readonly onReady: () => void
  /** Room again after `writable` was false. */
  readonly onDrain: () => void
  /** An attempt, or a stream that stood, has ended; the next follows by itself. */
  readonly onDown: (reason: string, wasReady: boolean) => void
}

export type Reception = 'welcome' | 'heard' | { readonly refused: string }

interface Attempt {
  readonly startedMs: number
  phase: 'probing' | 'calling' | 'ready' | 'over'
  socket: Socket | undefined
  client: Client | undefined
  call: ClientDuplexStream<Uint8Array, Uint8Array> | undefined
  outstandingBytes: number
  /** Of all that was written at once. */
  largestBytes: number
  blocked: boolean
  heardMs: number
  /** When the oldest ping that nothing has followed was sent. */
  pingedMs: number | undefined
}

export class DialedStream {
  readonly #options: DialedStreamOptions
  #attempt: Attempt | undefined
  #timer: Timer | undefined
  #failures = 0
  #closed = false

  /** Dials at once. */
  constructor(options: DialedStreamOptions) {
    this.#options = options
    this.#dial()
  }

  get ready(): boolean {
    return this.#attempt?.phase === 'ready'
  }

  /** Ready, and what was written is not piling up. */
  get writable(): boolean {
    const attempt = this.#attempt
    return attempt?.phase === 'ready' && attempt.outstandingBytes < this.#options.outstandingBytesMax
  }

  /** Only while ready. The bytes must never change afterwards: they may be copied late. */
  write(bytes: Uint8Array): void {
    this.#write(must(this.#attempt), bytes)
  }

  /** Gives the present attempt up, as the watchdog would, unless it was heard less than `silentMs` ago. */
  abandon(reason: string, silentMs: number): void {
    const attempt = this.#attempt
    if (attempt === undefined) return
    const isHeard = attempt.phase === 'ready' && this.#options.clock.monotonicMs() - attempt.heardMs < silentMs
    if (!isHeard) this.#end(attempt, reason)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    if (this.#attempt !== undefined) this.#release(this.#attempt)
    this.#attempt = undefined
  }

  #dial(): void {
    const location = parsePeerAddress(this.#options.address)
    const now = this.#options.clock.monotonicMs()
    const attempt: Attempt = {
      startedMs: now,
      phase: 'probing',
      socket: undefined,
      client: undefined,
      call: undefined,
      outstandingBytes: 0,
      largestBytes: 0,
      blocked: false,
      heardMs: now,
      pingedMs: undefined,
    }
    this.#attempt = attempt
    this.#watch()
    if (location === undefined) {
      this.#options.clock.defer(() => this.#end(attempt, `${this.#options.address} is no host:port`))
      return
    }
    const socket = connect(location)
    attempt.socket = socket
    socket.once('connect', () => socket.write(greeting))
    socket.once('data', () => {
      socket.destroy()
      if (attempt.phase === 'probing') this.#call(attempt)
    })
    socket.once('close', () => {
      if (attempt.phase === 'probing') this.#end(attempt, 'the connection was closed before any answer')
    })
    socket.on('error', error => {
      if (attempt.phase === 'probing') this.#end(attempt, error.message)
    })
  }

  #call(attempt: Attempt): void {
    const { address, method } = this.#options
    attempt.phase = 'calling'
    const client = new Client(address, credentials.createInsecure(), peerClientOptions)
    attempt.client = client
    const metadata = this.#options.metadata?.() ?? new Metadata()
    const call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    )
    attempt.call = call
    call.on('data', (bytes: Uint8Array) => this.#heard(attempt, bytes))
    // After 'error' comes nothing more; 'end' alone is a peer that closed in order.
    call.on('error', error => this.#end(attempt, error.message))
    call.on('end', () => this.#end(attempt, 'the peer ended the stream'))
    this.#write(attempt, this.#options.hello())
  }

  #heard(attempt: Attempt, bytes: Uint8Array): void {
    if (attempt.phase === 'over') return
    attempt.heardMs = this.#options.clock.monotonicMs()
    attempt.pingedMs = undefined
    const reception = this.#options.onMessage(bytes)
    if (typeof reception === 'object') {
      this.#end(attempt, reception.refused)
    } else if (reception === 'welcome' && attempt.phase === 'calling') {
      attempt.phase = 'ready'
      this.#failures = 0
      this.#options.onReady()
    }
  }

  #write(attempt: Attempt, bytes: Uint8Array): void {
    attempt.outstandingBytes += bytes.length
    attempt.largestBytes = Math.max(attempt.largestBytes, bytes.length)
    if (attempt.outstandingBytes >= this.#options.outstandingBytesMax) attempt.blocked = true
    // grpc-js takes everything at once; its callback, though, waits for the connection's flow control.
    must(attempt.call).write(bytes, () => {
      attempt.outstandingBytes -= bytes.length
      if (!attempt.blocked || attempt.phase !== 'ready') return
      if (attempt.outstandingBytes * 2 > this.#options.outstandingBytesMax) return
      attempt.blocked = false
      this.#options.onDrain()
    })
  }

  #watch(): void {
    const { clock, pingIntervalMs, connectTimeoutMs } = this.#options
    this.#timer?.cancel()
    // Deferred: after a stall of this process, what has arrived meanwhile is heard before anyone is judged silent.
    const inspectLater = (): void => clock.defer(() => this.#inspect())
    this.#timer = clock.setTimer(Math.min(pingIntervalMs, connectTimeoutMs), inspectLater)
  }

  #inspect(): void {
    const attempt = this.#attempt
    if (this.#closed || attempt === undefined) return
    const { clock, connectTimeoutMs, silenceMs } = this.#options
    const patienceMs = silenceMs + attempt.largestBytes / bytesPerMsMin
    const now = clock.monotonicMs()
    if (attempt.phase !== 'ready') {
      if (now - attempt.startedMs >= connectTimeoutMs) {
        this.#end(attempt, `not ready within ${connectTimeoutMs} ms`)
        return
      }
    } else if (attempt.pingedMs !== undefined && now - attempt.pingedMs >= patienceMs) {
      this.#end(attempt, `silent for ${Math.round(now - attempt.heardMs)} ms`)
      return
    } else if (attempt.pingedMs === undefined || !attempt.blocked) {
      attempt.pingedMs ??= now
      this.#write(attempt, this.#options.ping())
    }
    this.#watch()
  }

  #end(attempt: Attempt, reason: string): void {
    if (attempt.phase === 'over') return
    const wasReady = attempt.phase === 'ready'
    this.#release(attempt)
    if (this.#closed || this.#attempt !== attempt) return
    this.#attempt = undefined
    this.#timer?.cancel()
    const delayMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 8))
    this.#failures += 1
    this.#timer = this.#options.clock.setTimer(delayMs * (0.75 + Math.random() / 4), () => this.#dial())
    this.#options.onDown(reason, wasReady)
  }

  #release(attempt: Attempt): void {
    attempt.phase = 'over'
    attempt.socket?.destroy()
    attempt.call?.cancel()
    attempt.client?.close()
  }
}
