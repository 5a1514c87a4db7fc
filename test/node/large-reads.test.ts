// A few kilobytes of requests may ask for gigabytes. What a node holds for it is bounded, whether its client reads or not.

import { expect, it } from 'vitest'
import type { quorate } from '../../src/proto/quorate.js'
import { kvService } from '../../src/server/kv-service.ts'
import { TestClient } from '../support/grpc-client.ts'
import { LocalNodes } from '../support/local-nodes.ts'

const mebibyte = 1024 * 1024
const big = Buffer.from('big')

async function openNode() {
  const nodes = await LocalNodes.cluster({ size: 1 })
  const client = nodes.client()
  await client.put(big, Buffer.alloc(mebibyte, 1))
  const raw = new TestClient(Number(String(nodes.flagsOf('n1').listen).split(':').at(-1)))
  return { nodes, client, raw }
}

/** The most that buffers took beyond `before` while `work` went on. */
async function mostBytesDuring(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const look = (): void => {
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  const timer = setInterval(look, 5)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  look()
  return most
}

it('a small request for a thousand large values is answered in part', { timeout: 30_000 }, async () => {
  const { nodes, raw } = await openNode()
  await using _ = nodes
  const call = raw.batch()
  const answered = new Promise<quorate.v1.BatchResponse>((resolve, reject) => {
    call.once('data', resolve)
    call.on('error', reject)
  })
  const most = await mostBytesDuring(async () => {
    call.write({ id: 1, gets: Array.from({ length: 1_000 }, () => big) })
    const { error, items, getsLeft } = await answered
    expect(error).toBeNull()
    expect(items.length).toBeGreaterThan(0)
    expect(items.length + getsLeft).toBe(1_000)
  })
  // Four values, as they are gathered, encoded, and decoded again, and what is not collected yet.
  expect(most).toBeLessThan(64 * mebibyte)
  call.on('error', () => {})
  call.cancel()
  raw.close()
})

it('a client that reads nothing has little read for it, and all of it once it reads', { timeout: 60_000 }, async () => {
  const { nodes, client, raw } = await openNode()
  await using _ = nodes
  const requests = 200
  const call = raw.batch()
  const ids = new Set<number>()
  let items = 0
  call.on('error', () => {})
  const most = await mostBytesDuring(async () => {
    call.pause()
    for (let id = 1; id <= requests; id++) call.write({ id, header: { timeoutMs: 50_000 }, gets: [big, big, big] })
    // Others are served meanwhile.
    for (let round = 0; round < 20; round++) {
      await client.put('small', String(round))
      expect(Buffer.from((await client.get('small')) ?? []).toString()).toBe(String(round))
    }
  })
  // All of them hold 600 MiB. Values are copied to be encoded and to be sent, and what was sent is not collected at once.
  expect(most).toBeLessThan(250 * mebibyte)
  await new Promise<void>((resolve, reject) => {
    call.on('data', (response: quorate.v1.BatchResponse) => {
      if (response.error) reject(new Error(response.error.message ?? ''))
      ids.add(response.id)
      items += response.items.length
      if (ids.size === requests) resolve()
    })
    call.on('end', () => reject(new Error('the stream ended')))
    call.resume()
  })
  expect(items).toBeGreaterThanOrEqual(requests)
  call.cancel()
  raw.close()
})

it('a history of large values comes in pages', { timeout: 30_000 }, async () => {
  const { nodes, client, raw } = await openNode()
  await using _ = nodes
  for (let at = 0; at < 7; at++) await client.put(big, Buffer.alloc(mebibyte / 2, at))
  const seen: number[] = []
  let pages = 0
  for (let before = 0, more = true; more; pages++) {
    const page = await raw.unary(kvService.History, { key: big, before })
    seen.push(...(page.items ?? []).map(item => item.value!.length))
    expect(page.items!.length).toBeLessThanOrEqual(2)
    before = page.items!.at(-1)!.timestamp!
    more = page.more ?? false
  }
  expect(seen).toEqual([...Array.from({ length: 7 }, () => mebibyte / 2), mebibyte])
  expect(pages).toBeGreaterThan(3)
  raw.close()
})
