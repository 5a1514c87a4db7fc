// Who is in the range: nodes join as learners, and are promoted once they have caught up, until `votersTarget` vote. Only
// the leader acts, one change at a time (the core refuses a second), and every step may be repeated.

import { type NodeId, systemKeyspace } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { ConfigurationChange, ConfigurationStep } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import { timestampZero } from '../time/timestamp.ts'
import { type ReplicaDescriptor, encodeReplica } from './descriptor.ts'
import type { AdminAnswer } from './local-store.ts'
import { registryKey, storeIdOf } from './node-registry.ts'
import type { Replica } from './replica.ts'

/** A learner this close to the end of the log is worth a vote: less than one round behind under load. */
const promoteLagMax = 1_024
const registryWriteMs = 2_000

export interface MembershipOptions {
  readonly clock: Clock
  readonly votersTarget: number
  /** By the registry, as applied here. */
  readonly isRegistered: (node: NodeId) => boolean
}

export class Membership {
  readonly #options: MembershipOptions
  /** Learners that an operator added while enough voted stay learners until promoted by hand. */
  #isBusy = false

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** The node is in the registry and at least a learner when this answers `done`. A wiped node's former self goes first. */
  async add(replica: Replica, record: quorate.v1.INodeRecord): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const node = record.id ?? ''
      const storeId = storeIdOf(record)
      if (storeId === '')
        return replica.descriptor.replicas.some(item => item.node === node)
          ? { kind: 'done' }
          : {
              kind: 'not-found',
              message: `no node ${node} has asked to join: start it with --join and the peer address of a member, and it is added by itself`,
            }
      const former = replica.descriptor.replicas.filter(item => item.node === node && item.storeId !== storeId)
      for (const item of former) {
        const refused = await this.#change(replica, [{ kind: 'remove', replica: item.replicaId }])
        if (refused !== undefined) return refused
      }
      const written = await this.#writeRegistry(replica, node as NodeId, quorate.v1.NodeRecord.encode(record).finish())
      if (written !== undefined) return written
      const present = replica.descriptor.replicas.find(item => item.node === node)
      if (present?.storeId === storeId) return { kind: 'done' }
      if (present !== undefined) return inherited(node)
      const incoming: ReplicaDescriptor = {
        replicaId: replica.descriptor.nextReplicaId,
        node: node as NodeId,
        storeId,
      }
      return (
        (await this.#change(
          replica,
          [{ kind: 'add-learner', replica: incoming.replicaId }],
          encodeReplica(incoming),
        )) ?? {
          kind: 'done',
        }
      )
    })
  }

  async promote(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target === undefined)
        return { kind: 'not-found', message: `no replica of range ${replica.rangeId} on node ${node}` }
      const status = replica.status()
      if (status.configuration.voters.includes(target.replicaId)) return { kind: 'done' }
      const progress = status.progress.find(item => item.replica === target.replicaId)
      if (progress === undefined || progress.match + promoteLagMax < status.lastIndex)
        return {
          kind: 'conflict',
          message: `${node} has not caught up yet (at ${progress?.match ?? 0} of ${status.lastIndex}); try again shortly`,
        }
      return (await this.#change(replica, [{ kind: 'add-voter', replica: target.replicaId }])) ?? { kind: 'done' }
    })
  }

  async remove(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target === undefined) {
        if (!this.#options.isRegistered(node))
          return { kind: 'not-found', message: `no replica of range ${replica.rangeId} on node ${node}` }
        const refused = await this.#writeRegistry(replica, node, undefined)
        if (refused !== undefined) return refused
        return replica.descriptor.replicas.some(item => item.node === node) ? inherited(node) : { kind: 'done' }
      }
      const voters = replica.status().configuration.voters
      if (voters.length === 1 && voters[0] === target.replicaId)
        return { kind: 'conflict', message: `${node} is the only voter: add and promote another first` }
      const refused = await this.#change(replica, [{ kind: 'remove', replica: target.replicaId }])
      if (refused !== undefined) return refused
      // Only now: nobody dials who is not in the registry, and until it was out its vote may have been needed.
      return (await this.#writeRegistry(replica, node, undefined)) ?? { kind: 'done' }
    })
  }

  /** Called every few ticks: promotes one learner that has caught up, while fewer than the target vote. */
  maybePromote(replica: Replica): void {
    if (!replica.isLeader || this.#isBusy) return
    const status = replica.status()
    const { voters, votersOutgoing, learners } = status.configuration
    if (votersOutgoing.length > 0 || learners.length === 0 || voters.length >= this.#options.votersTarget) return
    const ready = status.progress.find(
      item =>
        item.learner &&
        item.recentActive &&
        item.state === 'replicate' &&
        item.match + promoteLagMax >= status.lastIndex,
    )
    const node = ready === undefined ? undefined : replica.nodeOf(ready.replica)
    if (node !== undefined) void this.promote(replica, node)
  }

  async #alone(replica: Replica, work: () => Promise<AdminAnswer>): Promise<AdminAnswer> {
    if (!replica.isLeader) return { kind: 'not-leader', leader: replica.leaderNode }
    if (this.#isBusy) return { kind: 'conflict', message: 'another membership change is under way; try again shortly' }
    this.#isBusy = true
    try {
      return await work()
    } finally {
      this.#isBusy = false
    }
  }

  async #change(
    replica: Replica,
    steps: readonly ConfigurationStep[],
    context: Uint8Array = new Uint8Array(0),
  ): Promise<AdminAnswer | undefined> {
    const change: ConfigurationChange = { steps, joint: 'auto-if-needed', context }
    const result = await replica.proposeConfiguration(change)
    if (result === true) return undefined
    if (result === false)
      return replica.isLeader
        ? { kind: 'unavailable', message: 'the change was not confirmed in time; look at the status, and try again' }
        : { kind: 'not-leader', leader: replica.leaderNode }
    return { kind: 'conflict', message: `the change was refused: ${result}` }
  }

  async #writeRegistry(
    replica: Replica,
    node: NodeId,
    value: Uint8Array | undefined,
  ): Promise<AdminAnswer | undefined> {
    const key = registryKey(node)
    const writes = quorate.v1.WriteBatch.encode({
      keyspace: systemKeyspace,
      writes: [value === undefined ? { delete: { key } } : { put: { key, value } }],
    }).finish()
    const deadlineMs = this.#options.clock.monotonicMs() + registryWriteMs
    const answer = await replica.write(
      { rangeId: replica.rangeId, generation: 0, clock: timestampZero, writes, deadlineMs },
      true,
    )
    if (answer.kind === 'done') return undefined
    if (answer.kind === 'unknown-outcome')
      return { kind: 'unavailable', message: 'the registry write was not confirmed in time; try again' }
    return answer
  }
}

/**
 * A new leader may judge by a descriptor that lacks what its predecessor proposed; its first write of its own applies that too.
 * Whoever asks again is judged by it.
 */
function inherited(node: string): AdminAnswer {
  return { kind: 'conflict', message: `an earlier leader was adding ${node}, and has; try again` }
}
