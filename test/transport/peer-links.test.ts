import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { Client, credentials } from '@grpc/grpc-js'
import { afterEach, describe, expect, it } from 'vitest'
import { asClusterId, asNodeId } from '../../src/base/ids.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { DialedStream } from '../../src/transport/dialed-stream.ts'
import { createHello } from '../../src/transport/hello.ts'
import { encodeFrame } from '../../src/transport/message-codec.ts'
import { peerMethods } from '../../src/transport/peer-service.ts'
import { freePorts } from '../support/free-ports.ts'
import { until } from '../support/until.ts'
import { type GrpcNode, createTestNode, electionTimeoutMs, openGrpcNode, openGrpcPair, storeOf } from './grpc-world.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { append, connected, heartbeat, outgoing } from './transport-contract.ts'

const n1 = asNodeId('n1')
const n2 = asNodeId('n2')
const opened: { close(): unknown }[] = []

function keep<T extends { close(): unknown }>(resource: T): T {
  opened.push(resource)
  return resource
}

afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close()
})

async function reaches(a: GrpcNode, b: GrpcNode, limitMs?: number): Promise<number> {
  const start = performance.now()
  await connected({ a, b }, limitMs)
  return performance.now() - start
}

describe('a link to a peer', () => {
  it('is up again within a second when a black hole between the two ends, however long it was', async () => {
    const { a, b, fromA } = keep(await openGrpcPair())
    await reaches(a, b)
    for (let round = 0; round < 3; round++) {
      fromA.swallow()
      const acceptedAtCut = fromA.accepted
      const redials = 2 + round * 3
      await until('it was redialled in vain', () => fromA.accepted >= acceptedAtCut + redials)
      expect(fromA.open).toBeLessThanOrEqual(4)
      fromA.pass()
      expect(await reaches(a, b)).toBeLessThan(1_000)
      a.transport.send(n2, 'append', append(1, Buffer.alloc(10)))
    }
  })

  it('recovers from a peer that accepts connections and never speaks', async () => {
    const [port] = await freePorts(1)
    const sockets = new Set<Socket>()
    let accepted = 0
    const mute = createServer(socket => {
      accepted += 1
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
      socket.resume()
    })
    mute.listen(port, '127.0.0.1')
    await once(mute, 'listening')
    const a = keep(await openGrpcNode('n1'))
    a.transport.setPeers([{ node: n2, storeId: storeOf('n2'), peerAddress: `127.0.0.1:${port}` }])
    await until('several attempts were given up', () => accepted >= 8)
    // Given up means closed: at most one attempt a channel stands.
    expect(sockets.size).toBeLessThanOrEqual(4)
    const closed = new Promise(resolve => mute.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
    const b = keep(await openGrpcNode('n2', {}, { address: `127.0.0.1:${port}` }))
    expect(await reaches(a, b)).toBeLessThan(1_000)
  })

  it('survives a reset of its connections', async () => {
    const { a, b, fromA } = keep(await openGrpcPair())
    await reaches(a, b)
    fromA.reset()
    expect(await reaches(a, b)).toBeLessThan(1_000)
  })

  it('drops the oldest and says so when more is waiting than its budget', async () => {
    const { a, b, fromA } = keep(await openGrpcPair())
    await reaches(a, b)
    fromA.swallow()
    const big = Buffer.alloc(1 << 20, 1)
    for (let index = 1; index <= 30; index++) a.transport.send(n2, 'append', append(index, big))
    // All within one tick: nothing has left yet, 16 MiB are kept at most.
    await until('it is reported', () => a.unreachable.includes(n2))
    expect(a.transport.metrics().messagesDropped).toBeGreaterThanOrEqual(14)
  })

  it('sends the newest when the oldest were dropped', async () => {
    const { a, b } = keep(await openGrpcPair())
    await reaches(a, b)
    const big = Buffer.alloc(1 << 20, 1)
    for (let index = 1; index <= 30; index++) a.transport.send(n2, 'append', append(index, big))
    const indexes = (): number[] =>
      b.received.flatMap(({ item: { message } }) =>
        message.kind === 'append-entries' ? message.entries.map(entry => entry.index) : [],
      )
    await until('the newest arrives', () => indexes().includes(30 as never))
    expect(indexes()).not.toContain(1)
    expect(indexes()).toEqual([...indexes()].sort((x, y) => x - y))
  })

  it('is not taken for dead while one large message is on its way over a thin link', async () => {
    const b = keep(await openGrpcNode('n2'))
    const a = createTestNode('n1')
    const proxy = keep(await TcpProxy.open(b.server.port))
    const frame = {
      clock: 0,
      rawClock: 0,
      flushMicros: 0,
      freeBytes: 0,
      diskBand: 'ok' as const,
      draining: false,
      hello: undefined,
    }
    const downs: string[] = []
    const silenceMs = 250
    const stream = keep(
      new DialedStream({
        clock: systemClock,
        address: `127.0.0.1:${proxy.port}`,
        method: peerMethods.Append,
        hello: () =>
          encodeFrame({ ...frame, hello: createHello(a.context, { node: n2, storeId: storeOf('n2') }), messages: [] }),
        ping: () => encodeFrame({ ...frame, messages: [] }),
        pingIntervalMs: silenceMs / 5,
        connectTimeoutMs: 2_000,
        silenceMs,
        outstandingBytesMax: 1 << 20,
        onMessage: () => 'welcome',
        onReady: () => {},
        onDrain: () => {},
        onDown: reason => downs.push(reason),
      }),
    )
    await until('it is welcome', () => stream.ready)
    const bytes = 100_000
    proxy.thin(bytes / (6 * silenceMs))
    const start = performance.now()
    stream.write(encodeFrame({ ...frame, messages: [append(1, Buffer.alloc(bytes))] }))
    await until('it arrives', () => b.received.length > 0)
    expect(performance.now() - start).toBeGreaterThan(4 * silenceMs)
    expect(downs).toEqual([])
    // Nor is it given up with a channel beside it, as long as it is heard.
    stream.abandon('the other broke', 60_000)
    expect(downs).toEqual([])
    stream.abandon('the other broke', 0)
    expect(downs).toEqual(['the other broke'])
  })

  it('is refused by a node of another cluster, and both sides say why, once', async () => {
    const a = keep(await openGrpcNode('n1'))
    const b = keep(await openGrpcNode('n2', { identity: { clusterId: asClusterId('d'.repeat(32)) } }))
    a.transport.setPeers([b.address()])
    await until('several dials were refused', () => a.transport.metrics().dials >= 6)
    const said = (node: GrpcNode) => node.logger.lines.filter(line => /belongs to cluster/.test(line.message))
    expect(said(a)).toHaveLength(1)
    expect(said(b)).toHaveLength(1)
    expect(b.received).toEqual([])
  })

  it('introduces itself to a node that knows its name with another store', async () => {
    const heard: string[] = []
    const a = keep(await openGrpcNode('n1'))
    const b = keep(
      await openGrpcNode('n2', {
        knownStore: () => storeOf('former'),
        heard: record => heard.push(record.id ?? ''),
      }),
    )
    a.transport.setPeers([b.address()])
    await until('n2 has heard of n1', () => heard.includes('n1'))
  })

  it('cannot introduce another node, nor another store', async () => {
    const heard: string[] = []
    const b = keep(await openGrpcNode('n2', { heard: record => heard.push(record.id ?? '') }))
    for (const record of [{ id: 'n3' }, { storeId: Buffer.from(storeOf('other'), 'hex') }]) {
      const a = keep(await openGrpcNode('n1', { record }))
      a.transport.setPeers([b.address()])
      await until('n1 is told', () =>
        a.logger.lines.some(line => /introduces itself, and nobody else/.test(line.message)),
      )
    }
    expect(heard).toEqual([])
  })

  it('keeps off a node that answers under another name', async () => {
    const a = keep(await openGrpcNode('n1'))
    const b = keep(await openGrpcNode('n3'))
    a.transport.setPeers([{ ...b.address(), node: n2 }])
    a.transport.send(n2, 'control', heartbeat(1))
    await until('n1 is told', () => a.logger.lines.some(line => /means to reach n2 here/.test(line.message)))
    expect(b.received).toEqual([])
  })

  it('tells a node whose clock every peer finds too far ahead that it is its own that is wrong', async () => {
    const a = keep(await openGrpcNode('n1', { unixMs: () => Date.now() + 5_000 }))
    const b = keep(await openGrpcNode('n2'))
    const c = keep(await openGrpcNode('n3'))
    a.transport.setPeers([b.address(), c.address()])
    const errors = () => a.logger.lines.filter(line => line.level === 'error')
    await until('it says so', () => errors().length > 0)
    expect(errors()[0]?.message).toMatch(/every reachable peer drops what this node says.*set this machine's clock/)
    expect(b.transport.metrics().framesClockAhead).toBeGreaterThan(0)
    expect(b.received).toEqual([])
  })

  it('tells a node whose clock was ahead once, and is right again, when it will be heard: nothing is left to set', async () => {
    const wild = { aheadMs: 3_600_000 }
    const a = keep(await openGrpcNode('n1', { unixMs: () => Date.now() + wild.aheadMs }))
    a.context.hybridClock.now()
    wild.aheadMs = 0
    const b = keep(await openGrpcNode('n2'))
    const c = keep(await openGrpcNode('n3'))
    a.transport.setPeers([b.address(), c.address()])
    await until('it says so', () => a.logger.lines.some(line => line.level === 'error'))
    const own = a.logger.lines.find(line => line.level === 'error')?.message ?? ''
    expect(own).toMatch(
      /every reachable peer drops.*was ahead once.*takes part again at \d{4}-.*another data directory/,
    )
    expect(own).not.toMatch(/NTP/)
    const heardAtMs = Date.parse(/again at (\S+Z)/.exec(own)?.[1] ?? '')
    expect(Math.abs(heardAtMs - Date.now() - 3_600_000)).toBeLessThan(20_000)
    const peers = b.logger.lines.find(line => line.level === 'warn')?.message
    expect(peers).toMatch(/dropping what n1 says: its wall clock was ahead once.*is heard again at \d{4}-/)
  })

  it('closes what it had to a peer that is no longer one', async () => {
    const { a, b } = keep(await openGrpcPair())
    await reaches(a, b)
    a.transport.setPeers([])
    expect(a.transport.addressOf(n2)).toBeUndefined()
    await until('n2 sees it die', () => b.transport.health()[0]?.live === false)
  })
})

describe('the peer port', () => {
  it('is unharmed by garbage', async () => {
    const { a, b } = keep(await openGrpcPair())
    for (const garbage of [
      Buffer.alloc(100_000, 0xff),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from('PRI * HT'),
    ]) {
      const socket = connect(b.server.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.end(garbage)
      await once(socket, 'close')
    }
    await reaches(a, b)
  })

  it('ends a stream that brings no frames, or no Hello, and goes on', async () => {
    const b = keep(await openGrpcNode('n2'))
    const client = keep(new Client(`127.0.0.1:${b.server.port}`, credentials.createInsecure()))
    const bare = encodeFrame({
      hello: undefined,
      clock: 0,
      rawClock: 0,
      messages: [heartbeat(1)],
      flushMicros: 0,
      freeBytes: 0,
      diskBand: 'ok' as const,
      draining: false,
    })
    for (const first of [Buffer.alloc(50, 0xff), bare]) {
      for (const method of [peerMethods.Control, peerMethods.Append, peerMethods.Forward, peerMethods.Snapshot]) {
        const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
        const ended = new Promise(resolve => {
          call.on('error', resolve)
          call.on('end', resolve)
        })
        call.on('data', () => {})
        call.write(first)
        call.end()
        await ended
      }
    }
    expect(b.received).toEqual([])
    const a = keep(await openGrpcNode('n1'))
    a.transport.setPeers([b.address()])
    await reaches(a, b)
  })

  it('takes no more from a dialler that reads nothing, and the others do not notice', async () => {
    const { a, b } = keep(await openGrpcPair())
    await reaches(a, b)
    const client = keep(new Client(`127.0.0.1:${b.server.port}`, credentials.createInsecure()))
    const method = peerMethods.Control
    const stranger = keep(await openGrpcNode('n4'))
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
    call.on('error', () => {})
    call.pause()
    const frame = { clock: 0, rawClock: 0, flushMicros: 0, freeBytes: 0, diskBand: 'ok' as const, draining: false }
    const hello = createHello(stranger.context, { node: n2, storeId: storeOf('n2') })
    call.write(encodeFrame({ ...frame, hello, messages: [] }))
    // Each asks for an answer, and none is read.
    for (let i = 0; i < 5_000; i++) call.write(encodeFrame({ ...frame, hello: undefined, messages: [] }))
    call.write(encodeFrame({ ...frame, hello: undefined, messages: [heartbeat(77)] }))
    await until('all of it was looked at', () => b.received.some(({ from }) => from === 'n4'))
    await reaches(a, b)
    call.cancel()
  })

  it('names the address and the remedy when it is taken', async () => {
    const b = keep(await openGrpcNode('n2'))
    const address = `127.0.0.1:${b.server.port}`
    await expect(openGrpcNode('n3', {}, { address })).rejects.toThrow(
      `cannot listen for peers on ${address}: another process listens there`,
    )
  })
})

describe('a snapshot', () => {
  it('whose connection is reset midway fails at both ends', async () => {
    const { a, b, fromA } = keep(await openGrpcPair())
    await reaches(a, b)
    let outcome: string | undefined
    b.onSnapshot = async snapshot => {
      let bytes = 0
      try {
        for await (const chunk of snapshot.chunks) {
          bytes += chunk.length
          if (bytes > 3 << 20) fromA.reset()
        }
        outcome = 'whole'
      } catch (error) {
        outcome = `threw: ${error instanceof Error ? error.message : ''}`
      }
      return true
    }
    const chunks = (async function* () {
      for (let i = 0; i < 400; i++) yield Buffer.alloc(256 << 10, i)
    })()
    expect(await a.transport.sendSnapshot(n2, outgoing(chunks), AbortSignal.timeout(20_000))).toBe(false)
    await until('the receiver learns of it', () => outcome)
    expect(outcome).toMatch(/^threw: the snapshot stream broke/)
  })

  it('that stands still is given up at both ends', async () => {
    const { a, b, fromA } = keep(await openGrpcPair())
    await reaches(a, b)
    let outcome: string | undefined
    b.onSnapshot = async snapshot => {
      try {
        for await (const _ of snapshot.chunks) fromA.swallow()
        outcome = 'whole'
      } catch {
        outcome = 'threw'
      }
      return true
    }
    const chunks = (async function* () {
      for (let i = 0; i < 400; i++) yield Buffer.alloc(256 << 10, i)
    })()
    expect(await a.transport.sendSnapshot(n2, outgoing(chunks), AbortSignal.timeout(20_000))).toBe(false)
    await until('the receiver gives up', () => outcome)
    expect(outcome).toBe('threw')
  })
})

describe('a frame of the peer protocol', () => {
  it('older than the newest stream of its sender is not delivered out of order', async () => {
    const a = keep(await openGrpcNode('n1'))
    const b = keep(await openGrpcNode('n2'))
    a.transport.setPeers([b.address()])
    await reaches(a, b)
    const client = keep(new Client(`127.0.0.1:${b.server.port}`, credentials.createInsecure()))
    const method = peerMethods.Control
    const frame = { clock: 0, rawClock: 0, flushMicros: 0, freeBytes: 0, diskBand: 'ok' as const, draining: false }
    const open = () => {
      const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
      call.on('error', () => {})
      const notices: unknown[] = []
      call.on('data', notice => notices.push(notice))
      const hello = createHello(a.context, { node: n2, storeId: storeOf('n2') })
      call.write(encodeFrame({ ...frame, hello, messages: [] }))
      return { call, welcome: () => notices.length > 0 }
    }
    await a.transport.close()
    const older = open()
    await until('the older stream is welcome', older.welcome)
    const newer = open()
    await until('the newer stream is welcome', newer.welcome)
    older.call.write(encodeFrame({ ...frame, hello: undefined, messages: [heartbeat(111)] }))
    newer.call.write(encodeFrame({ ...frame, hello: undefined, messages: [heartbeat(222)] }))
    const contexts = () =>
      b.received.map(({ item: { message } }) => (message.kind === 'heartbeat' ? message.context : 0))
    await until('the newer is heard', () => contexts().includes(222))
    expect(contexts()).not.toContain(111)
    older.call.cancel()
    newer.call.cancel()
  })
})

it('gives up and reports within about an election timeout when a standing stream falls silent', async () => {
  const { a, b, fromA } = keep(await openGrpcPair())
  await reaches(a, b)
  a.unreachable.length = 0
  const start = performance.now()
  fromA.swallow()
  await until('n1 notices', () => a.unreachable.includes(n2))
  expect(performance.now() - start).toBeLessThan(electionTimeoutMs * 3)
  expect(b.transport.health()[0]?.node).toBe(n1)
})
