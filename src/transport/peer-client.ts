// Calls to other nodes that are answered: the gateway's forwards, joining, and what replicas say of themselves.

import { Client, Metadata, type ServiceError, credentials, status } from '@grpc/grpc-js'
import { type ErrorCode, KvError } from '../base/errors.ts'
import type { NodeId } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import { ForwardLink } from './forward-link.ts'
import { createHello } from './hello.ts'
import type { PeerCalls } from './peer-calls.ts'
import type { PeerContext } from './peer-context.ts'
import { type BytesMethod, peerClientOptions, peerMethods } from './peer-service.ts'
import type { NodeAddress } from './transport.ts'

export interface PeerClientOptions extends PeerContext {
  /** Where a node is dialled; undefined: no such node. */
  readonly addressOf: (node: NodeId) => NodeAddress | undefined
}

export function createPeerClient(options: PeerClientOptions): PeerCalls {
  return new PeerClientAdapter(options)
}

const callTimeoutMaxMs = 600_000

class PeerClientAdapter implements PeerCalls {
  readonly #options: PeerClientOptions
  readonly #links = new Map<NodeId, ForwardLink>()
  readonly #clients = new Set<Client>()
  #closed = false

  constructor(options: PeerClientOptions) {
    this.#options = options
  }

  async forward(to: NodeId, request: quorate.v1.IBatchRequest, deadlineMs: number): Promise<quorate.v1.IBatchResponse> {
    return this.#linkTo(to).call(request, deadlineMs)
  }

  async peerStatus(to: NodeId, deadlineMs: number): Promise<quorate.v1.IPeerStatusResponse> {
    const peer = this.#mustKnow(to)
    const request = quorate.v1.PeerStatusRequest.encode({
      hello: createHello(this.#options, peer),
    }).finish()
    return this.#unary(
      peerMethods.PeerStatus,
      peer.peerAddress,
      request,
      deadlineMs,
      quorate.v1.PeerStatusResponse.decode,
    )
  }

  async join(address: string, request: quorate.v1.IJoinRequest, deadlineMs: number): Promise<quorate.v1.IJoinResponse> {
    const { hybridClock } = this.#options
    const bytes = quorate.v1.JoinRequest.encode({
      hello: createHello(this.#options),
      clock: hybridClock.acknowledged(),
      rawClock: hybridClock.raw(),
      ...request,
    }).finish()
    return this.#unary(peerMethods.Join, address, bytes, deadlineMs, quorate.v1.JoinResponse.decode)
  }

  async identify(address: string, deadlineMs: number): Promise<quorate.v1.IHello> {
    const request = quorate.v1.IdentifyRequest.encode({}).finish()
    const decode = quorate.v1.IdentifyResponse.decode
    const { hello } = await this.#unary(peerMethods.Identify, address, request, deadlineMs, decode)
    return hello ?? {}
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const link of this.#links.values()) link.close()
    this.#links.clear()
    for (const client of this.#clients) client.close()
    this.#clients.clear()
  }

  #mustKnow(node: NodeId): NodeAddress {
    if (this.#closed) throw new KvError('unavailable', 'this node is closing')
    const peer = this.#options.addressOf(node)
    if (peer === undefined) throw new KvError('unavailable', `no address of ${node} is known`)
    return peer
  }

  #linkTo(node: NodeId): ForwardLink {
    const peer = this.#mustKnow(node)
    const link = this.#links.get(node)
    if (link !== undefined && link.peer.peerAddress === peer.peerAddress && link.peer.storeId === peer.storeId)
      return link
    link?.close()
    for (const [gone, old] of this.#links) {
      if (this.#options.addressOf(gone) !== undefined) continue
      old.close()
      this.#links.delete(gone)
    }
    const fresh = new ForwardLink(this.#options, peer)
    this.#links.set(node, fresh)
    return fresh
  }

  /** Rare calls, each on a connection of its own: nothing of an earlier one can be in its way. */
  #unary<T>(
    method: BytesMethod,
    address: string,
    request: Uint8Array,
    deadlineMs: number,
    decode: (bytes: Uint8Array) => T,
  ): Promise<T> {
    const { clock } = this.#options
    if (this.#closed) return Promise.reject(new KvError('unavailable', 'this node is closing'))
    const leftMs = Math.min(deadlineMs - clock.monotonicMs(), callTimeoutMaxMs)
    if (leftMs <= 0) return Promise.reject(new KvError('unavailable', `no time was left to ask ${address}`))
    const client = new Client(address, credentials.createInsecure(), peerClientOptions)
    this.#clients.add(client)
    return new Promise<T>((resolve, reject) => {
      const finish = (): void => {
        timer.cancel()
        this.#clients.delete(client)
        client.close()
      }
      const call = client.makeUnaryRequest<Uint8Array, Uint8Array>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: clock.unixMs() + leftMs },
        (error: ServiceError | null, bytes?: Uint8Array) => {
          finish()
          if (error !== null || bytes === undefined) {
            reject(errorOf(error, address))
            return
          }
          try {
            resolve(decode(bytes))
          } catch {
            reject(new KvError('invalid-argument', `${address} did not answer as a peer: check the address`))
          }
        },
      )
      // grpc-js measures its deadline by the wall clock, which may jump; ours ends it in any case.
      const timer = clock.setTimer(leftMs, () => call.cancel())
    })
  }
}

function errorOf(error: ServiceError | null, address: string): KvError {
  const message = `${address}: ${error?.details || error?.message || 'no answer'}`
  return new KvError(codeOf(error?.code), message, error === null ? {} : { cause: error })
}

function codeOf(code: status | undefined): ErrorCode {
  switch (code) {
    case status.FAILED_PRECONDITION:
      return 'wrong-cluster'
    case status.INVALID_ARGUMENT:
      return 'invalid-argument'
    case status.NOT_FOUND:
      return 'not-found'
    case status.INTERNAL:
      return 'internal'
    default:
      return 'unavailable'
  }
}
