// What JavaScript callers pass by mistake: each is refused with its name before anything is sent, and no method throws.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Client, KvError, connect } from '../../src/client/client.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'

let cluster: FakeKvCluster
let client: Client
/** As JavaScript sees it. */
// biome-ignore lint/suspicious/noExplicitAny: what is passed here is wrong on purpose
let loose: any

beforeAll(async () => {
  cluster = await startFakeKvCluster(3)
  client = connect(cluster.url)
  loose = client
})
afterAll(async () => {
  client.close()
  await cluster[Symbol.asyncDispose]()
})
beforeEach(() => {
  cluster.data.clear()
  cluster.batches.length = 0
  cluster.adminCalls.length = 0
})

const pagesOf = async (scan: AsyncIterable<{ key: Uint8Array }>): Promise<string[]> => {
  const keys = []
  for await (const item of scan) keys.push(Buffer.from(item.key).toString())
  return keys
}

/** The error of a call, which must be a promise that rejects, not an exception. */
async function errorOf(call: () => unknown): Promise<KvError> {
  let promise: unknown
  expect(() => {
    promise = call()
  }).not.toThrow()
  const isScan = typeof (promise as AsyncIterable<never>)[Symbol.asyncIterator] === 'function'
  const settled = isScan ? pagesOf(promise as AsyncIterable<never>) : (promise as Promise<unknown>)
  const error = await settled.then(
    result => new Error(`it resolved with ${JSON.stringify(result)}`),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

/** How each method is called with options, all else right. */
const calls: Readonly<Record<string, (options: unknown) => unknown>> = {
  get: options => loose.get('k', options),
  getText: options => loose.getText('k', options),
  getWithMetadata: options => loose.getWithMetadata('k', options),
  put: options => loose.put('k', 'v', options),
  delete: options => loose.delete('k', options),
  deleteRange: options => loose.deleteRange({ prefix: 'k' }, options),
  commit: options => loose.commit({ then: [{ put: 'k', value: 'v' }] }, options),
  compareAndSet: options => loose.compareAndSet('k', null, 'v', options),
  scan: options => loose.scan(options),
  count: options => loose.count(options),
  history: options => loose.history('k', options),
  'admin.status': options => loose.admin.status(options),
  'admin.nodes': options => loose.admin.nodes(options),
  'admin.init': options => loose.admin.init(options),
  'admin.addMember': options => loose.admin.addMember('n3', '', options),
  'admin.promoteMember': options => loose.admin.promoteMember('n3', options),
  'admin.removeMember': options => loose.admin.removeMember('n3', options),
  'admin.transferLeader': options => loose.admin.transferLeader('', options),
  'admin.checksum': options => loose.admin.checksum(options),
}
const writes = ['put', 'delete', 'deleteRange', 'commit', 'compareAndSet']
const reads = ['get', 'getText', 'getWithMetadata', 'scan', 'count']

const wrongTimeouts = [Number.POSITIVE_INFINITY, Number.NaN, -1, 0, 1e12, 2 ** 31, 900_001, '100', null, 5n, new Date()]

describe.each(Object.keys(calls))('%s refuses, by name', method => {
  const call = calls[method] as (options: unknown) => unknown
  const most = writes.includes(method) ? 115_000 : 900_000

  test.each([...wrongTimeouts, most + 1])('timeoutMs %s', async timeoutMs => {
    const error = await errorOf(() => call({ timeoutMs }))
    expect([error.code, error.details['option']]).toEqual(['invalid-argument', 'timeoutMs'])
    expect(error.message).toContain(`${method}: timeoutMs is `)
    expect(error.message).toContain(`at most ${most}`)
  })

  test.each([{}, 'abort', null, 1, { aborted: true }])('signal %j', async signal => {
    const error = await errorOf(() => call({ signal }))
    expect([error.code, error.details['option']]).toEqual(['invalid-argument', 'signal'])
  })

  test.each([null, 'text', 5, true, [], [{}], Buffer.from('k'), () => 1])('%o in place of options', async given => {
    const error = await errorOf(() => call(given))
    expect([error.code, error.message]).toEqual(['invalid-argument', expect.stringContaining(`${method} takes`)])
  })

  test('what there is not, with the nearest that there is', async () => {
    const near = await errorOf(() => call({ timeout: 5 }))
    expect(near.message).toBe(`${method}: there is no timeout (did you mean timeoutMs?)`)
    const far = await errorOf(() => call({ colour: 'red' }))
    expect(far.message).toContain('there is no colour; there are ')
    expect(far.message).toContain('timeoutMs')
    for (const name of ['constructor', '__proto__', 'toString']) {
      const own = Object.defineProperty({}, name, { value: 1, enumerable: true })
      expect((await errorOf(() => call(own))).message).toContain(`there is no ${name}`)
    }
  })

  test('nothing of it reaches a node', async () => {
    await errorOf(() => call({ timeoutMs: Number.POSITIVE_INFINITY }))
    expect([cluster.batches.length, cluster.adminCalls.length]).toEqual([0, 0])
  })
})

describe('right options are taken', () => {
  test.each([
    [{ timeoutMs: undefined, signal: undefined }],
    [{ timeoutMs: 0.5 + 4000 }],
    [{ timeoutMs: 115_000 }],
    [Object.assign(Object.create(null), { timeoutMs: 5000 })],
  ])('%j', async options => {
    await loose.put('k', 'v', options)
    expect(await loose.getText('k', options)).toBe('v')
    expect(await loose.count({ prefix: 'k', ...options })).toBe(1)
    expect((await loose.history('k', options)).versions).toHaveLength(1)
    expect((await loose.deleteRange({ prefix: 'k' }, options)).deleted).toBe(1)
  })

  test('reads may take up to 15 minutes', async () => {
    await client.put('k', 'v')
    expect(await client.getText('k', { timeoutMs: 900_000 })).toBe('v')
    expect(await pagesOf(client.scan({ timeoutMs: 900_000 }))).toEqual(['k'])
    expect((await client.history('k', { timeoutMs: 900_000 })).versions).toHaveLength(1)
    expect((await client.admin.nodes({ timeoutMs: 900_000 })).length).toBe(3)
  })
})

describe.each(reads)('%s refuses, by name', method => {
  const call = calls[method] as (options: unknown) => unknown

  test.each(['eventual', '', null, 1, 'LINEARIZABLE'])('consistency %j', async consistency => {
    const error = await errorOf(() => call({ consistency }))
    expect([error.code, error.details['option']]).toEqual(['invalid-argument', 'consistency'])
  })

  test.each([Date.now(), Math.floor(Date.now() / 1000), 0, -1, Number.NaN, 'tomorrow', new Date(Number.NaN), null, {}])(
    'at %s',
    async at => {
      const error = await errorOf(() => call({ at }))
      expect(error.code).toBe('invalid-argument')
      expect(error.message).toContain(`${method}: at is `)
    },
  )
})

test('instants: a Date, ISO text and a timestamp read the same', async () => {
  const { timestamp } = await client.put('k', 'old')
  const at = new Date(Date.now() + 2000)
  for (const instant of [timestamp, at, at.toISOString()]) {
    expect(await client.getText('k', { at: instant })).toBe('old')
    expect(await pagesOf(client.scan({ at: instant }))).toEqual(['k'])
  }
  expect(await client.getText('k', { at: new Date(Date.now() - 60_000) })).toBeUndefined()
  expect((await client.history('k', { before: at })).versions).toHaveLength(1)
  expect((await client.history('k', { before: '2025-01-01' })).versions).toHaveLength(0)
  for (const before of [0, -1, Date.now(), 'soon', Number.NaN]) {
    expect((await errorOf(() => loose.history('k', { before }))).message).toContain('history: before is')
  }
})

describe('limits that are no whole numbers are refused', () => {
  const wrong = [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '2', null, 2n, 2 ** 53]
  test.each(['scan', 'count'])('by %s', async method => {
    const call = calls[method] as (options: unknown) => unknown
    for (const limit of wrong) {
      const error = await errorOf(() => call({ prefix: 'k', limit }))
      expect([error.code, error.details['option']]).toEqual(['invalid-argument', 'limit'])
    }
    for (const pageKeys of [...wrong, 2 ** 32]) {
      expect((await errorOf(() => call({ pageKeys }))).details['option']).toBe('pageKeys')
    }
  })

  test('by history', async () => {
    for (const limit of [...wrong, 2 ** 32]) {
      expect((await errorOf(() => loose.history('k', { limit }))).details['option']).toBe('limit')
    }
  })

  test('none and 0 are no limit', async () => {
    await Promise.all(['a', 'b', 'c'].map(key => client.put(key, 'v')))
    expect(await pagesOf(client.scan({ limit: 0 }))).toEqual(['a', 'b', 'c'])
    expect(await pagesOf(client.scan({ limit: 2 }))).toEqual(['a', 'b'])
    expect(await client.count({ limit: 2 })).toBe(2)
  })
})

describe('scans', () => {
  beforeEach(() => Promise.all(['a', 'b/1', 'b/2', 'c'].map(key => client.put(key, 'v'))))

  test.each<[unknown, string]>([
    ['b/', 'scan takes an object'],
    [{ prefix: undefined }, 'prefix is undefined'],
    [{ start: undefined }, 'start is undefined'],
    [{ end: undefined }, 'end is undefined'],
    [{ prefix: null }, 'prefix is null'],
    [{ prefix: ['b/'] }, 'prefix is an array'],
    [{ prefx: 'b/' }, 'did you mean prefix?'],
    [{ start: 'c', end: 'a' }, 'before it starts'],
    [{ reverse: 'false' }, 'reverse is "false"; it must be true or false'],
    [{ keysOnly: 1 }, 'keysOnly is 1'],
  ])('of %j are refused', async (options, message) => {
    expect((await errorOf(() => loose.scan(options))).message).toContain(message)
    if (typeof options !== 'string') expect((await errorOf(() => loose.count(options))).message).toContain(message)
  })

  test('of what lies in no key are empty, and ask nobody', async () => {
    cluster.batches.length = 0
    for (const span of [
      { prefix: 'b/', start: 'zz' },
      { prefix: 'b/', end: 'a' },
      { start: 'b', end: 'b' },
    ]) {
      expect(await pagesOf(client.scan(span))).toEqual([])
      expect(await client.count(span)).toBe(0)
    }
    expect(cluster.batches.length).toBe(0)
  })

  test('reject on the first next, and then are done', async () => {
    const scan = loose.scan({ limit: -1 })
    await expect(scan.next()).rejects.toMatchObject({ code: 'invalid-argument' })
    expect(await scan.next()).toEqual({ done: true, value: undefined })
  })

  test('are taken at the call', async () => {
    const prefix = Buffer.from('b/')
    const options = { prefix, limit: 10 }
    const scan = client.scan(options)
    prefix.fill('x')
    options.limit = 1
    expect(await pagesOf(scan)).toEqual(['b/1', 'b/2'])
  })
})

describe('keys and values', () => {
  const wrong: readonly unknown[] = [
    undefined,
    null,
    5,
    true,
    {},
    [],
    ['a'],
    new Date(),
    'a\ud800',
    Symbol('k'),
    () => 1,
  ]

  test.each(wrong)('%o is neither', async given => {
    for (const call of [
      () => loose.get(given),
      () => loose.getText(given),
      () => loose.getWithMetadata(given),
      () => loose.delete(given),
      () => loose.history(given),
      () => loose.put(given, 'v'),
      () => loose.compareAndSet(given, null, 'v'),
      () => loose.put('k', given),
      () => loose.compareAndSet('k', null, given),
      () => loose.commit({ then: [{ put: given, value: 'v' }] }),
      () => loose.commit({ then: [{ put: 'k', value: given }] }),
      () => loose.commit({ then: [{ delete: given }] }),
      () => loose.commit({ compares: [{ key: given, absent: true }] }),
    ]) {
      expect((await errorOf(call)).code).toBe('invalid-argument')
    }
    if (given != null) expect((await errorOf(() => loose.compareAndSet('k', given, 'v'))).message).toContain('expected')
    expect(cluster.data.size).toBe(0)
  })

  test('an empty key is none', async () => {
    for (const key of ['', new Uint8Array(0)]) {
      for (const call of [() => client.get(key), () => client.put(key, 'v'), () => client.history(key)]) {
        expect((await errorOf(call)).message).toContain('at least one byte')
      }
    }
  })

  test('what is put are exactly the bytes of a view, as they were at the call', async () => {
    const whole = Uint8Array.from([9, 1, 2, 3, 4, 9])
    const views = {
      middle: whole.subarray(1, 5),
      words: new Uint16Array(Uint8Array.from([1, 2, 3, 4]).buffer),
      dataView: new DataView(whole.buffer, 1, 4),
      buffer: whole.buffer.slice(1, 5),
    }
    const puts = Object.entries(views).map(([key, value]) => client.put(key, value))
    const commit = client.commit({ then: [{ put: 'commit', value: views.middle }] })
    const swap = client.compareAndSet('swap', null, views.middle)
    whole.fill(7)
    views.words.fill(7)
    new Uint8Array(views.buffer).fill(7)
    await Promise.all([...puts, commit, swap])
    for (const key of [...Object.keys(views), 'commit', 'swap']) {
      expect(Buffer.from((await client.get(key)) ?? []).toString('hex')).toBe('01020304')
    }
  })

  test('text comes back as it was, and what is no text is not made into some', async () => {
    await client.put('bom', '\ufeffa')
    expect(await client.getText('bom')).toBe('\ufeffa')
    await client.put('bytes', Uint8Array.of(0xff))
    expect(await errorOf(() => client.getText('bytes'))).toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('get'),
    })
    expect(await client.get('bytes')).toEqual(Buffer.of(0xff))
  })
})

