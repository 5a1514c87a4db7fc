// Nodes of real gRPC on 127.0.0.1, with a proxy on every directed link.

import type { quorate } from '../../src/proto/quorate.js'
import { type NodeId, type StoreId, asClusterId, asNodeId, asStoreId } from '../../src/base/ids.ts'
import type { Logger } from '../../src/base/logger.ts'
import { HybridClock } from '../../src/time/hybrid-clock.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { addMs } from '../../src/time/timestamp.ts'
import { type GrpcTransport, createGrpcTransport } from '../../src/transport/grpc-transport.ts'
import type { PeerContext } from '../../src/transport/peer-context.ts'
import { type PeerServer, type PeerServerOptions, createPeerServer } from '../../src/transport/peer-server.ts'
import type { Identity, IncomingSnapshot, NodeAddress, RangeMessage } from '../../src/transport/transport.ts'
import { TcpProxy } from './tcp-proxy.ts'

export const clusterId = asClusterId('c'.repeat(32))
export const electionTimeoutMs = 300

export function storeOf(node: string): StoreId {
  return asStoreId(Buffer.from(node.padEnd(16, '.')).toString('hex'))
}

export class RecordingLogger implements Logger {
  readonly lines: { readonly level: string; readonly fields: object; readonly message: string }[] = []
  debug(): void {}
  info(): void {}
  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message })
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message })
  }
}

export interface TestNode {
  readonly context: PeerContext
  readonly logger: RecordingLogger
  readonly received: { readonly from: NodeId; readonly item: RangeMessage }[]
  readonly unreachable: NodeId[]
  onSnapshot: (snapshot: IncomingSnapshot) => Promise<boolean>
}

export interface ContextChanges {
  readonly identity?: Partial<Identity>
  readonly record?: quorate.v1.INodeRecord
  readonly unixMs?: () => number
  readonly electionTimeoutMs?: number
  readonly knownStore?: (node: NodeId) => StoreId | undefined
  readonly knownIncarnation?: PeerContext['knownIncarnation']
  readonly heard?: PeerContext['heard']
  readonly superseded?: PeerContext['superseded']
}

export function createTestNode(name: string, changes: ContextChanges = {}): TestNode {
  const logger = new RecordingLogger()
  const hybridClock = new HybridClock(changes.unixMs ?? (() => Date.now()))
  hybridClock.ceilingSynced(addMs(hybridClock.raw(), 3_600_000))
  const identity: Identity = {
    node: asNodeId(name),
    storeId: storeOf(name),
    clusterId,
    lineage: [1],
    ...changes.identity,
  }
  return {
    context: {
      identity: () => identity,
      record: () => ({
        id: identity.node,
        storeId: Buffer.from(identity.storeId, 'hex'),
        peerAddress: '127.0.0.1:1',
        ...changes.record,
      }),
      knownStore: changes.knownStore ?? (() => undefined),
      ...(changes.knownIncarnation && { knownIncarnation: changes.knownIncarnation }),
      ...(changes.heard && { heard: changes.heard }),
      ...(changes.superseded && { superseded: changes.superseded }),
      clock: systemClock,
      hybridClock,
      logger,
      electionTimeoutMs: changes.electionTimeoutMs ?? electionTimeoutMs,
    },
    logger,
    received: [],
    unreachable: [],
    onSnapshot: async () => false,
  }
}

export interface GrpcNode extends TestNode {
  readonly transport: GrpcTransport
  readonly server: PeerServer
  address(port?: number): NodeAddress
  close(): Promise<void>
}

export type ServerHandlers = Partial<Pick<PeerServerOptions, 'forward' | 'join' | 'peerStatus' | 'address'>>

export async function openGrpcNode(
  name: string,
  changes: ContextChanges = {},
  handlers: ServerHandlers = {},
): Promise<GrpcNode> {
  const node = createTestNode(name, changes)
  const { context } = node
  const transport = createGrpcTransport({
    ...context,
    overrides: new Map(),
    stats: () => ({ flushMicros: 120, freeBytes: 5_000_000_000, diskBand: 'ok' as const, draining: false }),
    snapshotStallMs: 2_000,
  })
  transport.start({
    onMessages: (from, messages) => {
      for (const item of messages) node.received.push({ from, item })
    },
    onSnapshot: snapshot => opened.onSnapshot(snapshot),
    onUnreachable: peer => node.unreachable.push(peer),
  })
  const server = await createPeerServer({
    ...context,
    address: '127.0.0.1:0',
    inbound: transport.inbound,
    forward: async () => ({}),
    join: async () => ({}),
    peerStatus: async () => ({}),
    ...handlers,
  })
  const { node: id, storeId } = context.identity()
  const opened: GrpcNode = {
    ...node,
    transport,
    server,
    address: (port = server.port) => ({ node: id, storeId, peerAddress: `127.0.0.1:${port}` }),
    close: async () => {
      await transport.close()
      await server.close()
    },
  }
  return opened
}

/** Two nodes that dial each other through a proxy each way. */
export async function openGrpcPair(): Promise<{
  a: GrpcNode
  b: GrpcNode
  fromA: TcpProxy
  fromB: TcpProxy
  close: () => Promise<void>
}> {
  const a = await openGrpcNode('n1')
  const b = await openGrpcNode('n2')
  const fromA = await TcpProxy.open(b.server.port)
  const fromB = await TcpProxy.open(a.server.port)
  a.transport.setPeers([b.address(fromA.port)])
  b.transport.setPeers([a.address(fromB.port)])
  return {
    a,
    b,
    fromA,
    fromB,
    close: async () => {
      await Promise.all([a.close(), b.close(), fromA.close(), fromB.close()])
    },
  }
}
