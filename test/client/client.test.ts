import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Client, type ClientOptions, KvError, connect, timestampToDate } from '../../src/client/client.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'
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

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString()

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await cluster[Symbol.asyncDispose]()
})

describe('single operations', () => {
  test('put, get, delete and their results', async () => {
    const client = open()
    const first = await client.put('a', 'one')
    const second = await client.put('a', Buffer.from('two'))
    expect([first.version, second.version]).toEqual([1, 2])
    expect(second.timestamp).toBeGreaterThan(first.timestamp)
    expect(Math.abs(timestampToDate(first.timestamp).getTime() - Date.now())).toBeLessThan(60_000)
    expect(text(await client.get('a'))).toBe('two')
    expect(await client.getText('a')).toBe('two')
    expect(await client.getWithMetadata('a')).toMatchObject({ version: 2, created: first.timestamp })
    expect(await client.get('a', { at: first.timestamp })).toEqual(Buffer.from('one'))
    expect((await client.delete('a')).deleted).toBe(true)
    expect((await client.delete('a')).deleted).toBe(false)
    expect(await client.get('a')).toBeUndefined()
    expect(await client.getWithMetadata('a')).toBeUndefined()
  })

  test('an empty value is a value', async () => {
    const client = open()
    await client.put('empty', '')
    expect(await client.get('empty')).toEqual(new Uint8Array(0))
  })

  test('compare-and-set swaps once, also against absence', async () => {
    const client = open()
    expect((await client.compareAndSet('k', null, 'a')).swapped).toBe(true)
    expect((await client.compareAndSet('k', null, 'b')).swapped).toBe(false)
    expect((await client.compareAndSet('k', 'a', 'c')).swapped).toBe(true)
    expect(await client.getText('k')).toBe('c')
  })

  test('a commit that fails a compare says which, and applies otherwise', async () => {
    const client = open()
    await client.put('x', '1')
    const result = await client.commit({
      compares: [
        { key: 'x', absent: false },
        { key: 'x', value: '2' },
      ],
      then: [{ delete: 'x' }],
      otherwise: [{ put: 'y', value: 'no' }],
    })
    expect(result).toMatchObject({ succeeded: false, failedCompare: 1 })
    expect(await client.getText('y')).toBe('no')
    const error = await errorOf(client.commit({ compares: [{ key: 'x', value: '1', version: 2 }] }))
    expect(error.code).toBe('invalid-argument')
  })

  test('deleteRange goes on until the span is empty, or stops at its limit', async () => {
    const client = open()
    await Promise.all(Array.from({ length: 11 }, (_, i) => client.put(`r/${String(i).padStart(2, '0')}`, 'v')))
    await client.put('s', 'stays')
    const part = await client.deleteRange({ prefix: 'r/' }, { limit: 2 })
    expect([part.deleted, text(part.resume)]).toEqual([2, 'r/02'])
    const steps: number[] = []
    const rest = await client.deleteRange({ prefix: 'r/' }, { onProgress: deleted => steps.push(deleted) })
    expect(rest).toEqual({ deleted: 9, resume: undefined })
    expect(steps).toEqual([4, 8, 9])
    expect(await client.count()).toBe(1)
  })

  test('history pages backwards', async () => {
    const client = open()
    for (const value of ['1', '2', '3']) await client.put('h', value)
    await client.delete('h')
    const first = await client.history('h', { limit: 2 })
    expect(first.versions.map(version => version.deleted)).toEqual([true, false])
    expect(first.more).toBe(true)
    const before = first.versions.at(-1)?.timestamp ?? 0
    const second = await client.history('h', { limit: 2, before })
    expect(second.versions.map(version => text(version.value))).toEqual(['2', '1'])
    expect(second.more).toBe(false)
  })
})

