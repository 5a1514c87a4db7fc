import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { healthService } from '../../src/server/health-service.ts'
import { kvService } from '../../src/server/kv-service.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { TestClient, failureOf, putsOf } from '../support/grpc-client.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | null | undefined): string => Buffer.from(value ?? []).toString()

async function start(...args: Parameters<typeof startFakeServer>) {
  const fake = await startFakeServer(...args)
  const client = new TestClient(fake.port)
  return {
    ...fake,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await fake.server.close(0)
    },
  }
}

describe('unary calls', () => {
  it('put, get, compare, delete and tell the history of a key', async () => {
    await using node = await start()
    const { client } = node
    const put = await client.unary(kvService.Put, { op: { key: bytes('a'), value: bytes('1') } })
    expect(put.outcome).toMatchObject({ kind: 1, version: 1 })
    expect(put.header).toMatchObject({ node: 'n1', leader: 'n1' })
    const got = await client.unary(kvService.Get, { key: bytes('a') })
    expect([text(got.item?.key), text(got.item?.value), got.item?.version]).toEqual(['a', '1', 1])
    const commit = await client.unary(kvService.Commit, {
      op: {
        compares: [{ key: bytes('a'), value: bytes('1') }],
        then: [{ put: { key: bytes('b'), value: bytes('2') } }, { delete: { key: bytes('a') } }],
      },
    })
    expect(commit.outcome?.kind).toBe(quorate.v1.OutcomeKind.OUTCOME_KIND_DONE)
    const history = await client.unary(kvService.History, { key: bytes('a') })
    expect(history.items?.map(item => item.deleted)).toEqual([true, false])
    const removed = await client.unary(kvService.Delete, { op: { key: bytes('b') } })
    expect(removed.outcome?.deleted).toBe(1)
  })

  it('delete a range in bounded steps that say where to go on', async () => {
    await using node = await start()
    const { client } = node
    for (const key of ['a', 'b', 'c']) await client.unary(kvService.Put, { op: { key: bytes(key) } })
    const first = await client.unary(kvService.DeleteRange, { op: { start: bytes('a'), toEnd: true, limit: 2 } })
    expect([first.outcome?.deleted, text(first.outcome?.resume)]).toEqual([2, 'c'])
    const rest = { start: first.outcome?.resume ?? null, toEnd: true, limit: 2 }
    const second = await client.unary(kvService.DeleteRange, { op: rest })
    expect([second.outcome?.deleted, text(second.outcome?.resume)]).toEqual([1, ''])
  })

  it.each<[string, quorate.v1.IDeleteRangeOp | null]>([
    ['no operation', null],
    ['no span', {}],
    ['empty ends', { start: bytes(''), end: bytes('') }],
    ['a start alone', { start: bytes('a') }],
    ['an end alone', { end: bytes('z') }],
    ['an end before the start', { start: bytes('b'), end: bytes('a') }],
    ['a bound that no key reaches', { start: Buffer.alloc(5000), toEnd: true }],
  ])('never delete by omission: %s', async (_, op) => {
    await using node = await start()
    for (const key of ['a', 'b', 'c']) await node.client.unary(kvService.Put, { op: { key: bytes(key) } })
    const refused = await failureOf(node.client.unary(kvService.DeleteRange, { op }))
    expect(refused.code).toBe(status.INVALID_ARGUMENT)
    const left = await Promise.all(['a', 'b', 'c'].map(key => node.client.unary(kvService.Get, { key: bytes(key) })))
    expect(left.every(({ item }) => (item?.timestamp ?? 0) > 0)).toBe(true)
    const all = await node.client.unary(kvService.DeleteRange, { op: { all: true } })
    expect(all.outcome?.deleted).toBe(3)
  })

  it('from many clients in one tick share batches', async () => {
    await using node = await start()
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => node.client.unary(kvService.Put, { op: { key: bytes(`k${i}`) } })),
    )
    expect(node.cluster.state.batchSizes.length).toBeLessThan(100)
    expect(node.cluster.state.batchSizes.reduce((sum, size) => sum + size, 0)).toBe(100)
  })

  it('fail with a status, and the typed error in the trailer', async () => {
    await using node = await start({}, ['n1', 'n2'], 'n2')
    node.cluster.state.leader = asNodeId('n1')
    node.node.store.readRefusals.push({ kind: 'below-threshold', threshold: 4096 as never })
    const old = await failureOf(node.client.unary(kvService.Get, { key: bytes('a'), options: { kind: 2, at: 5 } }))
    expect(old.code).toBe(status.OUT_OF_RANGE)
    expect(old.typed).toMatchObject({ code: 'below-threshold', retryable: false, details: { threshold: '4096' } })
    const long = await failureOf(node.client.unary(kvService.Get, { key: Buffer.alloc(5000) }))
    expect(long.code).toBe(status.INVALID_ARGUMENT)
    expect(long.typed).toMatchObject({ code: 'too-large', details: { limit: 'keyBytesMax', limitValue: '4096' } })
  })

  it('name the leader and its address to those that must ask there', async () => {
    await using node = await start({}, ['n1', 'n2'], 'n2')
    const header = { hops: 1 }
    const refused = await failureOf(
      node.client.unary(kvService.Put, {
        header: { ...header, session: Buffer.alloc(16), number: 1 },
        op: { key: bytes('a') },
      }),
    )
    expect(refused.code).toBe(status.UNAVAILABLE)
    expect(refused.typed).toMatchObject({
      code: 'not-leader',
      leader: 'n1',
      leaderAddress: 'n1.example:7101',
      retryable: true,
    })
  })

  it('end by their deadline, which the gateway is told', async () => {
    await using node = await start()
    node.cluster.state.leader = undefined
    const failed = await failureOf(
      node.client.unary(kvService.Put, { header: { timeoutMs: 50 }, op: { key: bytes('a') } }),
    )
    expect(failed.typed?.code).toBe('unavailable')
    const cut = await failureOf(node.client.unary(kvService.Put, { op: { key: bytes('a') } }, 60))
    expect([status.DEADLINE_EXCEEDED, status.UNAVAILABLE]).toContain(cut.code)
  })

  it('survive a bug below: one call ends as `internal`, the node goes on', async () => {
    await using node = await start()
    node.node.store.get = () => {
      throw new Error('a \ud800 bug')
    }
    const failed = await failureOf(node.client.unary(kvService.Get, { key: bytes('a') }))
    expect(failed.code).toBe(status.INTERNAL)
    expect(failed.typed?.code).toBe('internal')
    expect((await node.client.unary(kvService.Put, { op: { key: bytes('a') } })).outcome?.kind).toBe(1)
  })

  it('that are no message of the call are refused by name', async () => {
    await using node = await start()
    const failed = await failureOf(node.client.raw(kvService.Get, Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f])))
    expect(failed.code).toBe(status.INVALID_ARGUMENT)
    expect(failed.typed?.code).toBe('invalid-argument')
  })

  it('larger than the limit are refused, and the connection stays', async () => {
    await using node = await start()
    const value = Buffer.alloc(5 * 1024 * 1024)
    const failed = await failureOf(node.client.unary(kvService.Put, { op: { key: bytes('a'), value } }))
    expect(failed.code).toBe(status.RESOURCE_EXHAUSTED)
    expect(failed.details).toMatch(/larger than max/)
    expect((await node.client.unary(kvService.Get, { key: bytes('a') })).item?.timestamp).toBe(0)
  })
})

