import { describe, expect, it } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { asNodeId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { addMs } from '../../src/time/timestamp.ts'
import { createFakeCluster } from '../support/fake-cluster.ts'

const { OutcomeKind, ReadKind } = quorate.v1
const key = (text: string): Uint8Array => Buffer.from(text)
const put = (k: string, value: string): quorate.v1.IWrite => ({ put: { key: key(k), value: key(value) } })
const session = Buffer.alloc(16, 7)

function encodeBatch(writes: quorate.v1.IWrite[], more: quorate.v1.IWriteBatch = { session }): Uint8Array {
  const numbered = more.session ? writes.map((write, i) => ({ ...write, number: i + 1 })) : writes
  return quorate.v1.WriteBatch.encode({ floor: 1, ...more, writes: numbered }).finish()
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: unknown) => (isKvError(error) ? error.code : String(error)),
  )
}

describe('a batch', () => {
  it('carries the bytes of its writes to the local store untouched', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    const writes = encodeBatch([put('a', '1'), put('b', '2')])
    const response = await gateway.batch({ id: 9, writes })
    expect(response.error).toBeNull()
    expect(response.id).toBe(9)
    expect(response.outcomes?.map(outcome => outcome.kind)).toEqual([1, 1])
    expect(store.writes[0]?.writes).toBe(writes)
    expect(response.header).toMatchObject({ node: 'n1', leader: 'n1', rangeId: 1 })
    expect(response.header?.clock).toBeGreaterThan(0)
  })

  it('tells stamps of the log and its own clock, which may be wrong, apart', async () => {
    const { at } = createFakeCluster()
    const { gateway, store, hybridClock } = at('n1')
    const ahead = addMs(hybridClock.raw(), 3_600_000)
    hybridClock.mergeOwn(ahead)
    await gateway.put({ op: { key: key('a'), value: key('1') } })
    const written = store.state.versions('a')[0]?.timestamp ?? 0
    const answers = [
      await gateway.batch({ writes: encodeBatch([put('a', '2')]), gets: [key('a')] }),
      await gateway.get({ key: key('nothing') }),
      await gateway.history({ key: key('a') }),
    ]
    for (const { header } of answers) {
      expect(header?.now).toBeGreaterThanOrEqual(ahead)
      expect(header?.clock).toBeGreaterThanOrEqual(written)
      expect(header?.clock).toBeLessThan(ahead)
    }
    store.readRefusals.push({ kind: 'below-threshold', threshold: addMs(ahead, 0) })
    const refused = await gateway.batch({ gets: [key('a')] })
    expect(refused.header?.clock ?? 0).toBe(0)
  })

  it('serves gets and writes side by side: neither waits for the other', async () => {
    const { at, state } = createFakeCluster()
    const { gateway, store } = at('n1')
    let open = (): void => {}
    store.gate = new Promise(resolve => (open = resolve))
    const pending = gateway.batch({ writes: encodeBatch([put('a', '1')]), gets: [key('a'), key('b')] })
    expect([store.writes.length, store.reads.length]).toEqual([1, 1])
    open()
    const response = await pending
    expect(response.items).toHaveLength(2)
    expect(response.outcomes).toHaveLength(1)
    expect(state.versions('a')).toHaveLength(1)
  })

  it('without a session runs under the one of the gateway', async () => {
    const { at, state } = createFakeCluster()
    const { gateway, store } = at('n1')
    await gateway.batch({ writes: encodeBatch([put('a', '1'), put('b', '2')], {}) })
    const sent = quorate.v1.WriteBatch.decode(store.writes[0]?.writes ?? new Uint8Array())
    expect(sent.session).toHaveLength(16)
    expect(sent.writes.map(write => write.number)).toEqual([1, 2])
    expect(sent.notAfter).toBeGreaterThan(state.clock.peek())
  })

  it('reports the failed half, and still gives what the other half came to', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.readRefusals.push({ kind: 'future-instant' })
    const response = await gateway.batch({ writes: encodeBatch([put('a', '1')]), gets: [key('a')] })
    expect(response.error?.code).toBe('future-instant')
    expect(response.outcomes).toHaveLength(1)
    expect(response.items).toEqual([])
  })

  it.each([
    ['bytes that are no WriteBatch', { writes: Buffer.from([0xff, 0xff, 0xff]) }, 'invalid-argument'],
    ['the system keyspace', { writes: encodeBatch([put('a', '1')], { session, keyspace: 1 }) }, 'invalid-argument'],
    ['a clock beyond 2^53', { header: { clock: 2 ** 60 }, gets: [key('a')] }, 'invalid-argument'],
    ['an unknown read kind', { gets: [key('a')], options: { kind: 77 as never } }, 'invalid-argument'],
    [
      'an instant that is not named',
      { gets: [key('a')], options: { kind: ReadKind.READ_KIND_AT } },
      'invalid-argument',
    ],
    ['an oversize key', { gets: [Buffer.alloc(5000)] }, 'too-large'],
    ['a scan with a limit beyond 2^53', { scans: [{ limit: 2 ** 60 }] }, 'invalid-argument'],
    ['another cluster', { header: { clusterId: Buffer.alloc(16, 1) }, gets: [key('a')] }, 'wrong-cluster'],
    [
      'an unknown range',
      { header: { rangeId: 1, generation: 9 }, writes: encodeBatch([put('a', '1')]) },
      'range-mismatch',
    ],
  ])('with %s is refused by name', async (_what, request: quorate.v1.IBatchRequest, code) => {
    const { at } = createFakeCluster()
    const response = await at('n1').gateway.batch(request)
    expect(response.error?.code).toBe(code)
    expect(response.error?.message).not.toBe('')
  })

  it('before the cluster exists is told to init', async () => {
    const { at } = createFakeCluster()
    at('n1').view.id = undefined
    const response = await at('n1').gateway.batch({ gets: [key('a')] })
    expect(response.error).toMatchObject({ code: 'not-initialised', retryable: false })
  })

  it('names the limit that it passed', async () => {
    const { at } = createFakeCluster(['n1'], { batchOpsMax: 2 })
    const response = await at('n1').gateway.batch({ gets: [key('a'), key('b'), key('c')] })
    expect(response.error?.details).toEqual({ limit: 'batchOpsMax', limitValue: '2', value: '3' })
    const scans = await createFakeCluster(['n1'], { batchScansMax: 1 })
      .at('n1')
      .gateway.batch({ scans: [{}, {}] })
    expect(scans.error?.details).toEqual({ limit: 'batchScansMax', limitValue: '1', value: '2' })
    const commit = { compares: [{ key: key('a') }, { key: key('b') }] }
    const writes = quorate.v1.WriteBatch.encode({ writes: [{ commit }, { commit }] }).finish()
    const keys = await createFakeCluster(['n1'], { batchKeyOperationsMax: 3 }).at('n1').gateway.batch({ writes })
    expect(keys.error?.details).toEqual({ limit: 'batchKeyOperationsMax', limitValue: '3', value: '4' })
  })
})

