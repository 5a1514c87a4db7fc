import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Client, KvError, type SpanOptions, connect } from '../../src/client/client.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'

let cluster: FakeKvCluster
let client: Client

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
  client = connect(cluster.url)
  await Promise.all(['a', 'r/1', 'r/2', 'r/3', 'r/4', 'r/5', 'r/6', 's', 'z'].map(key => client.put(key, 'v')))
})
afterEach(async () => {
  client.close()
  await cluster[Symbol.asyncDispose]()
})

const keysLeft = async (): Promise<string> => {
  const keys = []
  for await (const item of client.scan()) keys.push(Buffer.from(item.key).toString())
  return keys.join(' ')
}
const everything = 'a r/1 r/2 r/3 r/4 r/5 r/6 s z'

async function failure(span: unknown, options?: unknown): Promise<KvError> {
  const error = await client.deleteRange(span as SpanOptions, options as object).then(
    result => `deleted ${result.deleted}`,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

describe('deleting a span', () => {
  test.each<[SpanOptions, number, string]>([
    [{ prefix: 'r/' }, 6, 'a s z'],
    [{ prefix: 'r/', start: 'r/5' }, 2, 'a r/1 r/2 r/3 r/4 s z'],
    [{ start: 'r/2', end: 's' }, 5, 'a r/1 s z'],
    [{ start: 's', toEnd: true }, 2, 'a r/1 r/2 r/3 r/4 r/5 r/6'],
    [{ fromStart: true, end: 'r/2' }, 2, 'r/2 r/3 r/4 r/5 r/6 s z'],
    [{ all: true }, 9, ''],
    [{ prefix: 'r/', start: 'x' }, 0, everything],
    [{ start: 'b', end: 'b' }, 0, everything],
  ])('%j', async (span, deleted, left) => {
    expect(await client.deleteRange(span)).toEqual({ deleted, resume: undefined })
    expect(await keysLeft()).toBe(left)
  })

  test.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    ['r/', '"r/"'],
    [Buffer.from('r/'), 'takes an object'],
    [['r/'], 'an array'],
    [{}, 'no start is given'],
    [{ prefix: undefined }, 'prefix is undefined'],
    [{ prefix: null }, 'prefix is null'],
    [{ prefix: '' }, 'prefix is empty'],
    [{ prefix: 5 }, 'prefix is a number'],
    [{ prefx: 'r/' }, 'did you mean prefix?'],
    [{ prefix: 'r/', start: undefined }, 'start is undefined'],
    [{ start: 'r/', end: undefined }, 'end is undefined'],
    [{ start: undefined, end: undefined }, 'undefined'],
    [{ start: 'r/' }, 'no end is given'],
    [{ start: 'r/', end: '' }, 'end is empty'],
    [{ start: '', end: '' }, 'start is empty'],
    [{ all: false }, 'no start is given'],
    [{ all: 'true' }, 'true or false'],
    [{ all: undefined }, 'true or false'],
    [{ start: 'z', end: 'a' }, 'before it starts'],
  ])('%j deletes nothing', async (span, message) => {
    const error = await failure(span)
    expect([error.code, error.message]).toEqual(['invalid-argument', expect.stringContaining(message)])
    expect(await keysLeft()).toBe(everything)
  })

  test.each([-1, 0, 1.5, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '2', null, undefined, 2n, 2 ** 53])(
    'a limit of %s deletes nothing',
    async limit => {
      const error = await failure({ prefix: 'r/' }, { limit })
      expect([error.code, error.details['option']]).toEqual(['invalid-argument', 'limit'])
      expect(await keysLeft()).toBe(everything)
    },
  )

  test('a limit of more than a step, or than a server takes at once, is kept over the steps', async () => {
    cluster.deleteLimit = 2
    const steps: number[] = []
    const onProgress = (deleted: number): void => void steps.push(deleted)
    const part = await client.deleteRange({ prefix: 'r/' }, { limit: 5, onProgress })
    expect([part.deleted, Buffer.from(part.resume ?? []).toString(), steps]).toEqual([5, 'r/6', [2, 4, 5]])
    const rest = await client.deleteRange({ prefix: 'r/', start: part.resume ?? '' }, { limit: 1_000_000 })
    expect(rest).toEqual({ deleted: 1, resume: undefined })
    const limits = cluster.batches.flatMap(batch => batch.decoded?.writes.map(write => write.deleteRange?.limit) ?? [])
    expect(limits.filter(Boolean).every(limit => (limit ?? 0) <= 1000)).toBe(true)
  })

  test('all keys over many steps: every step says that its open end is meant', async () => {
    cluster.deleteLimit = 2
    expect((await client.deleteRange({ all: true })).deleted).toBe(9)
  })

  test('a failure between steps says how many were deleted, and where to go on', async () => {
    cluster.deleteLimit = 2
    let deletions = 0
    cluster.verdict = batch => {
      const isDeletion = batch.decoded?.writes.some(write => write.deleteRange) ?? false
      return isDeletion && ++deletions > 2 ? new KvError('disk-full', 'no room') : 'answer'
    }
    const error = await failure({ prefix: 'r/' })
    expect([error.code, error.details['deleted']]).toEqual(['disk-full', '4'])
    expect(error.message).toContain('4 keys were deleted before')
    expect(Buffer.from(error.details['resumeBase64'] ?? '', 'base64').toString()).toBe('r/5')
    cluster.verdict = () => 'answer'
    expect(await keysLeft()).toBe('a r/5 r/6 s z')
  })

  test('a signal ends it between two steps', async () => {
    cluster.deleteLimit = 2
    const controller = new AbortController()
    const error = await failure({ all: true }, { signal: controller.signal, onProgress: () => controller.abort() })
    expect([error.code, error.details['deleted']]).toEqual(['cancelled', '2'])
  })

  test('the span is taken at the call: what becomes of its buffers later deletes nothing else', async () => {
    const prefix = Buffer.from('r/1')
    const deletion = client.deleteRange({ prefix })
    prefix.fill('z')
    expect((await deletion).deleted).toBe(1)
    expect(await keysLeft()).toBe('a r/2 r/3 r/4 r/5 r/6 s z')
  })
})
