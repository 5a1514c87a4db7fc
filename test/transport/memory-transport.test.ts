import { createPrng } from '../../src/base/prng.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { createTestNode, storeOf } from './grpc-world.ts'
import { MemoryNetwork } from './memory-transport.ts'
import { type ContractNode, transportContract } from './transport-contract.ts'

transportContract('in memory', async () => {
  const network = new MemoryNetwork({ clock: systemClock, random: createPrng(1).next })
  const open = (name: string, other: string): ContractNode => {
    const node = createTestNode(name)
    const stats = () => ({ flushMicros: 120, freeBytes: 5_000_000_000, draining: false })
    const transport = network.transport({ ...node.context, stats })
    const opened: ContractNode = Object.assign(node, { transport })
    transport.start({
      onMessages: (from, messages) => {
        for (const item of messages) node.received.push({ from, item })
      },
      onSnapshot: snapshot => opened.onSnapshot(snapshot),
      onUnreachable: peer => node.unreachable.push(peer),
    })
    transport.setPeers([{ node: other as never, storeId: storeOf(other), peerAddress: 'memory' }])
    return opened
  }
  const a = open('n1', 'n2')
  const b = open('n2', 'n1')
  return {
    a,
    b,
    cut: (from, to) => network.cut(from, to),
    heal: (from, to) => network.heal(from, to),
    close: async () => {
      await Promise.all([a.transport.close(), b.transport.close()])
    },
  }
})
