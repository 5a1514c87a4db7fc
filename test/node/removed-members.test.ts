// A node that an operator removed is told so when it asks, ends with a code of its own, and comes back only after `member add`
// or with an empty data directory; whatever way it learns of it, and whatever flags it has.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { exitCodes } from '../../src/cli/io.ts'
import type { Client } from '../../src/client/client.ts'
import type { RunningNode } from '../../src/node.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until, within } from '../support/until.ts'

const endsWithinMs = 20_000
const withoutJoin = { join: [] }

describe('a removed node', () => {
  let nodes: LocalNodes
  let client: Client
  let leader: string
  let others: string[]

  beforeEach(async () => {
    nodes = await LocalNodes.cluster({ size: 3, flags: { 'election-timeout': '300', heartbeat: '60' } })
    client = nodes.client()
    leader = must((await client.admin.status()).ranges[0]).leader
    others = nodes.names.filter(name => name !== leader)
  })
  afterEach(() => nodes[Symbol.asyncDispose]())

  const members = async (asked: Client = client): Promise<string[]> =>
    must((await asked.admin.status()).ranges[0])
      .replicas.map(replica => replica.node)
      .sort()

  /** It ends by itself, says why, and has changed nothing. */
  const endsRemoved = async (name: string, node: RunningNode): Promise<void> => {
    const asked = nodes.client(...nodes.names.filter(other => other !== name))
    const term = must((await asked.admin.status()).ranges[0]).term
    const end = await within(`${name} ends`, endsWithinMs, node.done)
    expect(end.code).toBe(exitCodes.removed)
    expect(end.reason).toMatch(
      new RegExp(`^store [0-9a-f]{32} of ${name} was removed from this cluster by an operator`),
    )
    expect(end.reason).toContain(`\`quorate member add ${name}\``)
    const after = must((await asked.admin.status()).ranges[0])
    expect(after.replicas.map(replica => replica.node)).not.toContain(name)
    expect(after.term).toBe(term)
    await nodes.stopNode(name)
  }

  it('that is up ends, stays out when it is started again, and comes back after `member add`', async () => {
    const [gone] = others as [string, string]
    const running = nodes.running(gone)
    const { removal } = await client.admin.removeMember(gone)
    expect(removal).toMatchObject({ node: gone, appliedBy: 2, voters: 2, mayBeTakenAway: true })
    await endsRemoved(gone, running)
    await endsRemoved(gone, await nodes.startNode(gone))
    await endsRemoved(gone, await nodes.startNode(gone, withoutJoin))
    expect((await client.admin.addMember(gone)).readmitted).toBe(true)
    await nodes.startNode(gone, withoutJoin)
    await nodes.allVote()
    expect((await client.admin.addMember(gone)).readmitted).toBe(false)
  }, 60_000)

  it('that was down when it was removed is told when it comes up, and comes back after `member add`', async () => {
    const [gone, other] = others as [string, string]
    await nodes.stopNode(gone)
    await client.admin.removeMember(gone)
    await endsRemoved(gone, await nodes.startNode(gone, withoutJoin))
    await endsRemoved(gone, await nodes.startNode(gone))
    await nodes.client(leader, other).put('still', 'written')
    await client.admin.addMember(gone)
    await nodes.startNode(gone, withoutJoin)
    await nodes.allVote()
    expect(Buffer.from(must(await nodes.client(gone).get('still'))).toString()).toBe('written')
  }, 60_000)

  it('that was down, was removed and let in again meanwhile, comes back by itself', async () => {
    const [gone] = others as [string, string]
    await nodes.stopNode(gone)
    await client.admin.removeMember(gone)
    await client.admin.addMember(gone)
    await nodes.startNode(gone, withoutJoin)
    await nodes.allVote()
  }, 60_000)

  it('that led ends, and is no member after its restart', async () => {
    const running = nodes.running(leader)
    await client.admin.removeMember(leader)
    await endsRemoved(leader, running)
    await endsRemoved(leader, await nodes.startNode(leader))
    expect(await members()).toEqual(others)
  }, 60_000)

  it('joins as a new store once its data directory is empty', async () => {
    const [gone] = others as [string, string]
    const running = nodes.running(gone)
    await client.admin.removeMember(gone)
    await endsRemoved(gone, running)
    nodes.wipe(gone)
    await nodes.startNode(gone)
    await nodes.allVote()
  }, 60_000)

  it('stays out after all of the cluster was restarted, too', async () => {
    const [gone, other] = others as [string, string]
    const running = nodes.running(gone)
    await client.admin.removeMember(gone)
    await endsRemoved(gone, running)
    for (const name of [leader, other]) await nodes.stopNode(name)
    for (const name of [leader, other]) await nodes.startNode(name)
    await until('the two go on', () =>
      nodes
        .client(leader, other)
        .put('still', 'written')
        .then(() => true),
    )
    await endsRemoved(gone, await nodes.startNode(gone))
  }, 60_000)
})

it('a whole minority that was removed stays out', async () => {
  await using nodes = await LocalNodes.cluster({ size: 5, flags: { 'election-timeout': '300', heartbeat: '60' } })
  const client = nodes.client('n1', 'n2', 'n3')
  for (const gone of ['n4', 'n5']) await nodes.stopNode(gone)
  for (const gone of ['n4', 'n5']) await client.admin.removeMember(gone)
  const restarted = await Promise.all(['n4', 'n5'].map(name => nodes.startNode(name)))
  for (const node of restarted) expect((await within('it ends', endsWithinMs, node.done)).code).toBe(exitCodes.removed)
  const range = must((await client.admin.status()).ranges[0])
  expect(range.replicas.map(replica => replica.node).sort()).toEqual(['n1', 'n2', 'n3'])
  await client.put('still', 'written')
}, 60_000)
