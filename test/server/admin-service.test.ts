import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { adminService } from '../../src/server/admin-service.ts'
import { fakeClusterId } from '../support/fake-cluster.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { TestClient, failureOf } from '../support/grpc-client.ts'

async function start(names: readonly string[] = ['n1', 'n2', 'n3'], at = 'n1') {
  const fake = await startFakeServer({}, names, at)
  const client = new TestClient(fake.port)
  return {
    ...fake,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await fake.server.close(0)
    },
  }
}

describe('status', () => {
  it("has each replica's own applied index and hash, and says who did not answer", async () => {
    await using node = await start()
    const { peers, gateway } = node.node
    await gateway.put({ op: { key: Buffer.from('a') } })
    peers.deaf.add('n3')
    const response = await node.client.unary(adminService.Status, {})
    const [range] = response.ranges ?? []
    expect(range).toMatchObject({ id: 1, leader: 'n1', commit: 1 })
    const replicas = range?.replicas?.map(({ node: id, reachable, applied, hash }) => ({
      id,
      reachable,
      applied,
      hash,
    }))
    expect(replicas).toEqual([
      { id: 'n1', reachable: true, applied: 1, hash: '1' },
      { id: 'n2', reachable: true, applied: 1, hash: '1' },
      { id: 'n3', reachable: false, applied: 0, hash: '' },
    ])
    expect(Buffer.from(response.clusterId ?? []).toString('hex')).toBe(fakeClusterId)
  })

  it('asks nobody else when only the local view is wanted', async () => {
    await using node = await start()
    const response = await node.client.unary(adminService.Status, { local: true })
    expect(response.ranges?.[0]?.replicas?.map(replica => replica.reachable)).toEqual([true, false, false])
  })

  it('takes the view of the highest term: a node that was cut off knows less', async () => {
    await using node = await start(['n1', 'n2'])
    node.node.store.status = () => [
      { id: 1, term: 1, leader: 'n1', commit: 3, replicas: [{ node: 'n1' }, { node: 'n2' }] },
    ]
    node.cluster.at('n2').store.status = () => [
      { id: 1, term: 2, leader: 'n2', commit: 9, applied: 9, replicas: [{ node: 'n1' }, { node: 'n2' }] },
    ]
    const response = await node.client.unary(adminService.Status, {})
    expect(response.ranges).toHaveLength(1)
    expect(response.ranges?.[0]).toMatchObject({ term: 2, leader: 'n2', commit: 9 })
    expect(response.ranges?.[0]?.replicas?.map(replica => replica.reachable)).toEqual([true, true])
  })
})

describe('nodes', () => {
  it('are discovered from any node, before there is a cluster, too', async () => {
    await using node = await start()
    const found = await node.client.unary(adminService.Nodes, {})
    expect(found.nodes?.map(each => [each.record?.id, each.record?.clientAddress, each.live])).toEqual([
      ['n1', 'n1.example:7101', true],
      ['n2', 'n2.example:7101', true],
      ['n3', 'n3.example:7101', true],
    ])
    node.node.view.id = undefined
    expect((await node.client.unary(adminService.Nodes, {})).clusterId).toHaveLength(0)
  })
})

describe('init', () => {
  it('makes a cluster once', async () => {
    await using node = await start()
    node.node.view.id = undefined
    const made = await node.client.unary(adminService.Init, {})
    expect([Buffer.from(made.clusterId ?? []).toString('hex'), made.node]).toEqual([fakeClusterId, 'n1'])
    const again = await failureOf(node.client.unary(adminService.Init, {}))
    expect([again.code, again.typed?.code]).toEqual([status.ALREADY_EXISTS, 'already-initialised'])
  })
})

describe('members and leadership', () => {
  it('change at the leader', async () => {
    await using node = await start()
    const { store } = node.node
    const added = await node.client.unary(adminService.MemberAdd, { node: 'n4', peerAddress: '127.0.0.1:7204' })
    expect(added.replicas).toHaveLength(3)
    await node.client.unary(adminService.MemberPromote, { node: 'n4' })
    await node.client.unary(adminService.MemberRemove, { node: 'n4' })
    const moved = await node.client.unary(adminService.TransferLeader, { node: 'n2' })
    expect(moved.leader).toBe('n1')
    expect(store.adminCalls).toEqual([
      { add: { id: 'n4', peerAddress: '127.0.0.1:7204' } },
      { promote: 'n4' },
      { remove: 'n4' },
      { transfer: 1, node: 'n2' },
    ])
  })

  it('are refused elsewhere with the address of the leader', async () => {
    await using node = await start()
    node.cluster.state.leader = asNodeId('n2')
    const refused = await failureOf(node.client.unary(adminService.MemberPromote, { node: 'n3' }))
    expect(refused.typed).toMatchObject({ code: 'not-leader', leader: 'n2', leaderAddress: 'n2.example:7101' })
  })

  it.each([
    [{ kind: 'conflict', message: 'another change is under way' }, 'conflict', status.FAILED_PRECONDITION],
    [{ kind: 'not-found', message: 'no such member' }, 'not-found', status.NOT_FOUND],
    [{ kind: 'draining' }, 'draining', status.UNAVAILABLE],
  ] as const)('pass on %j', async (answer, code, grpcStatus) => {
    await using node = await start()
    node.node.store.adminAnswer = answer
    const refused = await failureOf(node.client.unary(adminService.MemberRemove, { node: 'n3' }))
    expect([refused.typed?.code, refused.code]).toEqual([code, grpcStatus])
  })

  it('of names that are none are refused', async () => {
    await using node = await start()
    for (const name of ['', 'N1', 'a b', 'x'.repeat(64)]) {
      const refused = await failureOf(node.client.unary(adminService.MemberPromote, { node: name }))
      expect(refused.typed?.code).toBe('invalid-argument')
    }
    const stranger = await failureOf(node.client.unary(adminService.MemberAdd, { node: 'n9' }))
    expect(stranger.typed?.message).toContain('--join')
  })
})
