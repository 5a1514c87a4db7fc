// Gateways of several nodes over one FakeState, and the peers that connect them: forwarding without a network.

import { randomBytes } from 'node:crypto'
import { KvError } from '../../src/base/errors.ts'
import { type ClusterId, type NodeId, asClusterId, asNodeId } from '../../src/base/ids.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { ClusterView, PeerClient } from '../../src/gateway/cluster-view.ts'
import { type Gateway, createGateway } from '../../src/gateway/gateway.ts'
import type { GatewayLimits } from '../../src/gateway/limits.ts'
import type { quorate } from '../../src/proto/quorate.js'
import type { Clock } from '../../src/time/clock.ts'
import { HybridClock } from '../../src/time/hybrid-clock.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { FakeState, FakeStore } from './fake-store.ts'

export const fakeClusterId: ClusterId = asClusterId('00112233445566778899aabbccddeeff')

export interface FakeNode {
  readonly node: NodeId
  readonly store: FakeStore
  readonly peers: FakePeers
  readonly view: FakeView
  readonly gateway: Gateway
  /** The gateway's own, apart from the replicas'. */
  readonly hybridClock: HybridClock
}

/** What a forward does before, or instead of, reaching the other gateway. */
export type ForwardFault = 'unavailable' | 'unknown-outcome' | 'applied-then-unknown' | 'silence'

export class FakePeers implements PeerClient {
  readonly forwards: { readonly to: NodeId; readonly request: quorate.v1.IBatchRequest }[] = []
  readonly faults: ForwardFault[] = []
  readonly deaf = new Set<string>()
  readonly #nodes: ReadonlyMap<string, FakeNode>
  readonly #clock: Clock

  constructor(nodes: ReadonlyMap<string, FakeNode>, clock: Clock) {
    this.#nodes = nodes
    this.#clock = clock
  }

  async forward(to: NodeId, request: quorate.v1.IBatchRequest, deadlineMs: number): Promise<quorate.v1.IBatchResponse> {
    this.forwards.push({ to, request })
    const fault = this.faults.shift()
    const target = this.#nodes.get(to)
    if (fault === 'unavailable' || target === undefined || this.deaf.has(to))
      throw new KvError('unavailable', `${to} is not connected`)
    if (fault === 'silence') {
      await new Promise<void>(resolve => this.#clock.setTimer(deadlineMs - this.#clock.monotonicMs(), resolve))
      throw new KvError('unknown-outcome', `${to} did not answer`)
    }
    if (fault === 'unknown-outcome') throw new KvError('unknown-outcome', `the stream to ${to} broke`)
    const response = await target.gateway.batch(request, { isForwarded: true })
    if (fault === 'applied-then-unknown') throw new KvError('unknown-outcome', `the stream to ${to} broke`)
    return response
  }

  async peerStatus(to: NodeId): Promise<quorate.v1.IPeerStatusResponse> {
    const target = this.#nodes.get(to)
    if (target === undefined || this.deaf.has(to)) return new Promise(() => {})
    return { ranges: [...target.store.status()] }
  }
}

export class FakeView implements ClusterView {
  readonly node: NodeId
  readonly #nodes: ReadonlyMap<string, FakeNode>
  id: ClusterId | undefined = fakeClusterId
  readonly addresses = new Map<string, string>()

  constructor(node: NodeId, nodes: ReadonlyMap<string, FakeNode>) {
    this.node = node
    this.#nodes = nodes
  }

  clusterId(): ClusterId | undefined {
    return this.id
  }

  nodes(): readonly quorate.v1.INodeStatus[] {
    return [...this.#nodes.keys()].map(id => {
      const clientAddress = this.addresses.get(id) ?? `${id}.example:7101`
      return { live: true, record: { id, clientAddress, peerAddress: `${id}.example:7201` } }
    })
  }

  async init(): Promise<ClusterId> {
    if (this.id !== undefined) throw new KvError('already-initialised', 'this node is in a cluster already')
    this.id = fakeClusterId
    return this.id
  }
}

export interface FakeCluster {
  readonly state: FakeState
  readonly nodes: ReadonlyMap<string, FakeNode>
  at(node: string): FakeNode
}

export function createFakeCluster(names: readonly string[] = ['n1'], limits: Partial<GatewayLimits> = {}): FakeCluster {
  const state = new FakeState()
  const nodes = new Map<string, FakeNode>()
  for (const name of names) {
    const node = asNodeId(name)
    const store = new FakeStore(state, node)
    store.records = names.map(id => ({ id }))
    const peers = new FakePeers(nodes, systemClock)
    const view = new FakeView(node, nodes)
    const hybridClock = new HybridClock(() => Date.now())
    const gateway = createGateway({
      store,
      peers,
      view,
      clock: systemClock,
      hybridClock,
      logger: silentLogger,
      sessionId: randomBytes(16),
      limits: { backoffMinMs: 1, backoffMaxMs: 5, ...limits },
    })
    nodes.set(name, { node, store, peers, view, gateway, hybridClock })
  }
  return {
    state,
    nodes,
    at(name) {
      const found = nodes.get(name)
      if (found === undefined) throw new Error(`no fake node ${name}`)
      return found
    },
  }
}
