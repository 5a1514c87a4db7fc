// The two implementations of PeerCalls, over gRPC and over the simulated network, owe the same.

import { asNodeId } from '../../src/base/ids.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { createPeerClient } from '../../src/transport/peer-client.ts'
import { type PeerProcess, SimPeers } from '../sim/sim-peers.ts'
import { startVirtualTime } from '../support/virtual-time.ts'
import { createTestNode, openGrpcNode } from './grpc-world.ts'
import { type PeerCallsWorld, type PeerCallsWorldOptions, peerCallsContract } from './peer-calls-contract.ts'
import { TcpProxy } from './tcp-proxy.ts'

const n2 = asNodeId('n2')

async function openGrpc({ handlers, identity, storeOfTarget }: PeerCallsWorldOptions): Promise<PeerCallsWorld> {
  const node = await openGrpcNode('n2', {}, handlers)
  const proxy = await TcpProxy.open(node.server.port)
  const { context } = createTestNode('n1', { identity })
  const target = { ...node.address(proxy.port), storeId: storeOfTarget }
  // A busy machine may take its time to connect.
  const electionTimeoutMs = 3_000
  const calls = createPeerClient({
    ...context,
    electionTimeoutMs,
    addressOf: to => (to === n2 ? target : undefined),
  })
  return {
    calls,
    address: target.peerAddress,
    monotonicMs: () => systemClock.monotonicMs(),
    swallow: () => proxy.swallow(),
    stop: () => node.close(),
    async close() {
      await calls.close()
      await proxy.close()
      await node.close()
    },
  }
}

async function openSimulated({ handlers, identity, storeOfTarget }: PeerCallsWorldOptions): Promise<PeerCallsWorld> {
  const time = startVirtualTime()
  const [clock, targetClock] = [time.createClock(), time.createClock()]
  const { context } = createTestNode('n1', { identity, knownStore: to => (to === n2 ? storeOfTarget : undefined) })
  const answer = async () => ({})
  let target: PeerProcess | undefined = {
    clock: targetClock,
    context: createTestNode('n2').context,
    handlers: { forward: answer, join: answer, peerStatus: answer, ...handlers },
  }
  let isSwallowing = false
  const calls = new SimPeers({
    clock,
    context,
    find: () => target,
    nodeAt: address => (address === 'n2:1' ? n2 : undefined),
    travelMs: () => (isSwallowing ? undefined : 1),
  })
  return {
    calls,
    address: 'n2:1',
    monotonicMs: () => clock.monotonicMs(),
    swallow() {
      isSwallowing = true
    },
    async stop() {
      targetClock.kill()
      target = undefined
    },
    async close() {
      await calls.close()
      await time.stop()
    },
  }
}

peerCallsContract('the gRPC client', openGrpc)
peerCallsContract('the simulated one', openSimulated)
