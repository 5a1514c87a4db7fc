// A batch is answered in part when it comes to too much, and says so: with the answers there are, and what is left.

import { describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { createFakeCluster } from '../support/fake-cluster.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const keys = Array.from({ length: 20 }, (_, at) => bytes(`k${String(at).padStart(2, '0')}`))

async function filled(names: readonly string[] = ['n1']) {
  const cluster = createFakeCluster(names, { batchAnswerBytesMax: 5_000 })
  const { gateway } = cluster.at('n1')
  for (const key of keys) await gateway.put({ op: { key, value: new Uint8Array(1_000) } })
  return cluster
}

describe('a batch that comes to more than one answer holds', () => {
  it('has the first values, and counts the gets that are left', async () => {
    const { gateway } = (await filled()).at('n1')
    const sizes: number[] = []
    for (let left = keys; left.length > 0; ) {
      const { error, items, getsLeft } = await gateway.batch({ gets: left })
      expect(error).toBeNull()
      expect(items!.every(item => item.value?.length === 1_000)).toBe(true)
      expect(items!.length + getsLeft!).toBe(left.length)
      sizes.push(items!.length)
      left = left.slice(items!.length)
    }
    expect(sizes).toEqual([5, 5, 5, 5])
  })

  it('says nothing is left where all fit, or where it failed', async () => {
    const cluster = await filled()
    const { gateway, store } = cluster.at('n1')
    expect(await gateway.batch({ gets: keys.slice(0, 3) })).toMatchObject({ getsLeft: 0 })
    store.readRefusals.push({ kind: 'future-instant' })
    expect(await gateway.batch({ gets: keys })).toMatchObject({ getsLeft: 0, error: { code: 'future-instant' } })
  })

  it('has pages for the scans that were read, and empty bytes for the others', async () => {
    const { gateway } = (await filled()).at('n1')
    const { error, pages } = await gateway.batch({ scans: Array.from({ length: 8 }, () => ({ limit: 2 })) })
    expect(error).toBeNull()
    const counts = pages!.map(page => (page.length === 0 ? 0 : quorate.v1.ScanResponse.decode(page).items.length))
    expect(counts).toEqual([2, 2, 1, 0, 0, 0, 0, 0])
    // The one that was cut says where it goes on.
    expect(Buffer.from(quorate.v1.ScanResponse.decode(pages![2]!).resume).toString()).toBe('k01')
  })

  it('is in part as well where another node reads it', async () => {
    const cluster = await filled(['n1', 'n2'])
    const { gateway, store } = cluster.at('n2')
    cluster.state.leader = asNodeId('n1')
    store.readRefusals.push({ kind: 'no-replica' })
    const { items, getsLeft } = await gateway.batch({ gets: keys })
    expect([items!.length, getsLeft]).toEqual([5, 15])
    expect(cluster.at('n2').peers.forwards).toHaveLength(1)
  })
})
