// Membership judges by the descriptor as applied. A new leader has not applied all that its predecessor proposed.

import { expect, test } from 'vitest'
import { asNodeId, asRangeId, asReplicaId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { RaftStatus } from '../../src/raft/types.ts'
import { type RangeDescriptor, type ReplicaDescriptor, decodeReplicaBytes } from '../../src/range/descriptor.ts'
import { Membership, type MembershipOptions } from '../../src/range/membership.ts'
import { storeIdOf } from '../../src/range/node-registry.ts'
import type { Replica } from '../../src/range/replica.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { timestampZero } from '../../src/time/timestamp.ts'

const options: MembershipOptions = {
  clock: systemClock,
  votersTarget: 5,
  promoteLagEntries: 10,
  electionTimeoutMs: 50,
  isRegistered: () => true,
  handOver: async () => ({ kind: 'done' }),
}
const n2 = asNodeId('n2')
const formerSelf = quorate.v1.NodeRecord.create({ id: 'n2', storeId: Buffer.alloc(16, 0xaa) })
const itself = quorate.v1.NodeRecord.create({ id: 'n2', storeId: Buffer.alloc(16, 0xbb) })

test('a learner that an earlier leader was adding under the same name is not taken for the node that asks', async () => {
  const leader = new LeaderWithInheritance(formerSelf)
  const membership = new Membership(options)
  expect(await membership.add(leader.replica, itself)).toMatchObject({ kind: 'conflict' })
  expect(await membership.add(leader.replica, itself)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
})

test('an addition that an earlier leader had under way is done when it is asked for again', async () => {
  const leader = new LeaderWithInheritance(itself)
  expect(await new Membership(options).add(leader.replica, itself)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([storeIdOf(itself)])
})

test('a node that an earlier leader was adding is not said to be removed before it is', async () => {
  const leader = new LeaderWithInheritance(itself)
  const membership = new Membership(options)
  expect(await membership.remove(leader.replica, n2)).toMatchObject({ kind: 'conflict' })
  expect(await membership.remove(leader.replica, n2)).toEqual({ kind: 'done' })
  expect(leader.stores).toEqual([])
})

/** Leads alone, with the addition of a learner in its log that only its first write applies. */
class LeaderWithInheritance {
  readonly replica: Replica
  #replicas: readonly ReplicaDescriptor[] = []

  constructor(inherited: quorate.v1.INodeRecord) {
    const learner = { replicaId: asReplicaId(2), node: n2, storeId: storeIdOf(inherited) }
    let isApplied = false
    const descriptorOf = (): Pick<RangeDescriptor, 'replicas' | 'nextReplicaId'> => ({
      replicas: this.#replicas,
      nextReplicaId: asReplicaId(3),
    })
    const configuration = {
      voters: [asReplicaId(1)],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    }
    const status: Partial<RaftStatus> = { id: asReplicaId(1), configuration, progress: [] }
    const replica: Partial<Replica> = {
      isLeader: true,
      rangeId: asRangeId(1),
      status: () => status as RaftStatus,
      write: async () => {
        if (!isApplied) this.#replicas = [learner]
        isApplied = true
        return { kind: 'done', outcomes: [], clock: timestampZero }
      },
      proposeConfiguration: async ({ steps, context }) => {
        const removed = steps.flatMap(step => (step.kind === 'remove' ? [step.replica] : []))
        const kept = this.#replicas.filter(item => !removed.includes(item.replicaId))
        this.#replicas = context.length > 0 ? [...kept, decodeReplicaBytes(context)] : kept
        return true
      },
    }
    Object.defineProperty(replica, 'descriptor', { get: descriptorOf })
    this.replica = replica as Replica
  }

  get stores(): readonly string[] {
    return this.#replicas.map(item => item.storeId)
  }
}
