// What a cluster of real nodes answers to changes of its members: those that would cost it its quorum are refused, with the
// reason, and it goes on as if nothing had been asked.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { KvError } from '../../src/base/errors.ts'
import type { Client } from '../../src/client/client.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until } from '../support/until.ts'

describe('three voters', () => {
  let nodes: LocalNodes
  let client: Client
  let leader: string
  let others: string[]

  beforeEach(async () => {
    nodes = await LocalNodes.cluster({ size: 3 })
    client = nodes.client()
    leader = must((await client.admin.status()).ranges[0]).leader
    others = nodes.names.filter(name => name !== leader)
  })
  afterEach(() => nodes[Symbol.asyncDispose]())

  const refusal = async (work: Promise<unknown>): Promise<KvError> =>
    work.then(
      () => expect.fail('it must be refused'),
      (error: unknown) => error as KvError,
    )
  const members = async (): Promise<string[]> =>
    must((await client.admin.status()).ranges[0]).replicas.map(replica => `${replica.node}:${replica.role}`)

  it('keep a live one while another is dead; the dead one may go', async () => {
    const [live, dead] = others as [string, string]
    await nodes.stopNode(dead)
    const error = await refusal(client.admin.removeMember(live))
    expect(error.code).toBe('conflict')
    expect(error.message).toContain(`${dead} does not answer`)
    expect(error.message).toMatch(/would need 2.* or remove first who is down/)
    await client.put('still', 'written')
    await client.admin.removeMember(dead)
    expect(await members()).toEqual([leader, live].sort().map(name => `${name}:voter`))
    await client.put('still', 'again')
  })

  it('hand over before the one that leads is removed, and those left go on without an election', async () => {
    await client.admin.removeMember(leader)
    const range = must((await nodes.client(...others).admin.status()).ranges[0])
    expect(others).toContain(range.leader)
    expect(range.replicas.map(replica => replica.node).sort()).toEqual(others)
    await nodes.client(...others).put('still', 'written')
  })

  it('say whom they know when an unknown node is removed or promoted', async () => {
    const removed = await refusal(client.admin.removeMember('n9'))
    expect(removed.code).toBe('not-found')
    expect(removed.message).toContain('n1, n2, n3')
    expect((await refusal(client.admin.promoteMember('n9'))).code).toBe('not-found')
  })

  it('go down to one, which cannot be removed', async () => {
    const [first, second] = others as [string, string]
    await client.admin.removeMember(first)
    await client.admin.removeMember(second)
    const error = await refusal(client.admin.removeMember(leader))
    expect(error.message).toBe(`${leader} is the only voter: add and promote another first`)
    await client.put('still', 'written')
  })
})

it('a learner that is down is not promoted, and the answer says so', async () => {
  await using nodes = await LocalNodes.start({ size: 2, flags: { voters: '1' } })
  const client = nodes.client('n1')
  await client.admin.init()
  await until('n2 learns', async () => {
    const replicas = (await client.admin.status()).ranges[0]?.replicas ?? []
    return replicas.some(replica => replica.node === 'n2' && replica.role === 'learner' && replica.reachable)
  })
  await nodes.stopNode('n2')
  await expect(client.admin.promoteMember('n2')).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('n2 cannot vote yet: it does not answer. Start it again'),
  })
  await client.put('still', 'written')
})
