import { afterEach, describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { asClusterId, asNodeId } from '../../src/base/ids.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import type { PeerCalls } from '../../src/transport/peer-calls.ts'
import { createPeerClient } from '../../src/transport/peer-client.ts'
import { until } from '../support/until.ts'
import {
  type ContextChanges,
  type GrpcNode,
  type ServerHandlers,
  createTestNode,
  openGrpcNode,
  storeOf,
} from './grpc-world.ts'
import { TcpProxy } from './tcp-proxy.ts'

const n2 = asNodeId('n2')
const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close()
})
const inMs = (ms: number): number => systemClock.monotonicMs() + ms
const writes = Uint8Array.of(1)

async function open(
  handlers: ServerHandlers,
  changes: ContextChanges = {},
): Promise<{ server: GrpcNode; proxy: TcpProxy; client: PeerCalls }> {
  const server = await openGrpcNode('n2', {}, handlers)
  const proxy = await TcpProxy.open(server.server.port)
  const { context } = createTestNode('n1', changes)
  const address = server.address(proxy.port)
  const client = createPeerClient({ ...context, addressOf: node => (node === n2 ? address : undefined) })
  opened.push(server, proxy, client)
  return { server, proxy, client }
}

describe('forwarding', () => {
  it('carries many requests at once, each answered as its own, with what is left of its deadline', async () => {
    const lefts: number[] = []
    const { client } = await open({
      forward: async (request, { deadlineMs }) => {
        lefts.push(deadlineMs - systemClock.monotonicMs())
        const delay = Promise.withResolvers<void>()
        systemClock.setTimer((request.gets?.[0]?.[0] ?? 0) % 7, delay.resolve)
        await delay.promise
        return { items: [{ value: request.gets?.[0] ?? null }] }
      },
    })
    const asked = Array.from({ length: 200 }, (_, i) => Uint8Array.of(i))
    const answers = await Promise.all(asked.map(key => client.forward(n2, { id: 99, gets: [key] }, inMs(5_000))))
    expect(answers.map(answer => answer.items?.[0]?.value?.[0])).toEqual(asked.map(key => key[0]))
    expect(Math.max(...lefts)).toBeLessThanOrEqual(5_001)
    expect(Math.min(...lefts)).toBeGreaterThan(3_000)
  })

  it("brings a handler's typed error back, and survives one that throws anything else", async () => {
    const { client } = await open({
      forward: request => {
        if (request.writes?.length) throw new TypeError('a bug')
        return Promise.reject(new KvError('overloaded', 'full', { retryAfterMs: 7, details: { queue: 'q' } }))
      },
    })
    const typed = await client.forward(n2, { gets: [writes] }, inMs(5_000))
    expect(typed.error).toMatchObject({ code: 'overloaded', retryable: true, retryAfterMs: 7, details: { queue: 'q' } })
    const bug = await client.forward(n2, { writes }, inMs(5_000))
    expect(bug.error).toMatchObject({ code: 'internal', message: 'a bug' })
  })

  it('rejects as unavailable what was certainly not sent', async () => {
    const { client, server } = await open({})
    await expect(client.forward(asNodeId('n9'), { writes }, inMs(5_000))).rejects.toMatchObject({ code: 'unavailable' })
    await server.close()
    await expect(client.forward(n2, { writes }, inMs(5_000))).rejects.toMatchObject({ code: 'unavailable' })
    await expect(client.forward(n2, { writes }, inMs(-1))).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('rejects a write that was sent and not answered as of unknown outcome, and a read as unavailable', async () => {
    let handled = 0
    const { client, proxy } = await open({
      forward: () => {
        handled += 1
        return new Promise(() => {})
      },
    })
    const late = client.forward(n2, { writes }, inMs(200))
    await expect(late).rejects.toMatchObject({ code: 'unknown-outcome' })
    const write = client.forward(n2, { writes }, inMs(20_000))
    const read = client.forward(n2, { gets: [writes] }, inMs(20_000))
    const outcomes = Promise.allSettled([write, read])
    await until('both are being handled', () => handled === 3)
    proxy.reset()
    const codes = (await outcomes).map(outcome => outcome.status === 'rejected' && outcome.reason.code)
    expect(codes).toEqual(['unknown-outcome', 'unavailable'])
  })

  it('works again within a second after a black hole', async () => {
    const { client, proxy } = await open({ forward: async () => ({}) })
    await client.forward(n2, { writes }, inMs(5_000))
    proxy.swallow()
    await expect(client.forward(n2, { writes }, inMs(20_000))).rejects.toMatchObject({ code: 'unknown-outcome' })
    const accepted = proxy.accepted
    await until('it was redialled in vain', () => proxy.accepted >= accepted + 3)
    proxy.pass()
    const start = performance.now()
    await until('it works', () => client.forward(n2, { writes }, inMs(5_000)).then(() => true), { intervalMs: 10 })
    expect(performance.now() - start).toBeLessThan(1_000)
  })

  it('refuses to queue without limit', async () => {
    const { client } = await open({ forward: () => new Promise(() => {}) })
    const large = { writes: new Uint8Array(4 << 20) }
    const asked = Array.from({ length: 6 }, () => client.forward(n2, large, inMs(1_000)))
    const codes = (await Promise.allSettled(asked)).map(outcome => outcome.status === 'rejected' && outcome.reason.code)
    expect(codes.filter(code => code === 'overloaded').length).toBeGreaterThanOrEqual(2)
    expect(codes[0]).toBe('unknown-outcome')
  })

  it('is refused by a node of another cluster', async () => {
    const { client } = await open({}, { identity: { clusterId: asClusterId('d'.repeat(32)) } })
    const refusal = client.forward(n2, { writes }, inMs(5_000))
    await expect(refusal).rejects.toMatchObject({ code: 'unavailable', message: expect.stringMatching(/belongs to/) })
  })
})

describe('joining', () => {
  it('introduces this node, and returns the answer', async () => {
    let asked: string | undefined
    const { client, proxy } = await open(
      {
        join: async request => {
          asked = request.hello?.node ?? ''
          return { accepted: true, nodes: [{ id: 'n2' }] }
        },
      },
      { identity: { clusterId: undefined, storeId: storeOf('fresh') } },
    )
    const answer = await client.join(`127.0.0.1:${proxy.port}`, {}, inMs(5_000))
    expect(answer).toMatchObject({ accepted: true, nodes: [{ id: 'n2' }] })
    expect(asked).toBe('n1')
  })

  it('is refused by another cluster, and a handler that fails is an error and no more', async () => {
    const foreign = await open({}, { identity: { clusterId: asClusterId('d'.repeat(32)) } })
    const refused = foreign.client.join(`127.0.0.1:${foreign.proxy.port}`, {}, inMs(5_000))
    await expect(refused).rejects.toMatchObject({ code: 'wrong-cluster' })
    const { client, proxy } = await open({ join: () => Promise.reject(new Error('a bug')) })
    await expect(client.join(`127.0.0.1:${proxy.port}`, {}, inMs(5_000))).rejects.toMatchObject({ code: 'internal' })
    await expect(client.join(`127.0.0.1:${proxy.port}`, {}, inMs(5_000))).rejects.toThrow('a bug')
  })

  it('ends by its deadline when nobody answers', async () => {
    const { client, proxy } = await open({})
    proxy.swallow()
    await expect(client.join(`127.0.0.1:${proxy.port}`, {}, inMs(200))).rejects.toMatchObject({ code: 'unavailable' })
  })
})

it('asks a peer for the state of its replicas', async () => {
  const { client } = await open({ peerStatus: async () => ({ ranges: [{ id: 4, applied: 17 }] }) })
  expect(await client.peerStatus(n2, inMs(5_000))).toMatchObject({ ranges: [{ id: 4, applied: 17 }] })
})