describe('a write at a follower', () => {
  it('is forwarded to the leader once, marked so that it goes no further', async () => {
    const { at, state } = createFakeCluster(['n1', 'n2'])
    const writes = encodeBatch([put('a', '1')])
    const response = await at('n2').gateway.batch({ writes })
    expect(response.error).toBeNull()
    expect(at('n2').store.writes).toEqual([])
    expect(at('n2').peers.forwards).toHaveLength(1)
    expect(at('n2').peers.forwards[0]?.request.header?.hops).toBe(1)
    expect(at('n1').store.writes[0]?.writes).toBe(writes)
    expect(state.batchSizes).toEqual([1])
  })

  it('that was forwarded to the wrong node comes back and follows the hint', async () => {
    const { at, state } = createFakeCluster(['n1', 'n2', 'n3'])
    // n2 learns of n1 as the leader, then leadership moves while the request is on its way.
    at('n1').store.writeAnswers.push({ kind: 'not-leader', leader: asNodeId('n3') })
    at('n3').store.writeAnswers.push({
      kind: 'done',
      outcomes: [{ kind: OutcomeKind.OUTCOME_KIND_DONE, timestamp: 5 }],
      clock: state.clock.peek(),
    })
    const response = await at('n2').gateway.batch({ writes: encodeBatch([put('a', '1')]) })
    expect(response.outcomes?.[0]?.timestamp).toBe(5)
    expect(at('n2').peers.forwards.map(({ to }) => to)).toEqual(['n1', 'n3'])
    // A forwarded request is never forwarded again.
    expect(at('n1').peers.forwards).toEqual([])
  })

  it.each(['unavailable', 'unknown-outcome', 'applied-then-unknown'] as const)(
    'is repeated with the same bytes after %s, and applied once',
    async fault => {
      const { at, state } = createFakeCluster(['n1', 'n2'])
      at('n2').peers.faults.push(fault)
      const response = await at('n2').gateway.batch({ writes: encodeBatch([put('a', '1')]) })
      expect(response.error).toBeNull()
      const [first, second] = at('n2').peers.forwards
      expect(second?.request.writes).toBe(first?.request.writes)
      expect(state.versions('a')).toHaveLength(1)
      expect(state.repeats).toBe(fault === 'applied-then-unknown' ? 1 : 0)
    },
  )

  it('does not spend its deadline on a leader that has gone silent', async () => {
    const { at, state } = createFakeCluster(['n1', 'n2', 'n3'], { forwardAttemptMs: 20 })
    const { peers, gateway } = at('n2')
    peers.faults.push('silence')
    const pending = gateway.batch({ header: { timeoutMs: 5000 }, writes: encodeBatch([put('a', '1')]) })
    expect(peers.forwards.map(({ to }) => to)).toEqual(['n1'])
    state.leader = asNodeId('n3')
    expect((await pending).error).toBeNull()
    expect(peers.forwards.at(-1)?.to).toBe('n3')
  })
})

