// One HTTP/2 connection to one node, dialled when it is first used, shared by all calls that are sent over it, and dialled
// anew when it is given up: grpc-js never times a connection attempt out, and a channel that fell into a hole stays there.
//
// A slow answer is not a dead one. When thousands of clients connect at once, dialling again makes it worse for all of them,
// so an attempt gets seconds, and each one that follows in vain gets twice as long. Whoever waits meanwhile asks elsewhere.

import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  type ChannelCredentials,
  credentials,
} from '@grpc/grpc-js'
import type { Socket } from 'node:net'
import type { Clock } from '../time/clock.ts'
import { cancelledError } from './call-errors.ts'
import { decodeCallError } from './error-decoding.ts'
import type { Pace } from './pace.ts'
import type { Method } from './wire.ts'

const windowBytes = 4 * 1024 * 1024

const channelOptions: ChannelOptions = {
  // Channels with equal options would share one connection, a stuck one included.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 64 * 1024 * 1024,
  'grpc-node.flow_control_window': windowBytes,
}

/** A connection that is not made by then is dialled anew by the next call. */
const dialPatienceMs = 8000
/** A node that was asked over a connection that stands, and has said nothing on it for so long, is dialled anew. */
const silencePatienceMs = 4000
const patienceMsMax = 20_000

/** One attempt at a connection, from its first call to when it is closed. */
export class Dial {
  readonly client: Client
  readonly begunMs: number
  readonly #sockets = new Set<Socket>()
  #wasReady = false