describe('commits', () => {
  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    ['k', '"k"'],
    [{}, 'names no key'],
    [{ then: [] }, 'names no key'],
    [{ then: undefined }, 'then is undefined'],
    [{ compares: undefined, then: [{ put: 'k', value: 'v' }] }, 'compares is undefined'],
    [{ compare: [{ key: 'k', absent: true }], then: [{ put: 'k', value: 'v' }] }, 'did you mean compares?'],
    [{ compares: {} }, 'compares is an object'],
    [{ compares: [{}] }, 'compares[0].key'],
    [{ compares: [undefined] }, 'compares[0] takes'],
    [{ compares: [{ key: 'k' }] }, 'exactly one of'],
    [{ compares: [{ key: 'k', value: undefined }] }, 'exactly one of'],
    [{ compares: [{ key: 'k', version: 1, absent: true }] }, 'exactly one of'],
    [{ compares: [{ key: 'k', version: -1 }] }, 'version is -1'],
    [{ compares: [{ key: 'k', version: 1.5 }] }, 'version is 1.5'],
    [{ compares: [{ key: 'k', version: Number.NaN }] }, 'version is NaN'],
    [{ compares: [{ key: 'k', version: '1' }] }, 'version is "1"'],
    [{ compares: [{ key: 'k', version: null }] }, 'version is null'],
    [{ compares: [{ key: 'k', timestamp: 1n }] }, 'timestamp is not an instant'],
    [{ compares: [{ key: 'k', timestamp: Date.now() }] }, 'no timestamp of the cluster'],
    [{ compares: [{ key: 'k', timestamp: new Date() }] }, 'less or greater'],
    [{ compares: [{ key: 'k', absent: 'no' }] }, 'true or false'],
    [{ compares: [{ key: 'k', absent: true, operator: 'less' }] }, 'equal or not-equal'],
    [{ compares: [{ key: 'k', version: 1, operator: '>' }] }, 'one of equal, not-equal, less, greater'],
    [{ compares: [{ key: 'k', version: 1, operator: 'constructor' }] }, 'one of equal'],
    [{ compares: [{ key: 'k', vresion: 1 }] }, 'did you mean version?'],
    [{ then: [{}] }, 'then[0] must be'],
    [{ then: [{ put: 'k' }] }, 'then[0].value is undefined'],
    [{ then: [{ put: 'k', value: 'v', delete: 'k' }] }, 'then[0] must be'],
    [{ then: [{ delete: 'k', value: 'v' }] }, 'then[0] must be'],
    [{ then: [{ put: 'k', vlaue: 'v' }] }, 'did you mean value?'],
    [{ then: Object.assign([], { 1: { delete: 'k' } }) }, 'then[0] takes'],
    [{ otherwise: [{ put: 'k', value: 5 }] }, 'otherwise[0].value is a number'],
  ])('%o is refused', async (commit, message) => {
    const error = await errorOf(() => loose.commit(commit))
    expect([error.code, error.message]).toEqual(['invalid-argument', expect.stringContaining(message)])
    expect(cluster.data.size).toBe(0)
  })

  test.each([
    [true, 'equal', false],
    [true, 'not-equal', true],
    [false, 'equal', true],
    [false, 'not-equal', false],
  ])('absent: %s with %s', async (absent, operator, holdsForPresent) => {
    await client.put('there', 'v')
    const holds = (key: string): Promise<boolean> =>
      loose.commit({ compares: [{ key, absent, operator }] }).then((result: { succeeded: boolean }) => result.succeeded)
    expect([await holds('there'), await holds('not there')]).toEqual([holdsForPresent, !holdsForPresent])
  })
})

