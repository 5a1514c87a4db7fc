// Nodes that lie about time, and a machine whose own clock is hours off: the client's calls succeed all the same, and what
// it sends back as seen is never more than the log's own stamps (the fake leader refuses anything else).

import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Client, type ClientOptions, KvError, connect } from '../../src/client/client.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { type Timestamp, addMs } from '../../src/time/timestamp.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'
import { until } from '../support/until.ts'

const hourMs = 3_600_000
let cluster: FakeKvCluster
const clients: Client[] = []

function open(options: ClientOptions & { readonly wallAheadMs?: number; readonly seed?: string } = {}): Client {
  const { wallAheadMs = 0, seed, ...rest } = options
  const clock = { ...systemClock, unixMs: () => systemClock.unixMs() + wallAheadMs }
  const url = seed === undefined ? cluster.url : `quorate://${cluster.node(seed).address}`
  const client = connect(url, { clock, ...rest })
  clients.push(client)
  return client
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

const writes = () => cluster.batches.filter(batch => batch.decoded !== undefined)

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await cluster[Symbol.asyncDispose]()
})

test.each([
  ['a follower an hour ahead', { n3: hourMs }, {}],
  ['a follower an hour behind', { n3: -hourMs }, {}],
  ['a follower some seconds ahead', { n3: 5_000 }, {}],
  ['a follower an hour ahead that is asked first, alone', { n3: hourMs }, { seed: 'n3' }],
  ['a follower an hour behind that is asked first, alone', { n3: -hourMs }, { seed: 'n3' }],
  ['a follower an hour ahead that is the only one in reach', { n3: hourMs }, { seed: 'n3', discover: false }],
  ['the own machine hours ahead', {}, { wallAheadMs: 5 * hourMs }],
  ['the own machine hours behind', {}, { wallAheadMs: -5 * hourMs }],
  ['the own machine hours ahead, and one node in reach', {}, { wallAheadMs: 5 * hourMs, seed: 'n2', discover: false }],
  [
    'the own machine hours behind, and one node in reach',
    {},
    { wallAheadMs: -5 * hourMs, seed: 'n2', discover: false },
  ],
  ['a follower ahead and the own machine behind', { n3: hourMs }, { wallAheadMs: -hourMs, seed: 'n3' }],
])('writes and reads go on with %s', async (_, clocks, options) => {
  for (const [node, aheadMs] of Object.entries(clocks)) cluster.clockAheadMs.set(node, aheadMs)
  const client = open(options)
  for (let i = 1; i <= 5; i++) {
    expect((await client.put('a', `${i}`)).version).toBe(i)
    expect(await client.getText('a')).toBe(`${i}`)
    expect(await client.getText('a', { consistency: 'stale' })).toBe(`${i}`)
    expect(await client.count({ consistency: 'session' })).toBe(1)
  }
  expect(cluster.applied).toBe(5)
})

test('a first write that a wild clock misled is sent again at once, and soon none is misled any more', async () => {
  cluster.clockAheadMs.set('n3', hourMs)
  const client = open({ seed: 'n3' })
  await client.put('a', '1')
  expect(writes().length).toBe(2)
  // The refusal has the others asked, at most twice a second.
  await until('a write is taken at its first attempt', async () => {
    const before = writes().length
    await client.put('a', '2')
    return writes().length === before + 1
  })
  const { timestamp } = await client.put('a', '3')
  expect(writes().at(-1)?.decoded?.notAfter).toBeLessThan(addMs(timestamp as Timestamp, 10_000))
})

test('a wild clock that is set right, or goes wild, in mid-run is not noticed', async () => {
  const client = open()
  // One wild clock is outvoted by two others, once all three have been heard.
  await until('every node has been heard', async () => {
    await client.get('a', { consistency: 'stale' })
    return new Set(cluster.batches.map(({ node }) => node)).size === cluster.nodes.length
  })
  for (const aheadMs of [0, hourMs, -hourMs, 0]) {
    cluster.clockAheadMs.set('n2', aheadMs)
    await Promise.all([1, 2, 3].map(() => client.get('a', { consistency: 'stale' })))
    const before = writes().length
    await client.put('a', '1')
    expect(writes().length).toBe(before + 1)
  }
})

test('a write that may be in the log never goes again under another notAfter', async () => {
  // Only the wild node is in reach, and the leader's clock is set right between two attempts of one write.
  cluster.clockAheadMs.set('n3', hourMs)
  cluster.clockAheadMs.set('n1', hourMs)
  const client = open({ seed: 'n3', discover: false, attemptTimeoutMs: 100 })
  cluster.verdict = () => {
    cluster.clockAheadMs.set('n1', 0)
    return 'apply-and-break'
  }
  const error = await errorOf(client.put('a', '1'))
  expect(error).toMatchObject({ code: 'unknown-outcome' })
  expect(new Set(writes().map(batch => Buffer.from(batch.writes).toString('hex'))).size).toBe(1)
  cluster.verdict = () => 'answer'
  expect((await client.put('a', '2')).version).toBe(2)
})

test('a deadline that is itself too far ahead is refused, and its neighbours are not', async () => {
  // A leader that allows less than the SDK does.
  cluster.notAfterAheadMs = 60_000
  const client = open()
  const far = errorOf(client.put('a', '1', { timeoutMs: 100_000 }))
  const near = client.put('b', '1')
  expect(await far).toMatchObject({ code: 'invalid-argument', details: { limit: 'notAfterAheadMs' } })
  expect((await near).version).toBe(1)
  expect(await far).toBeInstanceOf(KvError)
})
