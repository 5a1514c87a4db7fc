// A node answers gets and first pages in part when they come to too much: the SDK asks for the rest, and no caller notices.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Client, connect } from '../../src/client/client.ts'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'

let cluster: FakeKvCluster
let client: Client

beforeEach(async () => {
  cluster = await startFakeKvCluster(1)
  client = connect(cluster.url, { readConnections: 1 })
  for (let at = 0; at < 20; at++) await client.put(`k${at}`, `v${at}`)
  cluster.batches.length = 0
})

afterEach(async () => {
  client.close()
  await cluster[Symbol.asyncDispose]()
})

describe('gets that are answered in part', () => {
  test('are asked for again, in their order, before what came later', async () => {
    cluster.answersMax = 3
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => Buffer.from((await client.get(`k${at}`)) ?? []).toString()),
    )
    expect(texts).toEqual(Array.from({ length: 20 }, (_, at) => `v${at}`))
    const firsts = cluster.batches.map(({ gets }) => Buffer.from(gets[0] ?? []).toString())
    expect(firsts).toEqual(['k0', 'k3', 'k6', 'k9', 'k12', 'k15', 'k18'])
  })

  test('fail, instead of going round for ever, where a node answers none of them', async () => {
    cluster.answersMax = 0
    await expect(client.get('k1')).rejects.toMatchObject({ code: 'internal' })
    expect(cluster.batches).toHaveLength(1)
  })
})

test('first pages that were not read are asked for again', async () => {
  cluster.answersMax = 1
  const counts = await Promise.all(
    Array.from({ length: 7 }, async (_, at) => {
      let seen = 0
      for await (const item of client.scan({ prefix: `k${at}`, limit: 1 })) if (item.key.length > 0) seen++
      return seen
    }),
  )
  expect(counts).toEqual([1, 1, 1, 1, 1, 1, 1])
})
