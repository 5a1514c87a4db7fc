// The port on which the other nodes are answered.

import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  logVerbosity,
  type sendUnaryData,
  setLogVerbosity,
} from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import type { FrameStream } from './frame-receiver.ts'
import { type ForwardHandler, type ForwardStream, errorToStatus, serveForward } from './forward-server.ts'
import type { PeerInbound } from './grpc-transport.ts'
import { type HelloPurpose, createHello, judgeHello } from './hello.ts'
import { LogLimit, type PeerContext } from './peer-context.ts'
import type { SnapshotStream } from './snapshot-receiver.ts'
import { peerMethods, peerServerOptions } from './peer-service.ts'
import { withDeadline } from './stall-guard.ts'

export interface PeerServerOptions extends PeerContext {
  /** host:port to listen on; port 0 takes a free one. */
  readonly address: string
  readonly inbound: PeerInbound
  readonly forward: ForwardHandler
  /** Only called for a Hello that is well-formed and of no other cluster. */
  readonly join: (request: quorate.v1.IJoinRequest) => Promise<quorate.v1.IJoinResponse>
  readonly peerStatus: (request: quorate.v1.IPeerStatusRequest) => Promise<quorate.v1.IPeerStatusResponse>
}

export interface PeerServer {
  readonly port: number
  close(): Promise<void>
}

const unaryTimeoutMs = 30_000
const emptyAnswer = new Uint8Array(0)

// It writes lines of its own to stderr, about a busy port for one; what is worth saying is said by us.
setLogVerbosity(logVerbosity.NONE)

/** Rejects with a KvError that names the address when it cannot listen there. */
export async function createPeerServer(options: PeerServerOptions): Promise<PeerServer> {
  const { inbound, clock } = options
  const refusals = new LogLimit(clock, 60_000)
  const server = new Server(peerServerOptions)
  server.addService(peerMethods, {
    Control: (stream: FrameStream) => inbound.control(stream),
    Append: (stream: FrameStream) => inbound.append(stream),
    Snapshot: (stream: SnapshotStream) => {
      stream.on('error', () => {})
      answer(options, inbound.snapshot(stream), (error, bytes) => {
        if (stream.destroyed) return
        if (error) stream.emit('error', error)
        else stream.write(bytes ?? emptyAnswer, () => stream.end())
      })
    },
    Forward: (stream: ForwardStream) => serveForward(options, refusals, options.forward, stream),
    Join: (call: ServerUnaryCall<Uint8Array, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
      answer(options, bounded(options, join(options, call.request)), callback)
    },
    PeerStatus: (call: ServerUnaryCall<Uint8Array, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
      answer(options, bounded(options, peerStatus(options, call.request)), callback)
    },
    // Of whoever asks nothing is believed, and nothing more is said than every Hello says.
    Identify: (call: ServerUnaryCall<Uint8Array, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
      answer(options, identify(options, call.request), callback)
    },
  })
  const port = await listen(server, options.address)
  return {
    port,
    close: async () => {
      // Peers redial whatever they like: there is nothing to wait for.
      server.forceShutdown()
    },
  }
}

async function join(options: PeerServerOptions, bytes: Uint8Array): Promise<Uint8Array> {
  const request = decode(quorate.v1.JoinRequest.decode, bytes)
  judge(options, request.hello, 'join')
  return quorate.v1.JoinResponse.encode(await options.join(request)).finish()
}

async function peerStatus(options: PeerServerOptions, bytes: Uint8Array): Promise<Uint8Array> {
  const request = decode(quorate.v1.PeerStatusRequest.decode, bytes)
  judge(options, request.hello, 'member')
  return quorate.v1.PeerStatusResponse.encode(await options.peerStatus(request)).finish()
}

async function identify(options: PeerServerOptions, bytes: Uint8Array): Promise<Uint8Array> {
  decode(quorate.v1.IdentifyRequest.decode, bytes)
  return quorate.v1.IdentifyResponse.encode({ hello: createHello(options) }).finish()
}

function decode<T>(decoder: (bytes: Uint8Array) => T, bytes: Uint8Array): T {
  try {
    return decoder(bytes)
  } catch {
    throw new KvError('invalid-argument', 'the request could not be read')
  }
}

function judge(options: PeerContext, hello: quorate.v1.IHello | null | undefined, purpose: HelloPurpose): void {
  const verdict = judgeHello(hello ?? {}, options, purpose)
  if (verdict.kind === 'refused') throw new KvError(verdict.code, verdict.refusal)
}

function bounded(options: PeerContext, response: Promise<Uint8Array>): Promise<Uint8Array> {
  return withDeadline(options.clock, response, unaryTimeoutMs, 'answering a peer')
}

/** The one wrapper around handlers that await: grpc-js would let a rejection end the process. */
function answer(options: PeerContext, response: Promise<Uint8Array>, callback: sendUnaryData<Uint8Array>): void {
  response
    .then(
      bytes => callback(null, bytes),
      (error: unknown) => callback(errorToStatus(error, options)),
    )
    .catch((error: unknown) => options.logger.error({ error }, 'an answer to a peer could not be sent'))
}

function listen(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) {
        resolve(port)
        return
      }
      server.forceShutdown()
      const busy = error.message.includes('EADDRINUSE')
      const why = busy
        ? 'another process listens there. Stop it, or choose another port with --peer-listen'
        : `${error.message}. Choose an address of this machine with --peer-listen`
      reject(new KvError('invalid-argument', `cannot listen for peers on ${address}: ${why}`, { cause: error }))
    })
  })
}