describe('administration', () => {
  test.each([undefined, null, '', 3, {}])('a node named %o is refused', async node => {
    for (const method of ['addMember', 'promoteMember', 'removeMember']) {
      const error = await errorOf(() => loose.admin[method](node))
      expect([error.code, error.message]).toEqual([
        'invalid-argument',
        expect.stringContaining(`admin.${method}: node`),
      ])
    }
    expect(cluster.adminCalls).toEqual([])
  })

  test('a leader is moved to a name, or to whom it suits', async () => {
    for (const node of [null, 3, {}]) {
      expect((await errorOf(() => loose.admin.transferLeader(node))).code).toBe('invalid-argument')
    }
    for (const rangeId of [0, -1, 1.5, '1']) {
      expect((await errorOf(() => loose.admin.transferLeader('n1', { rangeId }))).details['option']).toBe('rangeId')
    }
    expect((await errorOf(() => loose.admin.status({ local: 'yes' }))).details['option']).toBe('local')
  })
})

describe('connect', () => {
  test.each([
    undefined,
    null,
    5,
    ['127.0.0.1:7101'],
    {},
    '',
    'localhost:7101',
    'http://a',
    'quorate://',
    'quorate://a:0',
  ])('refuses %j', url => {
    expect(() => connect(url as string)).toThrow(KvError)
  })

  test.each<[unknown, string]>([
    [null, 'connect takes an object'],
    [{ timeout: 5 }, 'did you mean timeoutMs?'],
    [{ timeoutMs: Number.POSITIVE_INFINITY }, 'timeoutMs is Infinity'],
    [{ timeoutMs: 115_001 }, 'at most 115000'],
    [{ timeoutMs: 0 }, 'timeoutMs is 0'],
    [{ attemptTimeoutMs: Number.NaN }, 'attemptTimeoutMs is NaN'],
    [{ readConnections: 0 }, 'readConnections is 0'],
    [{ readConnections: 1.5 }, 'readConnections is 1.5'],
    [{ queueBytesMax: '1MB' }, 'queueBytesMax is "1MB"'],
    [{ discover: 'false' }, 'true or false'],
    [{ random: 4 }, 'a function'],
  ])('refuses options %j', (options, message) => {
    expect(() => connect(cluster.url, options as object)).toThrow(message)
  })
})