describe('a write without a leader', () => {
  it('waits for one within its deadline', async () => {
    const { at, state } = createFakeCluster()
    state.leader = undefined
    const { gateway, store } = at('n1')
    const pending = gateway.put({ op: { key: key('a'), value: key('1') } })
    while (store.writes.length < 3) await new Promise(resolve => setImmediate(resolve))
    state.leader = asNodeId('n1')
    const { outcome } = await pending
    expect(outcome?.kind).toBe(OutcomeKind.OUTCOME_KIND_DONE)
    const bytes = store.writes.map(({ writes }) => writes)
    expect(new Set(bytes).size).toBe(1)
  })

  it('is `unavailable` at its deadline: certainly not applied', async () => {
    const { at, state } = createFakeCluster()
    state.leader = undefined
    const response = await at('n1').gateway.batch({ header: { timeoutMs: 30 }, writes: encodeBatch([put('a', '1')]) })
    expect(response.error).toMatchObject({ code: 'unavailable', retryable: true })
    expect(state.applied).toBe(0)
  })

  it('is `unknown-outcome` at its deadline when an attempt may have been applied', async () => {
    const { at, state } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.writeAnswers.push({ kind: 'unknown-outcome' })
    const pending = gateway.batch({ header: { timeoutMs: 30 }, writes: encodeBatch([put('a', '1')]) })
    state.leader = undefined
    expect((await pending).error).toMatchObject({ code: 'unknown-outcome', retryable: false })
  })

  it('is `unknown-outcome`, too, when the attempt after an unknown one is refused for good', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.writeAnswers.push({ kind: 'unknown-outcome' }, { kind: 'overloaded', queue: 'proposals', retryAfterMs: 5 })
    const response = await gateway.batch({ writes: encodeBatch([put('a', '1')]) })
    expect(response.error?.code).toBe('unknown-outcome')
  })

  it('ends at once when its caller goes', async () => {
    const { at, state } = createFakeCluster()
    state.leader = undefined
    const controller = new AbortController()
    const pending = at('n1').gateway.batch({ writes: encodeBatch([put('a', '1')]) }, { signal: controller.signal })
    controller.abort()
    expect((await pending).error?.code).toBe('cancelled')
  })

  it('waits out a leader that is handing over', async () => {
    const { at } = createFakeCluster()
    at('n1').store.writeAnswers.push({ kind: 'overloaded', queue: 'transfer', retryAfterMs: 20 })
    const response = await at('n1').gateway.batch({ writes: encodeBatch([put('a', '1')]) })
    expect(response.error ?? undefined).toBeUndefined()
    expect(response.outcomes).toHaveLength(1)
  })

  it('passes `overloaded` on at once, with the delay', async () => {
    const { at } = createFakeCluster()
    at('n1').store.writeAnswers.push({ kind: 'overloaded', queue: 'proposals', retryAfterMs: 50 })
    const response = await at('n1').gateway.batch({ writes: encodeBatch([put('a', '1')]) })
    expect(response.error).toMatchObject({ code: 'overloaded', retryAfterMs: 50, details: { queue: 'proposals' } })
  })
})

