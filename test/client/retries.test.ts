import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createServer, type Server, type Socket } from 'node:net'
import { type Client, type ClientOptions, KvError, connect } from '../../src/client/client.ts'
import { type FakeKvCluster, type SeenBatch, startFakeKvCluster } from '../support/fake-kv-server.ts'
import { until } from '../support/until.ts'

let cluster: FakeKvCluster
const clients: Client[] = []

function open(options: ClientOptions = {}, url = cluster.url): Client {
  const client = connect(url, options)
  clients.push(client)
  return client
}

async function errorOf(promise: Promise<unknown>): Promise<KvError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

const writesOf = (): SeenBatch[] => cluster.batches.filter(batch => batch.decoded !== undefined)

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await cluster[Symbol.asyncDispose]()
})

describe('a write is applied once', () => {
  test.each([
    ['the answer is lost', 'lose-answer'],
    ['the stream breaks after it was applied', 'apply-and-break'],
    ['the stream breaks before', 'break'],
    ['nobody ever answers', 'swallow'],
    ['the gateway does not know', new KvError('unknown-outcome', 'the leader went away')],
    ['there is no leader', new KvError('unavailable', 'no leader')],
    ['the node is overloaded', new KvError('overloaded', 'a queue is full', { retryAfterMs: 10 })],
    ['the node drains', new KvError('draining', 'shutting down')],
  ] as const)('and sent again unchanged, when %s', async (_, verdict) => {
    const client = open({ attemptTimeoutMs: 100 })
    cluster.verdict = (_batch, count) => (count <= 2 ? verdict : 'answer')
    const results = await Promise.all([client.put('a', '1'), client.put('b', '2')])
    expect(results.map(result => result.version)).toEqual([1, 1])
    expect(cluster.applied).toBe(2)
    const sent = writesOf()
    expect(sent.length).toBe(3)
    expect(new Set(sent.map(batch => Buffer.from(batch.writes).toString('hex'))).size).toBe(1)
    await client.put('a', '3')
    expect(cluster.applied).toBe(3)
  })

  test('whatever happens to the answers, each caller hears once and the map agrees', async () => {
    const client = open({ attemptTimeoutMs: 60, batchOperationsMax: 7, timeoutMs: 20_000 })
    const fates = ['answer', 'lose-answer', 'apply-and-break', 'break', 'answer', 'swallow', 'answer'] as const
    cluster.verdict = (_batch, count) => fates[count % fates.length] ?? 'answer'
    const counts = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => (await client.put(`key${i % 5}`, String(i))).version),
    )
    expect(cluster.applied).toBe(40)
    expect(counts.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => Math.floor(i / 5) + 1))
  })

  test('notAfter is fixed by the cluster clock, the timeout and the tolerated skew', async () => {
    const client = open({ timeoutMs: 2000 })
    await client.put('a', '1')
    const batch = writesOf()[0]?.decoded
    const aheadMs = (Number(batch?.notAfter) - (await client.put('a', '2')).timestamp) / 4096
    expect(aheadMs).toBeGreaterThan(1500)
    expect(aheadMs).toBeLessThan(3000)
  })
})

describe('deadlines and signals', () => {
  test('past its deadline after having been sent, a write is of unknown outcome', async () => {
    const client = open({ attemptTimeoutMs: 50 })
    cluster.verdict = () => 'swallow'
    const error = await errorOf(client.put('a', '1', { timeoutMs: 200 }))
    expect([error.code, error.retryable]).toEqual(['unknown-outcome', false])
    expect((await errorOf(client.get('a', { timeoutMs: 200 }))).code).toBe('unavailable')
  })

  test('a write that every attempt refused was certainly not applied', async () => {
    const client = open()
    // None may be under way when the deadline passes: that one would be in doubt.
    let refusals = 0
    cluster.verdict = (_batch, count) => {
      refusals = count
      return new KvError('unavailable', 'no leader', { retryAfterMs: count < 6 ? 0 : 60_000 })
    }
    const error = await errorOf(client.put('a', '1', { timeoutMs: 1_500 }))
    expect(error.code).toBe('unavailable')
    expect(error.message).toContain('no leader')
    expect(refusals).toBeGreaterThanOrEqual(5)
  })

  test('a refusal after an attempt in doubt does not say that nothing happened', async () => {
    const client = open({ attemptTimeoutMs: 100 })
    cluster.verdict = (_batch, count) => (count === 1 ? 'apply-and-break' : new KvError('disk-full', 'no space'))
    expect((await errorOf(client.put('a', '1'))).code).toBe('unknown-outcome')
    expect((await errorOf(client.put('b', '1'))).code).toBe('disk-full')
  })

  test('nobody there: unavailable, with the reason', async () => {
    const client = open({ timeoutMs: 150 }, 'quorate://127.0.0.1:1')
    const calls = [client.put('a', '1'), client.get('a'), client.admin.status(), client.count()]
    for (const error of await Promise.all(calls.map(errorOf))) {
      expect(error.code).toBe('unavailable')
      expect(error.message).toContain('127.0.0.1:1')
    }
  })

  test('an answer that comes after its attempt was given up is taken: slow is not dead', async () => {
    // Ever longer attempts would not get there: the longest is 400 ms.
    const client = open({ attemptTimeoutMs: 50 })
    cluster.verdict = () => new Promise(resolve => setTimeout(() => resolve('answer'), 1_200))
    const begunMs = performance.now()
    const [put, got] = await Promise.all([client.put('a', '1'), client.getText('none')])
    expect([put.version, got]).toEqual([1, undefined])
    expect(performance.now() - begunMs).toBeLessThan(2_400)
    cluster.verdict = () => 'answer'
    expect([(await client.put('a', '2')).version, cluster.applied]).toEqual([2, 2])
  })

  test('an aborted operation detaches and its batch goes on', async () => {
    const client = open()
    const { promise: gate, resolve: openGate } = Promise.withResolvers<void>()
    cluster.verdict = async () => {
      await gate
      return 'answer' as const
    }
    const controller = new AbortController()
    const aborted = client.put('a', '1', { signal: controller.signal })
    const other = client.put('b', '2')
    await until('the batch is out', () => cluster.batches.length === 1)
    const queued = client.put('c', '3', { signal: controller.signal })
    controller.abort(new Error('enough'))
    const error = await errorOf(aborted)
    expect([error.code, (error.cause as Error).message]).toEqual(['cancelled', 'enough'])
    expect((await errorOf(queued)).message).toContain('before it was sent')
    expect((await errorOf(client.put('d', '4', { signal: controller.signal }))).code).toBe('cancelled')
    openGate()
    expect((await other).version).toBe(1)
    expect([...cluster.data.keys()].sort()).toEqual(['a', 'b'])
  })

  test('closing fails what is under way and refuses what comes', async () => {
    const client = open()
    cluster.verdict = () => 'swallow'
    const write = errorOf(client.put('a', '1'))
    const read = errorOf(client.get('a'))
    await until('both are out', () => cluster.batches.length === 2)
    client.close()
    expect((await write).code).toBe('unknown-outcome')
    expect((await read).code).toBe('closed')
    expect((await errorOf(client.put('a', '1'))).code).toBe('closed')
    expect((await errorOf(client.admin.nodes())).code).toBe('closed')
  })
})

