// What a client dials: one address at a time, patiently, and no more connections than it has use for.

import { once } from 'node:events'
import { type Server, type Socket, connect as connectSocket, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Client, type ClientOptions, connect } from '../../src/client/client.ts'
import { Pace } from '../../src/client/pace.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'
import { until } from '../support/until.ts'

/** Stands before a node, and passes connections on as `onConnection` says: at once, later, or never. */
class Gate {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #target: string
  onConnection: (pass: () => void, count: number, socket: Socket) => void
  connections = 0

  constructor(target: string, onConnection: Gate['onConnection']) {
    this.#target = target
    this.onConnection = onConnection
    this.#server = createServer(socket => {
      this.#keep(socket)
      this.connections++
      this.onConnection(() => this.#pass(socket), this.connections, socket)
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  /** Connections that stand. */
  get open(): number {
    return this.#sockets.size
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #pass(socket: Socket): void {
    const [host = '', port = ''] = this.#target.split(':')
    const node = connectSocket(Number(port), host)
    node.on('error', () => socket.destroy())
    socket.on('close', () => node.destroy())
    socket.pipe(node).pipe(socket)
  }

  /** Nothing that is sent over the connections that stand arrives any more. */
  swallow(): void {
    for (const socket of this.#sockets) {
      socket.unpipe()
      socket.resume()
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

let cluster: FakeKvCluster
const clients: Client[] = []
const gates: Gate[] = []

async function openGate(onConnection: Gate['onConnection'], target = cluster.node('n1').address) {
  const gate = new Gate(target, onConnection)
  gates.push(gate)
  return { gate, address: await gate.listen() }
}

function open(addresses: readonly string[], options: ClientOptions = {}): Client {
  const client = connect(`quorate://${addresses.join(',')}`, { discover: false, ...options })
  clients.push(client)
  return client
}

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  for (const gate of gates.splice(0)) gate.close()
  await cluster[Symbol.asyncDispose]()
})

/** Reads, so that it sees the other end hang up. */
const never: Gate['onConnection'] = (_pass, _count, socket) => socket.resume()
const atOnce = (pass: () => void): void => pass()
/** Of two addresses the first is asked first. */
const firstFirst = (): number => 0.6

describe('the first address is dead', () => {
  const elsewhere = 1_500

  test.each(['127.0.0.1:1', '127.9.9.9:7', 'no-such-host.invalid:7'])(
    'refused at %s: the next is asked at once',
    async dead => {
      const begunMs = performance.now()
      await open([dead, cluster.node('n1').address], { random: firstFirst }).put('a', '1')
      expect(performance.now() - begunMs).toBeLessThan(elsewhere)
    },
  )

  test('it accepts connections and says nothing: the next is asked after a moment, and the attempt is not repeated', async () => {
    const { gate, address } = await openGate(never)
    const client = open([address, cluster.node('n1').address], { random: firstFirst })
    const begunMs = performance.now()
    await client.put('a', '1')
    expect(performance.now() - begunMs).toBeLessThan(elsewhere)
    for (let i = 0; i < 20; i++) await client.put('a', String(i))
    expect(gate.connections).toBe(1)
  })

  test('200 clients pass it over, and none dials it twice', async () => {
    const { gate, address } = await openGate(never)
    const crowd = Array.from({ length: 200 }, () => open([address, cluster.node('n1').address]))
    const begunMs = performance.now()
    await Promise.all(crowd.map((client, n) => client.put(`k${n}`, 'v', { timeoutMs: 20_000 })))
    // Of one process, all of them: far less than an attempt that somebody would have waited for.
    expect(performance.now() - begunMs).toBeLessThan(5_000)
    expect(cluster.applied).toBe(200)
    expect(gate.connections).toBeLessThanOrEqual(200)
  })
})

test('a name with several addresses is dialled at one that answers', async () => {
  const port = cluster.node('n1').address.split(':')[1]
  await open([`localhost:${port}`]).put('a', '1')
  expect(cluster.applied).toBe(1)
})

test('a slow answer is not a dead one: a connection that takes seconds is waited for, and dialled once', async () => {
  const slowMs = 2_500
  const { gate, address } = await openGate(pass => setTimeout(pass, slowMs))
  const client = open([address])
  const begunMs = performance.now()
  await client.put('a', '1')
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(slowMs - 1)
  expect(gate.connections).toBe(1)
  expect(cluster.applied).toBe(1)
})

test('a connection that never becomes ready is dialled anew, with growing patience', async () => {
  const { gate, address } = await openGate((pass, count) => {
    if (count > 1) pass()
  })
  const client = open([address])
  expect((await client.put('a', '1', { timeoutMs: 20_000 })).version).toBe(1)
  expect(gate.connections).toBe(2)
})

test('a node that falls silent on a connection that stands is dialled anew', async () => {
  const { gate, address } = await openGate(atOnce)
  const client = open([address])
  await client.put('a', '1')
  gate.swallow()
  expect((await client.put('a', '2', { timeoutMs: 25_000 })).version).toBe(2)
  expect(gate.connections).toBe(2)
})

describe('connections', () => {
  test('are made when they are first used', async () => {
    const { gate, address } = await openGate(atOnce)
    const client = open([address])
    expect(gate.connections).toBe(0)
    await client.get('a')
    expect(gate.connections).toBe(1)
  })

  test('one carries whatever a quiet client asks, one after another or several at once', async () => {
    const { gate, address } = await openGate(atOnce)
    const client = open([address])
    for (let i = 0; i < 10; i++) {
      await Promise.all([client.put(`k${i}`, 'v'), client.get(`k${i}`), client.get('other', { consistency: 'stale' })])
      for await (const item of client.scan({ limit: 1 })) expect(item.value.length).toBe(1)
      await client.admin.status()
    }
    expect(gate.connections).toBe(1)
  })

  test('more are made when the load of reads asks for them, no more than readConnections', async () => {
    const { gate, address } = await openGate(atOnce)
    const client = open([address], { readConnections: 3, batchOperationsMax: 16 })
    for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 256 }, () => client.get('a')))
    expect(gate.connections).toBe(1 + 3)
  })

  test('that could not be made are given up when nobody asks any more', async () => {
    const { gate, address } = await openGate(never)
    const client = open([address, cluster.node('n1').address], { random: firstFirst })
    await client.put('a', '1')
    expect(gate.connections).toBe(1)
    await until('it is given up', () => gate.open === 0, { limitMs: 3_000 })
    await client.put('a', '2')
    expect(gate.connections).toBe(1)
  })
})

test('patience follows the quickest of the last answers, between the usual and a bound', () => {
  const pace = new Pace()
  expect(pace.patienceMs(250)).toBe(250)
  pace.took(1_000)
  expect([pace.patienceMs(250), pace.patienceMs(5_000)]).toEqual([4_000, 5_000])
  pace.took(60_000)
  expect(pace.patienceMs(250)).toBe(4_000)
  pace.took(2)
  for (let i = 0; i < 3; i++) pace.took(60_000)
  expect(pace.patienceMs(250)).toBe(250)
  pace.took(60_000)
  expect(pace.patienceMs(250)).toBe(10_000)
})