  constructor(address: string, options: ChannelOptions, begunMs: number) {
    this.client = new Client(address, watchedCredentials(this.#sockets), options)
    this.begunMs = begunMs
    this.#watch()
  }

  /** Calls on a connection that stood go on. */
  close(): void {
    this.client.close()
    if (this.#wasReady) return
    // grpc-js would leave these open for as long as the other end keeps silent.
    for (const socket of this.#sockets) socket.destroy()
  }

  /** The connection stood at some time. Until then nothing that was sent has left this process. */
  get wasReady(): boolean {
    return this.#wasReady
  }

  get isReady(): boolean {
    return this.#wasReady && this.client.getChannel().getConnectivityState(false) === connectivityState.READY
  }

  #watch(): void {
    const channel = this.client.getChannel()
    const state = channel.getConnectivityState(false)
    if (state === connectivityState.READY) this.#wasReady = true
    else if (state !== connectivityState.SHUTDOWN) {
      channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => this.#watch())
    }
  }
}

interface SecureConnector {
  connect(socket: Socket): unknown
}

interface CredentialsInternals {
  _createSecureConnector?: (...parameters: unknown[]) => SecureConnector
}

/**
 * No credentials, and in `sockets` those that are connected with them. This reaches into a private part of grpc-js, looked at
 * before it is used: should it go, sockets of attempts that were given up stay open for longer, and a test says so.
 */
function watchedCredentials(sockets: Set<Socket>): ChannelCredentials {
  const insecure = credentials.createInsecure()
  const internals = insecure as unknown as CredentialsInternals
  const create = internals._createSecureConnector?.bind(insecure)
  if (create === undefined) return insecure
  internals._createSecureConnector = (...parameters) => {
    const connector = create(...parameters)
    const connect = connector.connect.bind(connector)
    connector.connect = socket => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      return connect(socket)
    }
    return connector
  }
  return insecure
}

export interface UnaryOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export class Connection {
  readonly address: string
  readonly #clock: Clock
  readonly #pace: Pace
  readonly #options: ChannelOptions
  #dial: Dial | undefined
  #usedMs = 0
  /** When the node last said something, and since when it has been asked without a word. */
  #heardMs = 0
  #askedMs = 0
  /** Dials in vain, or that fell silent, since the node last said something. */
  #failures = 0

  /** `idleMs`: without a call for so long, it is closed; the next call dials. */
  constructor(address: string, clock: Clock, pace: Pace, idleMs: number) {
    this.address = address
    this.#clock = clock
    this.#pace = pace
    this.#options = { ...channelOptions, 'grpc.client_idle_timeout_ms': idleMs }
  }

  get isReady(): boolean {
    return this.#dial?.isReady ?? false
  }

  /** The attempt that calls are sent over now. */
  open(): Dial {
    const nowMs = this.#clock.monotonicMs()
    this.#usedMs = nowMs
    const dial = this.#dial
    if (dial !== undefined && !dial.isReady) {
      // What stood and broke, or is being drained, is done with; calls that it still carries go on.
      if (dial.wasReady) this.close()
      else if (nowMs - dial.begunMs >= this.#patienceMs(dialPatienceMs)) this.giveUp(dial)
    }
    this.#dial ??= new Dial(this.address, this.#options, nowMs)
    return this.#dial
  }

  /** Something is asked of the node. */
  asked(): void {
    if (this.#heardMs >= this.#askedMs) this.#askedMs = this.#clock.monotonicMs()
  }

  /** The node said something. */
  heard(): void {
    this.#heardMs = this.#clock.monotonicMs()
    this.#failures = 0
  }

  /** Something that was asked over `dial` had no answer in its time: that is slow, or dead, which only more time can tell. */
  unanswered(dial: Dial): void {
    const isSilent = this.#askedMs > this.#heardMs
    const silentMs = this.#clock.monotonicMs() - this.#askedMs
    if (dial.wasReady && isSilent && silentMs >= this.#patienceMs(this.#pace.patienceMs(silencePatienceMs)))
      this.giveUp(dial)
  }

  /** Calls go over `dial` still. */
  uses(dial: Dial): boolean {
    return this.#dial === dial
  }

  /** The next call dials afresh, unless one did already. Calls under way are for their owners to cancel. */
  giveUp(dial: Dial): void {
    if (this.#dial !== dial) return
    this.#failures++
    this.close()
  }

  close(): void {
    this.#dial?.close()
    this.#dial = undefined
  }

  /** Closes what does not stand, and was not used for `unusedMs`: grpc-js would dial it again and again. */
  closeVain(unusedMs: number): void {
    if (this.#dial === undefined || this.isReady) return
    if (this.#clock.monotonicMs() - this.#usedMs >= unusedMs) this.close()
  }

  #patienceMs(firstMs: number): number {
    return Math.min(patienceMsMax, firstMs * 2 ** Math.min(this.#failures, 10))
  }

  /** Rejects with a KvError. `timeoutMs` bounds this attempt. */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: UnaryOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) {
        reject(cancelledError(options.signal))
        return
      }
      const deadline = Date.now() + Math.max(1, Math.min(options.timeoutMs, 86_400_000))
      const onAbort = (): void => call.cancel()
      const dial = this.open()
      const begunMs = this.#clock.monotonicMs()
      this.asked()
      const call = dial.client.makeUnaryRequest<Request, Response>(
        method.path,
        method.serialize,
        method.deserialize,
        request,
        { deadline },
        (error, response) => {
          options.signal?.removeEventListener('abort', onAbort)
          if (response !== undefined && !error) {
            this.heard()
            this.#pace.took(this.#clock.monotonicMs() - begunMs)
            resolve(response)
            return
          }
          if (options.signal?.aborted) {
            reject(cancelledError(options.signal))
            return
          }
          const failure = decodeCallError(error, this.address)
          if (failure.cause === undefined) this.heard()
          else this.unanswered(dial)
          reject(failure)
        },
      )
      options.signal?.addEventListener('abort', onAbort)
    })
  }

  /** The caller listens for errors, and cancels. */
  serverStream<Request, Response>(method: Method<Request, Response>, request: Request): ClientReadableStream<Response> {
    return this.open().client.makeServerStreamRequest<Request, Response>(
      method.path,
      method.serialize,
      method.deserialize,
      request,
    )
  }
}

/** A stream over `dial`. The caller listens for errors, and cancels. */
export function bidiStream<Request, Response>(
  dial: Dial,
  method: Method<Request, Response>,
): ClientDuplexStream<Request, Response> {
  return dial.client.makeBidiStreamRequest<Request, Response>(method.path, method.serialize, method.deserialize)
}
