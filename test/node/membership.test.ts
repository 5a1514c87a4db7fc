import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until } from '../support/until.ts'

describe('members that go', () => {
  it('one of two is removed, its restart harms nobody, and the other goes on alone', async () => {
    await using nodes = await LocalNodes.cluster({ size: 2 })
    const client = nodes.client('n1')
    await until('n1 leads', async () => {
      if (must((await client.admin.status()).ranges[0]).leader === 'n1') return true
      await client.admin.transferLeader('n1').catch(() => undefined)
      return false
    })
    // Its vote is needed for its own removal: it must still be dialled until then.
    await client.admin.removeMember('n2')
    await client.put('alone', 'works')
    expect((await client.admin.status()).ranges[0]?.replicas.map(replica => replica.node)).toEqual(['n1'])
    await nodes.stopNode('n2')
    await nodes.startNode('n2')
    await client.put('alone', 'still')
    expect(Buffer.from(must(await client.get('alone'))).toString()).toBe('still')
  }, 60_000)
})

describe('members that come', () => {
  it('past the target a node stays a learner until it is promoted, and wiped after its removal it comes back', async () => {
    await using nodes = await LocalNodes.start({ size: 2, flags: { voters: '1' } })
    const client = nodes.client('n1')
    await client.admin.init()
    const roleOfSecond = async (): Promise<string | undefined> =>
      (await client.admin.status()).ranges[0]?.replicas.find(replica => replica.node === 'n2')?.role
    await until('n2 learns', async () => (await roleOfSecond()) === 'learner')
    await client.put('a', 'b')
    await until('n2 is promoted', async () => {
      await client.admin.promoteMember('n2')
      return (await roleOfSecond()) === 'voter'
    })
    await client.admin.removeMember('n2')
    await until('n2 is gone', async () => (await roleOfSecond()) === undefined)
    await nodes.stopNode('n2')
    nodes.wipe('n2')
    await nodes.startNode('n2')
    await until('n2 learns again', async () => (await roleOfSecond()) === 'learner')
    expect(Buffer.from((await client.get('a')) ?? []).toString()).toBe('b')
  }, 30_000)
})