describe('batching', () => {
  test('operations of one tick travel in one batch', async () => {
    const client = open()
    await client.put('warm', 'up')
    cluster.batches.length = 0
    await Promise.all(Array.from({ length: 100 }, (_, i) => client.put(`k${i}`, 'v')))
    expect(cluster.batches.map(batch => batch.decoded?.writes.length)).toEqual([100])
    cluster.batches.length = 0
    const values = await Promise.all(Array.from({ length: 100 }, (_, i) => client.getText(`k${i}`)))
    expect(new Set(values)).toEqual(new Set(['v']))
    expect(cluster.batches.map(batch => batch.gets.length)).toEqual([100])
  })

  test('gets of an instant are dear: those of one tick go over all connections, to one node after another', async () => {
    const client = open({ readConnections: 4 })
    const { timestamp } = await client.put('k', 'v')
    cluster.batches.length = 0
    await Promise.all(Array.from({ length: 98 }, () => client.get('k', { at: timestamp })))
    const sizes = cluster.batches.map(batch => batch.gets.length)
    expect(sizes.sort((a, b) => b - a)).toEqual([25, 25, 24, 24])
  })

  test('what arrives while a batch is under way goes into the next one', async () => {
    const client = open()
    await client.put('warm', 'up')
    const { promise: gate, resolve: openGate } = Promise.withResolvers<void>()
    cluster.verdict = async () => {
      await gate
      return 'answer' as const
    }
    cluster.batches.length = 0
    const first = client.put('first', '1')
    await until('the first batch is out', () => cluster.batches.length === 1)
    const later = []
    for (let i = 0; i < 5; i++) {
      later.push(client.put(`later${i}`, '2'))
      await new Promise(resolve => setImmediate(resolve))
    }
    openGate()
    await Promise.all([first, ...later])
    expect(cluster.batches.map(batch => batch.decoded?.writes.length)).toEqual([1, 5])
  })

  test('batches are bounded by operations and by bytes, and a full queue refuses', async () => {
    const client = open({ batchOperationsMax: 4, batchBytesMax: 100, queueOperationsMax: 6 })
    await client.put('warm', 'up')
    cluster.batches.length = 0
    const puts = [60, 60, 1, 1, 1, 1].map((bytes, i) => client.put(`k${i}`, 'v'.repeat(bytes)))
    const error = await errorOf(client.put('one too many', 'v'))
    expect([error.code, error.details['queue'], error.retryable]).toEqual(['overloaded', 'client-writes', true])
    await Promise.all(puts)
    expect(cluster.batches.map(batch => batch.decoded?.writes.length)).toEqual([1, 4, 1])
  })

  test('a batch touches no more keys than nodes take in one request', async () => {
    const client = open()
    await client.put('warm', 'up')
    cluster.batches.length = 0
    const changes = Array.from({ length: 128 }, (_, at) => ({ put: `k${at}`, value: 'v' }))
    await Promise.all(Array.from({ length: 200 }, () => client.commit({ then: changes })))
    expect(cluster.batches.map(batch => batch.decoded?.writes.length)).toEqual([128, 72])
  })

  test('numbers are never used twice and the floor follows what was answered', async () => {
    const client = open({ batchOperationsMax: 2 })
    await Promise.all(Array.from({ length: 6 }, (_, i) => client.put(`k${i}`, 'v')))
    const numbers = cluster.batches.flatMap(batch => batch.decoded?.writes.map(write => write.number) ?? [])
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6])
    expect(cluster.batches.map(batch => batch.decoded?.floor)).toEqual([1, 3, 5])
  })
})

