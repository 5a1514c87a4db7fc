import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { isKvError } from '../../src/base/errors.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until } from '../support/until.ts'

describe('five nodes in one process', () => {
  let nodes: LocalNodes
  beforeAll(async () => {
    nodes = await LocalNodes.cluster({ size: 5 })
  }, 60_000)
  afterAll(() => nodes[Symbol.asyncDispose]())

  const leaderOf = async (): Promise<string> =>
    until('a leader', async () => must((await nodes.client().admin.status()).ranges[0]).leader || undefined)

  it('any node serves a write and a linearizable read of it', async () => {
    for (const name of nodes.names) {
      const client = nodes.client(name)
      await client.put(`from-${name}`, name)
      for (const reader of nodes.names)
        expect(Buffer.from(must(await nodes.client(reader).get(`from-${name}`))).toString()).toBe(name)
    }
  })

  it('a get at an older instant gives what was there, and history gives it all', async () => {
    const client = nodes.client()
    const first = await client.put('past', 'one')
    const second = await client.put('past', 'two')
    await client.delete('past')
    const at = async (instant: number) => {
      const value = await client.get('past', { at: instant })
      return value && Buffer.from(value).toString()
    }
    expect(await at(first.timestamp - 1)).toBeUndefined()
    expect(await at(first.timestamp)).toBe('one')
    expect(await at(second.timestamp)).toBe('two')
    expect(await client.get('past')).toBeUndefined()
    const { versions } = await client.history('past')
    expect(versions.map(version => [Buffer.from(version.value).toString(), version.deleted])).toEqual([
      ['', true],
      ['two', false],
      ['one', false],
    ])
  })

  it('a read at this very instant waits for a promise, on a follower as on the leader', async () => {
    const client = nodes.client()
    await client.put('now', 'x')
    for (const name of nodes.names) {
      const value = await nodes.client(name).get('now', { at: new Date() })
      expect(Buffer.from(must(value)).toString()).toBe('x')
    }
  })

  it('a scan goes both ways, in pages of one instant', async () => {
    const client = nodes.client()
    await Promise.all(
      Array.from({ length: 300 }, (_, at) => client.put(`scan/${String(at).padStart(3, '0')}`, String(at))),
    )
    const collect = async (reverse: boolean): Promise<string[]> => {
      const keys: string[] = []
      for await (const item of client.scan({ prefix: 'scan/', reverse })) keys.push(Buffer.from(item.key).toString())
      return keys
    }
    const forward = await collect(false)
    expect(forward.length).toBe(300)
    expect(forward).toEqual([...forward].sort())
    expect(await collect(true)).toEqual([...forward].reverse())
    expect(await client.count({ prefix: 'scan/' })).toBe(300)
  })

  it('concurrent compare-and-sets on one key count exactly', async () => {
    const clients = nodes.names.map(name => nodes.client(name))
    await must(clients[0]).put('counter', '0')
    const increments = 20
    await Promise.all(
      clients.map(async client => {
        for (let done = 0; done < increments; ) {
          const value = Buffer.from(must(await client.get('counter'))).toString()
          const result = await client.compareAndSet('counter', value, String(Number(value) + 1))
          if (result.swapped) done++
        }
      }),
    )
    expect(Buffer.from(must(await must(clients[0]).get('counter'))).toString()).toBe(
      String(increments * clients.length),
    )
  })

  it('leadership moves on request, and no acknowledged write goes', async () => {
    const client = nodes.client()
    await client.put('before-transfer', 'kept')
    const from = await leaderOf()
    const to = must(nodes.names.find(name => name !== from))
    await client.admin.transferLeader(to)
    await until('the new leader', async () => (await leaderOf()) === to)
    expect(Buffer.from(must(await client.get('before-transfer'))).toString()).toBe('kept')
  })

  it('init again is refused', async () => {
    const error: unknown = await nodes
      .client('n2')
      .admin.init()
      .catch((caught: unknown) => caught)
    expect(isKvError(error, 'already-initialised')).toBe(true)
  })

  it('a second process on a data directory is refused, and says why', async () => {
    const error: unknown = await nodes.startNode('n1').catch((caught: unknown) => caught)
    expect(isKvError(error, 'data-directory')).toBe(true)
    expect((error as Error).message).toMatch(/another process|locked/)
  })

  it('a follower that stops and starts again catches up to the same hash', async () => {
    const client = nodes.client()
    const stopped = must(nodes.names.find(name => name !== 'n1'))
    await nodes.stopNode(stopped)
    await Promise.all(Array.from({ length: 500 }, (_, at) => client.put(`while-away-${at}`, String(at))))
    await nodes.startNode(stopped)
    await nodes.allVote()
    const value = await nodes.client(stopped).get('while-away-499', { consistency: 'stale' })
    expect(Buffer.from(must(value)).toString()).toBe('499')
  }, 30_000)

  it('a wiped node comes back under its name as a stranger, and joins anew', async () => {
    const client = nodes.client()
    const before = must(must((await client.admin.status()).ranges[0]).replicas.find(replica => replica.node === 'n5'))
    await nodes.stopNode('n5')
    nodes.wipe('n5')
    await nodes.startNode('n5')
    await until('n5 votes anew', async () => {
      const replica = must((await client.admin.status()).ranges[0]).replicas.find(item => item.node === 'n5')
      return replica?.role === 'voter' && replica.replicaId > before.replicaId
    })
    await nodes.allVote()
  }, 30_000)

  it('a member is removed online, and the others go on', async () => {
    const client = nodes.client('n1', 'n2', 'n3')
    if ((await leaderOf()) === 'n4') await client.admin.transferLeader('n1')
    await client.admin.removeMember('n4')
    await until('four voters', async () => must((await client.admin.status()).ranges[0]).replicas.length === 4)
    await client.put('after-removal', 'works')
    expect(Buffer.from(must(await client.get('after-removal'))).toString()).toBe('works')
  }, 30_000)
})

describe('one node', () => {
  it('restarts with everything it acknowledged, again and again', async () => {
    await using nodes = await LocalNodes.cluster({ size: 1 })
    for (let round = 0; round < 5; round++) {
      const client = nodes.client()
      await Promise.all(Array.from({ length: 50 }, (_, at) => client.put(`r${round}/${at}`, 'v')))
      await nodes.stopNode('n1')
      await nodes.startNode('n1')
    }
    expect(await nodes.client().count({ prefix: 'r' })).toBe(250)
  }, 60_000)

  it('tells before init what to do', async () => {
    await using nodes = await LocalNodes.start({ size: 1 })
    const ready = await fetch(`${nodes.httpUrl('n1')}/readyz`)
    expect(ready.status).toBe(503)
    expect((await fetch(`${nodes.httpUrl('n1')}/livez`)).status).toBe(200)
    const error: unknown = await nodes
      .client()
      .put('a', 'b', { timeoutMs: 500 })
      .catch((caught: unknown) => caught)
    expect((error as Error).message).toMatch(/init/)
  }, 30_000)
})
