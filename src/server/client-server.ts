// The client port: KV, Admin and health over gRPC, with a limit on everything a client can make grow. The sockets are
// our own, handed to grpc-js, so that a client that reads nothing can be cut and a busy port is told plainly.

import { type Server as NetServer, createServer } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { Logger } from '../base/logger.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { Clock } from '../time/clock.ts'
import { type AdminOptions, addAdminService } from './admin-service.ts'
import { BatchStreams } from './batch-stream.ts'
import { Connections } from './connections.ts'
import { Door } from './door.ts'
import type { HandlerContext, RequestMetrics } from './handler.ts'
import { addHealthService } from './health-service.ts'
import { widenConnectionWindows, widenStreamWindows } from './http2-windows.ts'
import { addKvService } from './kv-service.ts'
import { type ServerLimits, serverLimitsDefault } from './limits.ts'
import { listen, parseAddress } from './listen.ts'
import { addReflection } from './reflection.ts'
import { createUnaryDeadline } from './unary-deadline.ts'

export interface ClientServerOptions extends AdminOptions {
  /** host:port; port 0: any. */
  readonly address: string
  readonly gateway: Gateway
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics?: RequestMetrics
  readonly limits?: Partial<ServerLimits>
  readonly reflection?: boolean
}

export interface ClientServer {
  readonly port: number
  /** Takes no more calls, lets those in flight end for `graceMs`, then cuts the rest. */
  close(graceMs: number): Promise<void>
}

/** Headers and framing around the largest value that is allowed. */
const frameBytes = 64 * 1024

const noMetrics: RequestMetrics = { observe() {} }

/** Throws KvError `invalid-argument` for a bad address or a busy port. */
export async function createClientServer(options: ClientServerOptions): Promise<ClientServer> {
  const { clock, logger, gateway, store } = options
  const limits: ServerLimits = { ...serverLimitsDefault, ...options.limits }
  const address = parseAddress(options.address)
  const context: HandlerContext = { clock, logger, limits, metrics: options.metrics ?? noMetrics }
  const connections = new Connections(clock, limits, logger)
  const streams = new BatchStreams(context, gateway, connections)
  const unaryDeadline = createUnaryDeadline(clock, limits.unaryMaxMs)
  const server = new Server({
    'grpc.max_receive_message_length': limits.requestBytesMax + frameBytes,
    'grpc.max_send_message_length': limits.responseBytesMax + frameBytes,
    'grpc.max_concurrent_streams': limits.streamsMax,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc.enable_channelz': 0,
    'grpc-node.max_session_memory': limits.sessionMemoryMb,
    interceptors: [unaryDeadline.interceptor],
  })
  let isDraining = false
  addKvService(server, context, gateway, streams)
  addAdminService(server, context, options)
  addHealthService(server, context, () => store.ready && !isDraining)
  if (options.reflection) await addReflection(server)
  widenStreamWindows(server, limits.windowBytes)
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  widenConnectionWindows(server, limits.windowBytes)

  const door = new Door(clock, limits.connectionsPerTurn, socket => injector.injectConnection(socket))
  const listener: NetServer = createServer({ noDelay: true }, socket => {
    connections.add(socket)
    door.open(socket)
  })
  listener.maxConnections = limits.connectionsMax
  let port: number
  try {
    port = await listen(listener, address, 'clients', '--listen')
  } catch (error) {
    unaryDeadline.close()
    server.forceShutdown()
    throw error
  }

  return {
    port,
    async close(graceMs) {
      isDraining = true
      listener.close()
      streams.drain()
      // A GOAWAY: clients send new calls elsewhere, and connections close when their last call ends.
      injector.drain(graceMs)
      await connections.drain(graceMs)
      unaryDeadline.close()
      server.forceShutdown()
    },
  }
}