describe('unary writes', () => {
  it('of one tick travel in one batch, and each gets its own outcome', async () => {
    const { at, state } = createFakeCluster()
    const { gateway } = at('n1')
    const responses = await Promise.all([
      gateway.put({ op: { key: key('a'), value: key('1') } }),
      gateway.put({ op: { key: key('a'), value: key('2') } }),
      gateway.delete({ op: { key: key('zz') } }),
      gateway.commit({ op: { compares: [{ key: key('a'), absent: true }], then: [{ delete: { key: key('a') } }] } }),
    ])
    expect(state.batchSizes).toEqual([4])
    expect(responses.map(response => response.outcome?.version)).toEqual([1, 2, undefined, undefined])
    expect(responses[2]?.outcome?.deleted).toBe(0)
    expect(responses[3]?.outcome).toMatchObject({ kind: OutcomeKind.OUTCOME_KIND_CONDITION_FAILED, failedCompare: 1 })
  })

  it('that the leader refuses together try again alone, under the same numbers', async () => {
    const { at, state } = createFakeCluster(['n1'], { valueBytesMax: 10_000_000 })
    const { gateway, store } = at('n1')
    const large = { op: { key: key('b'), value: Buffer.alloc(1024 * 1024 + 1) } }
    const [small, refused] = await Promise.all([
      gateway.put({ op: { key: key('a'), value: key('1') } }),
      codeOf(gateway.put(large)),
    ])
    expect(small.outcome?.kind).toBe(OutcomeKind.OUTCOME_KIND_DONE)
    expect(refused).toBe('too-large')
    expect(state.versions('a')).toHaveLength(1)
    const numbers = store.writes.map(({ writes }) =>
      quorate.v1.WriteBatch.decode(writes).writes.map(write => write.number),
    )
    expect(new Set(numbers.flat()).size).toBe(2)
  })

  it('settle their numbers: the floor follows', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    for (let i = 0; i < 3; i++) await gateway.put({ op: { key: key('a'), value: key('1') } })
    const floors = store.writes.map(({ writes }) => quorate.v1.WriteBatch.decode(writes).floor)
    expect(floors).toEqual([1, 2, 3])
  })

  it('in a session of the caller keep its number, so a repeat is applied once', async () => {
    const { at, state } = createFakeCluster()
    const { gateway } = at('n1')
    const request = (): quorate.v1.IPutRequest => ({
      header: { session, number: 4, floor: 4 },
      op: { key: key('a'), value: key('1') },
    })
    const first = await gateway.put(request())
    const second = await gateway.put(request())
    expect(second.outcome).toEqual(first.outcome)
    expect(state.versions('a')).toHaveLength(1)
  })

  it.each([
    [{ op: { key: new Uint8Array(), value: key('1') } }, 'invalid-argument'],
    [{}, 'invalid-argument'],
    [{ op: { key: key('a'), value: Buffer.alloc(1024 * 1024 + 1) } }, 'too-large'],
    [{ header: { session: Buffer.alloc(3), number: 1 }, op: { key: key('a') } }, 'invalid-argument'],
    [{ header: { session }, op: { key: key('a') } }, 'invalid-argument'],
    [{ header: { keyspace: 1 }, op: { key: key('a') } }, 'invalid-argument'],
    [{ header: { keyspace: 5 }, op: { key: key('a') } }, 'invalid-argument'],
  ])('that can never succeed are refused before they join others (%#)', async (request, code) => {
    const { at, state } = createFakeCluster()
    expect(await codeOf(at('n1').gateway.put(request))).toBe(code)
    expect(state.applied).toBe(0)
  })

  it('are refused as `overloaded` past the limit of waiting ones', async () => {
    const { at } = createFakeCluster(['n1'], { ownWritesMax: 2 })
    const { gateway } = at('n1')
    const one = () => codeOf(gateway.put({ op: { key: key('a'), value: key('1') } }))
    expect(await Promise.all([one(), one(), one()])).toEqual(['ok', 'ok', 'overloaded'])
    expect(await one()).toBe('ok')
  })
})