describe('the batch stream', () => {
  it('answers each message under its id, in whatever order they are done', async () => {
    await using node = await start()
    const stream = node.client.batch()
    const answers = new Map<number, quorate.v1.BatchResponse>()
    const done = new Promise<void>((resolve, reject) => {
      stream.on('data', (response: quorate.v1.BatchResponse) => answers.set(response.id, response))
      stream.on('end', resolve)
      stream.on('error', reject)
    })
    for (let id = 1; id <= 20; id++) stream.write({ id, writes: putsOf([[`k${id}`, `v${id}`]]) })
    stream.write({ id: 21, gets: [bytes('absent')] })
    stream.end()
    await done
    expect([...answers.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1))
    expect(answers.get(7)?.outcomes[0]?.version).toBe(1)
    expect(answers.get(21)?.items).toHaveLength(1)
  })

  it('carries an error for one message, and the next is served', async () => {
    await using node = await start()
    const stream = node.client.batch()
    const answers: quorate.v1.BatchResponse[] = []
    const done = new Promise<void>(resolve => stream.on('end', resolve))
    stream.on('data', (response: quorate.v1.BatchResponse) => answers.push(response))
    stream.write({ id: 1, gets: [Buffer.alloc(5000)] })
    stream.write({ id: 2, gets: [bytes('a')] })
    stream.end()
    await done
    const byId = new Map(answers.map(answer => [answer.id, answer]))
    expect(byId.get(1)?.error?.code).toBe('too-large')
    expect(byId.get(2)?.error).toBeNull()
  })

  it('ends with a status when a message cannot be decoded', async () => {
    await using node = await start()
    const stream = node.client.client.makeBidiStreamRequest(
      '/quorate.v1.KV/Batch',
      (raw: Buffer) => raw,
      (raw: Buffer) => raw,
    )
    const failed = failureOf(new Promise((_resolve, reject) => stream.on('error', reject)))
    stream.on('data', () => {})
    stream.write(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]))
    expect((await failed).code).toBe(status.INVALID_ARGUMENT)
  })

  it('refuses an answer over the limit by name', async () => {
    await using node = await start({ limits: { responseBytesMax: 1000 } })
    await node.client.unary(kvService.Put, { op: { key: bytes('a'), value: Buffer.alloc(2000) } })
    const stream = node.client.batch()
    const answer = new Promise<quorate.v1.BatchResponse>(resolve => stream.on('data', resolve))
    stream.write({ id: 5, gets: [bytes('a')] })
    expect(await answer).toMatchObject({ id: 5, error: { code: 'too-large', details: { limit: 'responseBytesMax' } } })
    stream.end()
  })

  it('is read no further while too much is in flight, and goes on when that is served', async () => {
    await using node = await start({ limits: { inFlightBytesMax: 64 * 1024 } })
    const { store } = node.node
    let open = (): void => {}
    store.gate = new Promise(resolve => (open = resolve))
    const stream = node.client.batch()
    let answered = 0
    const done = new Promise<void>(resolve => stream.on('end', resolve))
    stream.on('data', () => answered++)
    for (let i = 0; i < 200; i++) stream.write({ id: i, writes: putsOf([[`k${i}`, Buffer.alloc(8 * 1024)]]) })
    stream.end()
    // Round trips on the same connection: what the server was willing to read has arrived by then.
    let before = 0
    while (store.writes.length === 0 || store.writes.length !== before) {
      before = store.writes.length
      for (let i = 0; i < 20; i++) await node.client.unary(healthService.Check, {})
    }
    expect(store.writes.length).toBeLessThan(40)
    store.gate = undefined
    open()
    await done
    expect(answered).toBe(200)
  })
})