describe('limits', () => {
  test('keys and values over the limit are refused with its name', async () => {
    const client = open()
    const longKey = await errorOf(client.put('k'.repeat(4097), 'v'))
    expect([longKey.code, longKey.details['limit'], longKey.details['value']]).toEqual([
      'too-large',
      'key-bytes',
      '4096',
    ])
    const longValue = await errorOf(client.put('k', Buffer.alloc(1024 * 1024 + 1)))
    expect(longValue.details['limit']).toBe('value-bytes')
    expect((await errorOf(client.get(''))).code).toBe('invalid-argument')
    expect((await errorOf(client.get('k', { at: 'not a date' }))).code).toBe('invalid-argument')
  })

  test('where there is no room for data, deletions of the same tick are taken', async () => {
    const client = open()
    await client.put('old', '1')
    cluster.verdict = batch =>
      batch.decoded?.writes.some(write => write.put) ? new KvError('disk-full', 'nearly full') : 'answer'
    const [put, removed] = await Promise.allSettled([client.put('a', '1'), client.delete('old')])
    expect(put).toMatchObject({ status: 'rejected', reason: { code: 'disk-full', retryable: true } })
    expect(removed.status).toBe('fulfilled')
    expect(await client.getText('old')).toBeUndefined()
  })

  test('one operation that the server refuses does not fail its neighbours', async () => {
    const client = open()
    cluster.verdict = batch =>
      batch.decoded?.writes.some(write => Buffer.from(write.put?.key ?? []).toString() === 'bad')
        ? new KvError('invalid-argument', 'a bad key')
        : 'answer'
    const results = await Promise.allSettled([client.put('a', '1'), client.put('bad', '2'), client.put('c', '3')])
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await Promise.all([client.getText('a'), client.getText('c')])).toEqual(['1', '3'])
  })
})

describe('scans', () => {
  const keysOf = async (scan: AsyncIterable<{ key: Uint8Array }>): Promise<(string | undefined)[]> => {
    const keys = []
    for await (const item of scan) keys.push(text(item.key))
    return keys
  }

  beforeEach(async () => {
    const client = open()
    for (const key of ['a', 'b/1', 'b/2', 'b/3', 'b/4', 'b/5', 'c', 'd']) await client.put(key, `value of ${key}`)
  })

  test('pages, prefix, limit, both directions, keys only, count', async () => {
    const client = open()
    expect(await keysOf(client.scan())).toEqual(['a', 'b/1', 'b/2', 'b/3', 'b/4', 'b/5', 'c', 'd'])
    expect(await keysOf(client.scan({ prefix: 'b/' }))).toEqual(['b/1', 'b/2', 'b/3', 'b/4', 'b/5'])
    expect(await keysOf(client.scan({ prefix: 'b/', start: 'b/4' }))).toEqual(['b/4', 'b/5'])
    expect(await keysOf(client.scan({ start: 'b/5', end: 'd', reverse: true }))).toEqual(['c', 'b/5'])
    expect(await keysOf(client.scan({ limit: 4 }))).toEqual(['a', 'b/1', 'b/2', 'b/3'])
    for await (const item of client.scan({ keysOnly: true, limit: 1 })) expect(item.value).toHaveLength(0)
    for await (const item of client.scan({ limit: 1 })) expect(text(item.value)).toBe('value of a')
    expect(await client.count({ prefix: 'b/' })).toBe(5)
    expect(await client.count()).toBe(8)
  })

  test('leaving the loop ends the call', async () => {
    const client = open()
    cluster.pageKeys = 1
    const seen = []
    for await (const item of client.scan()) if (seen.push(text(item.key)) === 2) break
    expect(seen).toEqual(['a', 'b/1'])
    await until('the server sees it', () => cluster.cancelledScans > 0)
  })

  test('a broken scan goes on behind the last key, at the same instant', async () => {
    const client = open()
    let breaks = 2
    cluster.pageKeys = 2
    cluster.onPage = page => (page === 1 && breaks-- > 0 ? 'break' : 'go')
    cluster.scans.length = 0
    expect(await keysOf(client.scan())).toEqual(['a', 'b/1', 'b/2', 'b/3', 'b/4', 'b/5', 'c', 'd'])
    expect(cluster.scans.length).toBe(3)
    expect(new Set(cluster.scans.map(scan => scan.options?.at)).size).toBe(1)
    breaks = 2
    expect(await keysOf(client.scan({ reverse: true, limit: 7 }))).toEqual([
      'd',
      'c',
      'b/5',
      'b/4',
      'b/3',
      'b/2',
      'b/1',
    ])
    breaks = 1
    expect(await client.count({ limit: 7 })).toBe(7)
  })

  test('scans that end with their first page travel together, and are repeated like gets', async () => {
    const client = open()
    const prefixes = ['a', 'b/1', 'b/2', 'b/3', 'b/4', 'b/5', 'c', 'd', 'absent']
    await client.get('a')
    cluster.batches.length = 0
    let broken = 2
    cluster.verdict = () => (broken-- > 0 ? 'break' : 'answer')
    const found = await Promise.all(prefixes.map(prefix => keysOf(client.scan({ prefix }))))
    expect(found).toEqual([...prefixes.slice(0, -1).map(prefix => [prefix]), []])
    expect(cluster.batches.length).toBe(3)
    expect(cluster.scans.length).toBe(0)
  })

  test('a first page that takes longer than a get may is waited for, and no get suffers', async () => {
    const client = open({ attemptTimeoutMs: 200 })
    await client.get('a')
    let isSlow = true
    let gets = 0
    cluster.verdict = async batch => {
      if (batch.gets.length > 0) gets++
      else if (isSlow) {
        isSlow = false
        await new Promise(resolve => setTimeout(resolve, 350))
      }
      return 'answer' as const
    }
    const page = keysOf(client.scan({ prefix: 'b/1' }))
    let asked = 0
    for (let isDone = false; !isDone; asked++) {
      await client.get('a')
      isDone = await Promise.race([
        page.then(() => true),
        new Promise<boolean>(resolve => setTimeout(resolve, 5, false)),
      ])
    }
    expect(await page).toEqual(['b/1'])
    expect(cluster.batches.filter(batch => batch.gets.length === 0 && batch.decoded === undefined)).toHaveLength(1)
    expect(gets).toBe(asked)
  })

  test('a signal ends a scan', async () => {
    const client = open()
    const controller = new AbortController()
    const error = await errorOf(
      (async () => {
        for await (const _ of client.scan({ signal: controller.signal })) controller.abort()
      })(),
    )
    expect(error.code).toBe('cancelled')
  })
})

