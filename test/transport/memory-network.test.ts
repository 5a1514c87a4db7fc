import { describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { DamageError } from '../../src/engine/engine.ts'
import { createPrng } from '../../src/base/prng.ts'
import type { Channel, Transport } from '../../src/transport/transport.ts'
import { SimClock, SimScheduler, SimWall } from '../sim/sim-clock.ts'
import { type TestNode, createTestNode, storeOf } from './grpc-world.ts'
import { MemoryNetwork } from './memory-transport.ts'
import { heartbeat, outgoing } from './transport-contract.ts'

interface Process extends TestNode {
  readonly clock: SimClock
  readonly transport: Transport
}

const n1 = asNodeId('n1')
const n2 = asNodeId('n2')

function createWorld(seed = 1) {
  const scheduler = new SimScheduler()
  const network = new MemoryNetwork({ scheduler, random: createPrng(seed).next })
  const open = (name: string, other: string): Process => {
    const node = createTestNode(name)
    const clock = new SimClock({ wall: new SimWall(scheduler, Date.now()) })
    const stats = () => ({ flushMicros: 0, freeBytes: 0, diskBand: 'ok' as const, draining: false })
    const transport = network.transport({ ...node.context, clock, stats })
    const opened: Process = Object.assign(node, { clock, transport })
    transport.start({
      onMessages: (from, messages) => {
        for (const item of messages) node.received.push({ from, item })
      },
      onSnapshot: snapshot => opened.onSnapshot(snapshot),
      onUnreachable: peer => node.unreachable.push(peer),
    })
    transport.setPeers([{ node: asNodeId(other), storeId: storeOf(other), peerAddress: 'memory' }])
    return opened
  }
  const [a, b] = [open('n1', 'n2'), open('n2', 'n1')]
  const pass = (ms: number) => scheduler.run({ untilMs: scheduler.nowMs + ms })
  let sent = 0
  /** Frames of their own, as far apart as said. */
  const send = async (count: number, everyMs: number, channel: Channel = 'control'): Promise<void> => {
    for (let i = 0; i < count; i++) {
      a.transport.send(n2, channel, heartbeat(++sent))
      await pass(everyMs)
    }
  }
  const received = (): number[] =>
    b.received.map(({ item: { message } }) => (message.kind === 'heartbeat' ? message.context : -1))
  return { scheduler, network, a, b, open, pass, send, received }
}

describe('the simulated network', () => {
  it('loses, delays, repeats and reorders the same way with the same seed', async () => {
    const run = async (seed: number): Promise<number[]> => {
      const { network, send, pass, received } = createWorld(seed)
      network.setFaults({ delayMinMs: 1, delayMaxMs: 9, loss: 0.2, duplication: 0.2, reorder: true })
      await send(100, 1)
      await pass(100)
      return received()
    }
    const once = await run(3)
    expect(once).toEqual(await run(3))
    expect(once).not.toEqual(await run(4))
    expect(once).not.toEqual(once.toSorted((x, y) => x - y))
    expect(new Set(once).size).toBeLessThan(95)
    expect(new Set(once).size).toBeLessThan(once.length)
  })

  it('keeps the order of a channel on a link of uneven delays', async () => {
    const { network, send, pass, received } = createWorld()
    network.setFaults({ delayMaxMs: 20 })
    await send(100, 1)
    await pass(100)
    expect(received()).toEqual(Array.from({ length: 100 }, (_, at) => at + 1))
  })

  it('holds what a clogged link carries, and hands it over in its order, before what comes later', async () => {
    const { network, a, send, pass, received } = createWorld()
    network.setFaults({ delayMaxMs: 5 })
    network.clog(n1, n2)
    await send(50, 1)
    expect(received()).toEqual([])
    network.unclog(n1, n2)
    await send(10, 0)
    await pass(50)
    expect(received()).toEqual(Array.from({ length: 60 }, (_, at) => at + 1))
    expect(a.unreachable).toEqual([])
  })

  it('drops the oldest of far too much behind a clog, and says so', async () => {
    const { network, a, send, pass, received } = createWorld()
    network.clog(n1, n2)
    await send(1_100, 0.01)
    expect(a.unreachable.length).toBeGreaterThan(50)
    network.unclog(n1, n2)
    await pass(10)
    expect(received().length).toBeLessThanOrEqual(1_000)
    expect(received().at(-1)).toBe(1_100)
  })

  it('loses all that is under way on a stream that breaks, tells the sender, and carries on', async () => {
    const { network, a, send, pass, received } = createWorld()
    network.setFaults({ delayMinMs: 10, delayMaxMs: 10 })
    await send(5, 0.1, 'append')
    await send(1, 0.1, 'control')
    network.breakStream(n1, n2, 'append')
    await send(1, 0, 'append')
    await pass(20)
    expect(received()).toEqual([6, 7])
    expect(a.unreachable).toEqual([n2])
  })

  it('breaks a snapshot under way, for both ends, when its link is cut', async () => {
    const { network, a, b, pass } = createWorld()
    network.setFaults({ delayMinMs: 5, delayMaxMs: 5 })
    let outcome = 'none'
    b.onSnapshot = async ({ chunks }) => {
      try {
        for await (const _ of chunks) outcome = 'begun'
      } catch {
        outcome = 'threw'
      }
      return true
    }
    async function* endless(): AsyncGenerator<Uint8Array, undefined> {
      for (;;) yield Buffer.alloc(10)
    }
    let sent: boolean | undefined
    void a.transport.sendSnapshot(n2, outgoing(endless()), new AbortController().signal).then(value => (sent = value))
    await pass(50)
    expect([outcome, sent]).toEqual(['begun', undefined])
    network.cut(n1, n2)
    await pass(1)
    expect([outcome, sent]).toEqual(['threw', false])
  })

  it.each([
    ['opening', [n1, n2]],
    ['answer', [n2, n1]],
  ] as const)('tells the sender of a snapshot at once when its %s is lost', async (_, [from, to]) => {
    const { network, a, b, pass } = createWorld()
    network.setFaults({ delayMinMs: 1, delayMaxMs: 1 })
    b.onSnapshot = async () => true
    async function* none(): AsyncGenerator<Uint8Array, undefined> {}
    // A stream is lost less often than a packet is: this is always.
    network.setFaults({ loss: 1_000 }, from, to)
    let sent: boolean | undefined
    void a.transport.sendSnapshot(n2, outgoing(none()), new AbortController().signal).then(value => (sent = value))
    await pass(50)
    expect(sent).toBe(false)
  })

  it('tells the receiver of a snapshot that its stream ended, and not what is wrong at the sender', async () => {
    const { a, b, pass } = createWorld()
    let seen: unknown
    b.onSnapshot = async ({ chunks }) => {
      try {
        for await (const _ of chunks);
      } catch (error) {
        seen = error
      }
      return false
    }
    async function* rotten(): AsyncGenerator<Uint8Array, undefined> {
      yield Buffer.alloc(10)
      throw new DamageError('key', 'on purpose')
    }
    void a.transport.sendSnapshot(n2, outgoing(rotten()), new AbortController().signal)
    await pass(50)
    expect(seen).toMatchObject({ code: 'unavailable' })
  })

  it('hands a paused process what arrived once it goes on, and a killed one nothing', async () => {
    const { network, a, b, send, pass, received } = createWorld()
    await send(1, 1)
    b.clock.pause()
    await send(2, 1)
    expect(received()).toEqual([1])
    b.clock.resume()
    await pass(1)
    expect(received()).toEqual([1, 2, 3])
    b.clock.kill()
    network.kill(b.transport)
    await send(2, 1)
    expect(received()).toEqual([1, 2, 3])
    expect(a.unreachable).toContain(n2)
  })

  it('delivers to the successor of a killed process, though not what was under way to the old one', async () => {
    const { network, b, open, send, pass } = createWorld()
    network.setFaults({ delayMinMs: 10, delayMaxMs: 10 })
    await send(1, 1)
    b.clock.kill()
    network.kill(b.transport)
    const next = open('n2', 'n1')
    await send(1, 1)
    await pass(20)
    expect(next.received).toHaveLength(1)
    expect(next.received[0]?.item.message).toMatchObject({ context: 2 })
  })
})