describe('reads', () => {
  it('at a node without a replica are asked of the leader', async () => {
    const { at } = createFakeCluster(['n1', 'n2'])
    await at('n1').gateway.put({ op: { key: key('a'), value: key('1') } })
    at('n2').store.readRefusals.push({ kind: 'no-replica' })
    const response = await at('n2').gateway.get({ key: key('a') })
    expect(Buffer.from(response.item?.value ?? []).toString()).toBe('1')
    expect(at('n2').peers.forwards.map(({ to }) => to)).toEqual(['n1'])
  })

  it('are repeated while there is no leader, within the deadline', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.readRefusals.push({ kind: 'not-leader', leader: undefined }, { kind: 'unavailable', message: 'no quorum' })
    store.readRefusals.push({ kind: 'overloaded', queue: 'transfer', retryAfterMs: 20 })
    const response = await gateway.get({ key: key('a') })
    expect(response.item?.timestamp).toBe(0)
    expect(store.reads).toHaveLength(4)
  })

  it('of history give the newest versions first, deletions included', async () => {
    const { at } = createFakeCluster()
    const { gateway } = at('n1')
    await gateway.put({ op: { key: key('a'), value: key('1') } })
    await gateway.delete({ op: { key: key('a') } })
    await gateway.put({ op: { key: key('a'), value: key('2') } })
    const response = await gateway.history({ key: key('a'), limit: 2 })
    expect(response.items?.map(item => item.deleted ?? false)).toEqual([false, true])
    expect(response.more).toBe(true)
  })

  it.each([{ kind: 'no-replica' }, { kind: 'damaged', message: 'quarantined' }] as const)(
    'of history, at a node that answers $kind, are asked of others, with all that was asked',
    async refusal => {
      const { at } = createFakeCluster(['n1', 'n2', 'n3'])
      const put = await at('n1').gateway.put({ op: { key: key('a'), value: key('1') } })
      await at('n1').gateway.put({ op: { key: key('a'), value: key('2') } })
      await at('n1').gateway.put({ op: { key: key('a'), value: key('3') } })
      const newest = await at('n1').gateway.history({ key: key('a'), limit: 1 })
      const [first] = newest.items ?? []
      for (const node of ['n1', 'n2']) at(node).store.readRefusals.push(refusal)
      const before = first?.timestamp ?? 0
      const response = await at('n2').gateway.history({ key: key('a'), limit: 1, before })
      expect(response.items?.map(item => Buffer.from(item.value ?? []).toString())).toEqual(['2'])
      expect(response.more).toBe(true)
      expect(response.header?.clock).toBeGreaterThan(put.header?.clock ?? 0)
      // One after the other, as long as those asked are damaged as well.
      if (refusal.kind === 'damaged') expect(at('n2').peers.forwards.map(({ to }) => to)).toEqual(['n1', 'n3'])
    },
  )

  it('of history are no part of a batch of a client', async () => {
    const { at } = createFakeCluster()
    const response = await at('n1').gateway.batch({ history: { key: key('a') } })
    expect(response.error).toMatchObject({ code: 'invalid-argument', message: expect.stringContaining('History') })
  })
})