describe('administration', () => {
  test('status and nodes', async () => {
    const client = open()
    const status = await client.admin.status()
    expect(status.nodes.map(node => [node.id, node.live])).toEqual([
      ['n1', true],
      ['n2', true],
      ['n3', true],
    ])
    expect(status.ranges[0]).toMatchObject({ id: 1, leader: 'n1', term: 3, commit: 12 })
    expect(status.ranges[0]?.replicas[0]).toMatchObject({ node: 'n1', role: 'voter', applied: 12, hash: 'ab' })
    expect((await client.admin.nodes()).map(node => node.address)).toEqual(cluster.nodes.map(node => node.address))
  })

  test('changes follow the leader from any node', async () => {
    const client = open({ discover: false }, `quorate://${cluster.node('n3').address}`)
    const { replicas } = await client.admin.addMember('n3', '127.0.0.1:1')
    expect(replicas).toEqual([expect.objectContaining({ node: 'n3', role: 'learner' })])
    expect(cluster.adminCalls).toContain('n1 memberAdd')
    expect(await client.admin.transferLeader('n2')).toBe('n2')
    expect((await errorOf(client.admin.removeMember('n9'))).code).toBe('not-found')
  })

  test('init goes to the first address only, and not beside a cluster that exists', async () => {
    cluster.isInitialised = false
    const client = open()
    expect((await errorOf(client.put('a', 'b'))).code).toBe('not-initialised')
    expect((await errorOf(client.get('a'))).code).toBe('not-initialised')
    expect((await errorOf(client.admin.status())).code).toBe('not-initialised')
    expect((await client.admin.init()).node).toBe('n1')
    expect((await errorOf(client.admin.init())).code).toBe('already-initialised')
    expect(cluster.adminCalls.filter(call => call.endsWith('init'))).toEqual(['n1 init'])
    await client.put('a', 'b')
  })
})
