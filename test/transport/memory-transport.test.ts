import { createPrng } from '../../src/base/prng.ts'
import { startVirtualTime } from '../support/virtual-time.ts'
import { createTestNode, storeOf } from './grpc-world.ts'
import { MemoryNetwork } from './memory-transport.ts'
import { type ContractNode, type ContractWorld, transportContract } from './transport-contract.ts'

async function openWorld(encodes: boolean, delayMaxMs: number): Promise<ContractWorld> {
  const time = startVirtualTime()
  const network = new MemoryNetwork({ scheduler: time.scheduler, random: createPrng(1).next, encodes })
  network.setFaults({ delayMaxMs })
  const open = (name: string, other: string): ContractNode => {
    const node = createTestNode(name)
    const stats = () => ({ flushMicros: 120, freeBytes: 5_000_000_000, diskBand: 'ok' as const, draining: false })
    const clock = time.createClock()
    const transport = network.transport({ ...node.context, clock, stats })
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
      await time.stop()
    },
  }
}

transportContract('in memory', () => openWorld(false, 0))
transportContract('in memory, through the codec, on slow links', () => openWorld(true, 3))
