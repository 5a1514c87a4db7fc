// Membership judges by the descriptor and the registry as applied. Another leader may have changed both in between.

import { expect, test } from 'vitest'
import { asNodeId, asRangeId, asReplicaId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { RaftStatus } from '../../src/raft/types.ts'
import { type RangeDescriptor, decodeChangeContext } from '../../src/range/descriptor.ts'
import { Membership } from '../../src/range/membership.ts'
import { NodeRegistry, registryKey, storeIdOf } from '../../src/range/node-registry.ts'
import type { RemovedStore } from '../../src/range/removed-stores.ts'
import type { Replica } from '../../src/range/replica.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { timestampZero } from '../../src/time/timestamp.ts'

const n2 = asNodeId('n2')
const formerSelf = quorate.v1.NodeRecord.create({ id: 'n2', storeId: Buffer.alloc(16, 0xaa) })
const itself = quorate.v1.NodeRecord.create({ id: 'n2', storeId: Buffer.alloc(16, 0xbb) })

test('a learner that another leader was adding under the same name is not taken for the node that asks', async () => {
  const leader = new FakeLeader(formerSelf)
  const { membership } = leader
  expect(await membership.add(leader.replica, itself)).toMatchObject({ kind: 'conflict' })
  expect(await membership.add(leader.replica, itself)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
})

test('an addition that another leader had under way is done when it is asked for again', async () => {
  const leader = new FakeLeader(itself)
  expect(await leader.membership.add(leader.replica, itself)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
})

test('a node that another leader was adding is not said to be removed before it is', async () => {
  const leader = new FakeLeader(itself)
  leader.registry.applied(registryKey(n2), quorate.v1.NodeRecord.encode(itself).finish())
  const { membership } = leader
  expect(await membership.remove(leader.replica, n2)).toMatchObject({ kind: 'conflict' })
  expect(await membership.remove(leader.replica, n2)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([])
})

test('a store that was removed stays out until it is let back in, however often either is asked for', async () => {
  const leader = new FakeLeader()
  const { membership, replica } = leader
  expect(await membership.readmit(replica, n2)).toMatchObject({ kind: 'not-found' })
  expect(await membership.add(replica, itself)).toEqual({ kind: 'done' })
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  expect(leader.registry.records()).toEqual([])
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  const refused = await membership.add(replica, itself)
  expect(refused).toMatchObject({ kind: 'removed' })
  expect(refused).toMatchObject({ message: expect.stringContaining(`store ${storeIdOf(itself)} of n2 was removed`) })
  expect(refused).toMatchObject({ message: expect.stringContaining('`quorate member add n2`') })
  expect(await membership.readmit(replica, n2)).toEqual({ kind: 'done' })
  expect(await membership.readmit(replica, n2)).toEqual({ kind: 'done' })
  expect(await membership.add(replica, itself)).toEqual({ kind: 'done' })
  expect(await membership.readmit(replica, n2)).toMatchObject({ kind: 'not-found' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  expect(await membership.add(replica, itself)).toMatchObject({ kind: 'removed' })
})

test('a removal that waited for its turn does not remove who joined under the name meanwhile', async () => {
  const leader = new FakeLeader()
  const { membership, replica } = leader
  expect(await membership.add(replica, formerSelf)).toEqual({ kind: 'done' })
  const joining = membership.add(replica, itself)
  // It has its turn by then.
  await Promise.resolve()
  const removal = membership.remove(replica, n2)
  expect(await joining).toEqual({ kind: 'done' })
  membership.tick([])
  expect(await removal).toMatchObject({ kind: 'conflict', message: expect.stringContaining('ask again') })
  expect(leader.stores).toEqual([storeIdOf(itself)])
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([])
})

test('a node with another store is somebody else than the one that was removed', async () => {
  const leader = new FakeLeader()
  const { membership, replica } = leader
  await membership.add(replica, formerSelf)
  await membership.remove(replica, n2)
  expect(await membership.add(replica, itself)).toEqual({ kind: 'done' })
  expect(await membership.add(replica, formerSelf)).toMatchObject({ kind: 'removed' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
})

test('a removal whose leader was lost before it was written down is written down by whoever leads next', async () => {
  const leader = new FakeLeader()
  const { membership, replica, registry } = leader
  await membership.add(replica, itself)
  leader.losesWrites = true
  expect(await membership.remove(replica, n2)).toMatchObject({ kind: 'unavailable' })
  leader.losesWrites = false
  const next = new Membership(leader.options)
  expect(registry.removed(storeIdOf(itself))).toBeUndefined()
  expect(await next.add(replica, itself)).toMatchObject({ kind: 'removed' })
  expect(registry.removed(storeIdOf(itself))).toMatchObject({ node: 'n2', replicaId: 3, readmitted: false })
})

test('a store that was let back in and has not come yet is removed again', async () => {
  const leader = new FakeLeader()
  const { membership, replica } = leader
  await membership.add(replica, itself)
  await membership.remove(replica, n2)
  await membership.readmit(replica, n2)
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  expect(await membership.add(replica, itself)).toMatchObject({ kind: 'removed' })
})

test('a registered node without a replica is removed as well, and an unknown one is not', async () => {
  const leader = new FakeLeader()
  const { membership, replica, registry } = leader
  registry.applied(registryKey(n2), quorate.v1.NodeRecord.encode(itself).finish())
  expect(await membership.remove(replica, n2)).toEqual({ kind: 'done' })
  expect(await membership.add(replica, itself)).toMatchObject({ kind: 'removed' })
  expect(await membership.remove(replica, asNodeId('n9'))).toMatchObject({ kind: 'not-found' })
})

/** Leads alone. With `inherited`, the addition of that learner is in its log, and only its first write applies it. */
class FakeLeader {
  readonly replica: Replica
  readonly registry = new NodeRegistry(() => {})
  readonly options = {
    clock: systemClock,
    votersTarget: 5,
    promoteLagEntries: 10,
    electionTimeoutMs: 50,
    registry: this.registry,
    handOver: async () => ({ kind: 'done' }) as const,
  }
  readonly membership = new Membership(this.options)
  losesWrites = false
  #replicas: RangeDescriptor['replicas'] = []
  #removed: RemovedStore | undefined
  #nextReplicaId = 3

  constructor(inherited?: quorate.v1.INodeRecord) {
    let learner = inherited && { replicaId: asReplicaId(2), node: n2, storeId: storeIdOf(inherited) }
    const descriptorOf = (): Pick<RangeDescriptor, 'replicas' | 'nextReplicaId' | 'removed'> => ({
      replicas: this.#replicas,
      nextReplicaId: asReplicaId(this.#nextReplicaId),
      removed: this.#removed,
    })
    const configuration = {
      voters: [asReplicaId(1)],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    }
    const status: Partial<RaftStatus> = { id: asReplicaId(1), configuration, progress: [] }
    const reads: Pick<Replica['reads'], 'wait'> = { wait: async () => ({ kind: 'ready', index: 1 as never }) }
    const replica: Partial<Replica> = {
      isLeader: true,
      rangeId: asRangeId(1),
      reads: reads as Replica['reads'],
      schedule: () => {},
      status: () => status as RaftStatus,
      write: async ({ writes }) => {
        if (this.losesWrites) return { kind: 'unknown-outcome' }
        if (learner !== undefined) this.#replicas = [learner]
        learner = undefined
        for (const write of quorate.v1.WriteBatch.decode(writes).writes) this.#apply(write)
        return { kind: 'done', outcomes: [], clock: timestampZero }
      },
      proposeConfiguration: async ({ steps, context }) => {
        const gone = steps.flatMap(step => (step.kind === 'remove' ? [step.replica] : []))
        const kept = this.#replicas.filter(item => !gone.includes(item.replicaId))
        const { incoming, removed } = decodeChangeContext(context)
        this.#replicas = incoming === undefined ? kept : [...kept, incoming]
        if (incoming !== undefined) this.#nextReplicaId = incoming.replicaId + 1
        this.#removed = removed ?? this.#removed
        return true
      },
    }
    Object.defineProperty(replica, 'descriptor', { get: descriptorOf })
    this.replica = replica as Replica
  }

  get stores(): readonly string[] {
    return this.#replicas.map(item => item.storeId)
  }

  #apply(write: quorate.v1.IWrite): void {
    if (write.put) this.registry.applied(write.put.key ?? new Uint8Array(0), write.put.value ?? undefined)
    if (write.delete) this.registry.applied(write.delete.key ?? new Uint8Array(0), undefined)
  }
}