describe('a scan', () => {
  it('streams pages of one instant', async () => {
    await using node = await start()
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        node.client.unary(kvService.Put, { op: { key: bytes(`k${String(i).padStart(2, '0')}`), value: bytes('v') } }),
      ),
    )
    const encoded = await node.client.stream(kvService.Scan, { pageKeys: 10 })
    const pages = encoded.map(page => quorate.v1.ScanResponse.decode(page))
    expect(pages.map(page => page.items.length)).toEqual([10, 10, 10])
    expect(new Set(pages.map(page => page.at)).size).toBe(1)
    expect(text(pages[0]?.resume)).toBe('k10')
    expect(text(pages[2]?.resume)).toBe('')
  })

  it('fetches no further than its reader reads', async () => {
    await using node = await start()
    const { store } = node.node
    const value = Buffer.alloc(500 * 1024)
    for (let i = 0; i < 60; i++)
      await node.client.unary(kvService.Put, { op: { key: bytes(`k${String(i).padStart(2, '0')}`), value } })
    const call = node.client.client.makeServerStreamRequest(
      kvService.Scan.path,
      (raw: Buffer) => raw,
      (raw: Buffer) => quorate.v1.ScanResponse.decode(raw),
      kvService.Scan.requestSerialize({ message: { pageKeys: 1 }, bytes: 0 }),
    )
    const pages = call[Symbol.asyncIterator]()
    let count = ((await pages.next()).value as quorate.v1.IScanResponse).items?.length ?? 0
    // Nobody reads on: the client buffers 16 pages, the windows hold a few, and the server fetches two more.
    let before = -1
    while (store.reads.length !== before || store.reads.length === 0) {
      before = store.reads.length
      for (let i = 0; i < 50; i++) await node.client.unary(kvService.Put, { op: { key: bytes('z') } })
    }
    expect(store.reads.length).toBeLessThan(40)
    for (let page = await pages.next(); !page.done; page = await pages.next()) {
      count += (page.value as quorate.v1.IScanResponse).items?.length ?? 0
    }
    expect(count).toBe(60)
  })

  it('fails with the typed error in the trailer', async () => {
    await using node = await start()
    node.node.store.readRefusals.push({ kind: 'future-instant' })
    const failed = await failureOf(node.client.stream(kvService.Scan, { options: { kind: 2, at: 7 } }))
    expect(failed.typed?.code).toBe('future-instant')
  })
})
