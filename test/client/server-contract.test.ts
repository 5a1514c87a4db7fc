// The SDK and the real services, over one fake store: what the SDK's own fake server takes for granted holds.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { type Client, connect } from '../../src/client/client.ts'
import type { ClientServer } from '../../src/server/client-server.ts'
import { type FakeCluster, createFakeCluster } from '../support/fake-cluster.ts'
import { startServerOf } from '../support/fake-server.ts'

const names = ['n1', 'n2', 'n3']
let cluster: FakeCluster
let servers: ClientServer[]
let client: Client

beforeEach(async () => {
  cluster = createFakeCluster(names)
  servers = await Promise.all(names.map(name => startServerOf(cluster, name)))
  const addresses = servers.map(server => `127.0.0.1:${server.port}`)
  for (const name of names) {
    for (const [i, other] of names.entries()) cluster.at(name).view.addresses.set(other, addresses[i]!)
  }
  client = connect(`quorate://${addresses[2]}`)
})
afterEach(async () => {
  client.close()
  await Promise.all(servers.map(server => server.close(0)))
})

async function keysOf(scan: AsyncIterable<{ readonly key: Uint8Array }>): Promise<string[]> {
  const keys = []
  for await (const { key } of scan) keys.push(Buffer.from(key).toString())
  return keys
}

test('single operations, conditions, instants and history', async () => {
  const first = await client.put('a', 'one')
  expect(first.version).toBe(1)
  expect((await client.put('a', 'two')).version).toBe(2)
  expect(await client.getText('a')).toBe('two')
  expect(await client.getText('a', { consistency: 'stale' })).toBe('two')
  expect(await client.getText('a', { consistency: 'session' })).toBe('two')
  expect(await client.getText('a', { at: first.timestamp })).toBe('one')
  expect(await client.get('absent')).toBeUndefined()
  expect((await client.compareAndSet('a', 'two', 'three')).swapped).toBe(true)
  expect((await client.compareAndSet('a', null, 'four')).swapped).toBe(false)
  const commit = await client.commit({ compares: [{ key: 'a', absent: true }], otherwise: [{ put: 'b', value: '!' }] })
  expect(commit).toMatchObject({ succeeded: false, failedCompare: 0 })
  expect(await client.getText('b')).toBe('!')
  expect((await client.delete('a')).deleted).toBe(true)
  const { versions } = await client.history('a')
  expect(versions.map(({ version, deleted }) => [version, deleted])).toEqual([
    [0, true],
    [3, false],
    [2, false],
    [1, false],
  ])
})

test('an empty value is compared as a value', async () => {
  await client.put('empty', '')
  expect(await client.get('empty')).toHaveLength(0)
  expect((await client.compareAndSet('empty', '', 'full')).swapped).toBe(true)
})

test('many keys: scans in pages, counts, and deletions of spans', async () => {
  const keys = Array.from({ length: 2500 }, (_, i) => `k/${String(i).padStart(5, '0')}`)
  await Promise.all(keys.map(key => client.put(key, key)))
  expect(await keysOf(client.scan({ prefix: 'k/' }))).toEqual(keys)
  expect(await keysOf(client.scan({ prefix: 'k/', pageKeys: 7, reverse: true }))).toEqual(keys.toReversed())
  expect(await keysOf(client.scan({ start: 'k/00010', limit: 3, keysOnly: true }))).toEqual(keys.slice(10, 13))
  expect(await client.count({ prefix: 'k/' })).toBe(2500)
  expect(await client.deleteRange({ prefix: 'k/' }, { limit: 10 })).toEqual({
    deleted: 10,
    resume: Buffer.from('k/00010'),
  })
  expect((await client.deleteRange({ prefix: 'k/' })).deleted).toBe(2490)
  expect(await client.count()).toBe(0)
})

test('large values: answers that do not fit one message are asked for in parts', async () => {
  const value = 'x'.repeat(1024 * 1024)
  const keys = Array.from({ length: 40 }, (_, i) => `big${i}`)
  await Promise.all(keys.map(key => client.put(key, value)))
  const values = await Promise.all(keys.map(key => client.get(key)))
  expect(values.every(bytes => bytes?.length === value.length)).toBe(true)
})

test('status, nodes, and a leader that moved', async () => {
  expect((await client.admin.nodes()).map(node => node.id)).toEqual(names)
  const { ranges } = await client.admin.status()
  expect(ranges[0]).toMatchObject({ id: 1, leader: 'n1' })
  cluster.state.leader = asNodeId('n2')
  await client.put('after', 'the move')
  expect(await client.getText('after')).toBe('the move')
  await expect(client.admin.init()).rejects.toMatchObject({ code: 'already-initialised' })
})