describe('a scan', () => {
  async function filled() {
    const cluster = createFakeCluster()
    const { gateway } = cluster.at('n1')
    const keys = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    await Promise.all(keys.map(k => gateway.put({ op: { key: key(k), value: key(`v${k}`) } })))
    return { ...cluster.at('n1'), keys }
  }

  async function collect(pages: AsyncIterable<Buffer>) {
    const all: quorate.v1.ScanResponse[] = []
    for await (const page of pages) all.push(quorate.v1.ScanResponse.decode(page))
    return {
      pages: all,
      keys: all.flatMap(page => page.items).map(item => Buffer.from(item.key ?? []).toString()),
    }
  }

  it('reads every page at the instant of the first, whatever is written in between', async () => {
    const { gateway, store, keys } = await filled()
    const seen: string[] = []
    const instants = new Set<number>()
    for await (const encoded of gateway.scan({ pageKeys: 10 })) {
      const page = quorate.v1.ScanResponse.decode(encoded)
      instants.add(page.at)
      seen.push(...page.items.map(item => Buffer.from(item.key ?? []).toString()))
      await gateway.put({ op: { key: key('k99'), value: key('new') } })
      await gateway.delete({ op: { key: key('k24') } })
    }
    expect(seen).toEqual(keys)
    expect(instants.size).toBe(1)
    expect(store.reads.map(read => read.kind)).toEqual(['linearizable', 'at', 'at'])
  })

  it('goes backwards, too', async () => {
    const { gateway, keys } = await filled()
    const scanned = await collect(gateway.scan({ pageKeys: 7, reverse: true }))
    expect(scanned.keys).toEqual(keys.toReversed())
  })

  it('stops at its limit and at the end of its span', async () => {
    const { gateway, keys } = await filled()
    const limited = await collect(gateway.scan({ pageKeys: 4, limit: 6 }))
    expect(limited.keys).toEqual(keys.slice(0, 6))
    expect(limited.pages.map(page => page.count)).toEqual([4, 6])
    const span = await collect(gateway.scan({ start: key('k03'), end: key('k05'), keysOnly: true }))
    expect(span.keys).toEqual(['k03', 'k04'])
    expect(span.pages[0]?.items?.[0]?.value).toHaveLength(0)
  })

  it('counts without sending items', async () => {
    const { gateway } = await filled()
    const counted = await collect(gateway.scan({ countOnly: true }))
    expect(counted.keys).toEqual([])
    expect(counted.pages.at(-1)?.count).toBe(25)
  })

  it('in a batch is answered by its first page, beside writes and gets', async () => {
    const { gateway, store, keys } = await filled()
    const { header, error, outcomes, items, pages } = await gateway.batch({
      writes: encodeBatch([put('k99', '1')]),
      gets: [key('k00')],
      scans: [
        { pageKeys: 4 },
        { start: key('k03'), end: key('k05'), keysOnly: true },
        { reverse: true, limit: 2 },
        { countOnly: true },
      ],
    })
    expect(error).toBeNull()
    expect([outcomes?.length, items?.length]).toEqual([1, 1])
    const decoded = (pages ?? []).map(page => quorate.v1.ScanResponse.decode(page))
    const keysOf = (page: quorate.v1.ScanResponse | undefined) =>
      page?.items.map(item => Buffer.from(item.key ?? []).toString())
    expect(decoded.slice(0, 2).map(keysOf)).toEqual([keys.slice(0, 4), ['k03', 'k04']])
    expect(decoded.map(({ resume }) => Buffer.from(resume).toString())).toEqual(['k04', '', expect.any(String), ''])
    expect(keysOf(decoded[2])).toHaveLength(2)
    expect(decoded[1]?.items.every(item => item.value?.length === 0)).toBe(true)
    expect(decoded[3]?.count).toBeGreaterThanOrEqual(25)
    expect(header?.clock).toBeGreaterThanOrEqual(Math.max(...decoded.map(page => page.at)))
    expect(new Set(store.reads.map(read => read.kind))).toEqual(new Set(['linearizable']))
  })

  it('in a batch has a page that is bounded, whatever it asks for', async () => {
    const cluster = createFakeCluster(['n1'], { batchPageKeysMax: 3 })
    const { gateway } = cluster.at('n1')
    for (const name of ['a', 'b', 'c', 'd']) await gateway.put({ op: { key: key(name), value: key('1') } })
    const { pages } = await gateway.batch({ scans: [{ pageKeys: 1_000 }] })
    const page = quorate.v1.ScanResponse.decode(pages?.[0] ?? new Uint8Array())
    expect([page.items.length, Buffer.from(page.resume).toString()]).toEqual([3, 'd'])
  })

  it('ends when its caller goes', async () => {
    const { gateway } = await filled()
    const controller = new AbortController()
    const run = async (): Promise<void> => {
      for await (const _page of gateway.scan({ pageKeys: 1 }, controller.signal)) controller.abort()
    }
    expect(await codeOf(run())).toBe('cancelled')
  })
})