describe('finding the leader', () => {
  test('one address leads to all nodes, and writes go straight to the leader', async () => {
    cluster.leader = 'n3'
    cluster.followersRefuse = true
    const client = open({}, `quorate://${cluster.node('n2').address}`)
    await client.put('a', '1')
    expect(writesOf().map(batch => batch.node)).toEqual(['n3'])
  })

  test('a refusal that names the leader is followed', async () => {
    const client = open()
    await client.put('a', '1')
    cluster.leader = 'n2'
    cluster.followersRefuse = true
    await client.put('a', '2')
    expect(writesOf().map(batch => batch.node)).toEqual(['n1', 'n1', 'n2'])
  })

  test('when the leader dies, the next one is found', async () => {
    const client = open()
    await client.put('a', '1')
    cluster.followersRefuse = true
    cluster.kill('n1')
    const put = client.put('a', '2')
    await until('the others were asked', () => writesOf().length >= 3)
    cluster.leader = 'n3'
    expect((await put).version).toBe(2)
    expect(writesOf().at(-1)?.node).toBe('n3')
    expect(await client.getText('a')).toBe('2')
  })

  test('a leader that falls silent is left as soon as another is known to lead', async () => {
    const client = open({ attemptTimeoutMs: 60_000, timeoutMs: 5_000 })
    await client.put('a', '1')
    cluster.verdict = batch => (batch.node === 'n1' ? 'swallow' : 'answer')
    const [put, get] = [client.put('a', '2'), client.get('b')]
    await until('the old leader was asked', () => cluster.batches.filter(batch => batch.node === 'n1').length >= 3)
    cluster.leader = 'n2'
    expect((await put).version).toBe(2)
    await get
    expect(cluster.batches.at(-1)?.node).toBe('n2')
  })

  test('a leader that is only slow, and still leads, keeps its calls', async () => {
    const client = open()
    await client.put('a', '1')
    let release: () => void = () => undefined
    const slow = new Promise<'answer'>(resolve => {
      release = () => resolve('answer')
    })
    cluster.verdict = () => slow
    const start = performance.now()
    const put = client.put('a', '2')
    // Longer than the silence after which the others are asked.
    await until('the client has asked around', () => performance.now() - start > 600)
    release()
    expect((await put).version).toBe(2)
    expect(writesOf().map(batch => batch.node)).toEqual(['n1', 'n1'])
  })

  test('stale and session reads are spread, linearizable ones go to the leader', async () => {
    const client = open({ readConnections: 1 })
    await client.put('a', '1')
    cluster.batches.length = 0
    for (let i = 0; i < 6; i++) await client.get('a', { consistency: 'stale' })
    expect(new Set(cluster.batches.map(batch => batch.node))).toEqual(new Set(['n1', 'n2', 'n3']))
    cluster.batches.length = 0
    for (let i = 0; i < 3; i++) await client.get('a')
    expect(cluster.batches.map(batch => batch.node)).toEqual(['n1', 'n1', 'n1'])
  })

  test('a node that accepts connections and says nothing is passed over', async () => {
    const sockets = new Set<Socket>()
    const hole: Server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => undefined)
    })
    await new Promise<void>(resolve => hole.listen(0, '127.0.0.1', resolve))
    const address = hole.address() as { port: number }
    try {
      const url = `quorate://127.0.0.1:${address.port},${cluster.node('n2').address}`
      const client = open({ attemptTimeoutMs: 100, discover: false }, url)
      cluster.leader = ''
      for (let i = 0; i < 4; i++) await client.put(`k${i}`, 'v')
      expect(cluster.applied).toBe(4)
    } finally {
      for (const socket of sockets) socket.destroy()
      hole.close()
    }
  })

  test('a malformed connection string is refused', () => {
    for (const url of [
      'http://x',
      'quorate://',
      'quorate://a:0',
      'quorate://a:99999',
      'quorate://a b',
      'quorate://a,,b',
    ]) {
      expect(() => connect(url)).toThrow(KvError)
    }
  })
})
