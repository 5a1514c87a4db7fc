// Who is in the range: nodes join as learners, and are promoted once they have caught up, until `votersTarget` vote. Only
// the leader acts, one change at a time (the core refuses a second), and every step may be repeated.
//
// Invariant: no change is proposed that would leave the range to voters of whom no majority lives (change-rules.ts), judged in
// the tick in which it is proposed, by who has answered this leader since the change was asked for.

import { type NodeId, type ReplicaId, systemKeyspace } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { ConfigurationChange, ConfigurationStep } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import { timestampZero } from '../time/timestamp.ts'
import { changeRefusal } from './change-rules.ts'
import { ConditionWaiters } from './condition-waiters.ts'
import { type ReplicaDescriptor, encodeReplica } from './descriptor.ts'
import type { AdminAnswer, ExpectedRecord } from './local-store.ts'
import { registryKey, storeIdOf } from './node-registry.ts'
import type { Replica } from './replica.ts'

const registryWriteMs = 2_000
/** A change that nobody asked for rests on whoever answered in the last few ticks: with the next tick it would be tried again. */
const automaticHeardTicks = 3

export interface MembershipOptions {
  readonly clock: Clock
  readonly votersTarget: number
  readonly promoteLagEntries: number
  /** How long those who matter have to answer before a change is refused. */
  readonly electionTimeoutMs: number
  /** By the registry, as applied here. */
  readonly isRegistered: (node: NodeId) => boolean
  /** Resolves once another leads. */
  readonly handOver: (replica: Replica) => Promise<AdminAnswer>
}

export class Membership {
  readonly #options: MembershipOptions
  #isBusy = false
  #ticks = 0
  readonly #waiters = new ConditionWaiters()

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** The node is in the registry and at least a learner when this answers `done`. A wiped node's former self goes first. */
  async add(replica: Replica, record: quorate.v1.INodeRecord, expected?: ExpectedRecord): Promise<AdminAnswer> {
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
      const value = quorate.v1.NodeRecord.encode(record).finish()
      const written = await this.#writeRegistry(replica, node as NodeId, value, expected)
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

  /** `isAsked`: by an operator. */
  async promote(replica: Replica, node: NodeId, isAsked = true): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target === undefined) return this.#notFound(replica, node)
      if (replica.status().configuration.voters.includes(target.replicaId)) return { kind: 'done' }
      const step = { kind: 'add-voter', replica: target.replicaId } as const
      return (await this.#change(replica, [step], noContext, isAsked)) ?? { kind: 'done' }
    })
  }

  async remove(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target === undefined) {
        if (!this.#options.isRegistered(node)) return this.#notFound(replica, node)
        const refused = await this.#writeRegistry(replica, node, undefined)
        if (refused !== undefined) return refused
        return replica.descriptor.replicas.some(item => item.node === node) ? inherited(node) : { kind: 'done' }
      }
      const voters = replica.status().configuration.voters
      if (voters.length === 1 && voters[0] === target.replicaId)
        return { kind: 'conflict', message: `${node} is the only voter: add and promote another first` }
      const step = { kind: 'remove', replica: target.replicaId } as const
      if (target.replicaId === replica.replicaId) return this.#handOverFirst(replica, step)
      const refused = await this.#change(replica, [step])
      if (refused !== undefined) return refused
      // Only now: nobody dials who is not in the registry, and until it was out its vote may have been needed.
      return (await this.#writeRegistry(replica, node, undefined)) ?? { kind: 'done' }
    })
  }

  /** Whoever leads next removes this node: were it to go while it leads, nobody would lead until an election. */
  async #handOverFirst(replica: Replica, step: ConfigurationStep): Promise<AdminAnswer> {
    const judge = await this.#hearAll(replica, changeOf([step], noContext), true)
    const refused = judge()
    if (refused !== undefined) return refused
    const handed = await this.#options.handOver(replica)
    if (handed.kind === 'done') return { kind: 'not-leader', leader: replica.leaderNode }
    const why = 'message' in handed ? handed.message : handed.kind
    return {
      kind: 'conflict',
      message: `${replica.leaderNode ?? 'the node'} leads and could not hand over first: ${why}`,
    }
  }

  #notFound(replica: Replica, node: NodeId): AdminAnswer {
    const members = replica.descriptor.replicas.map(item => item.node).join(', ')
    return { kind: 'not-found', message: `no node ${node} has a replica of range ${replica.rangeId}: ${members} have` }
  }

  /** The node ends: whoever waits is answered. */
  close(): void {
    this.#waiters.close()
  }

  /** Called every tick, after the replicas' own. */
  tick(replicas: readonly Replica[]): void {
    this.#ticks++
    this.#waiters.expire(this.#options.clock.monotonicMs())
    for (const replica of replicas) this.#maybePromote(replica)
  }

  /** Promotes one learner that has caught up, while fewer than the target vote. */
  #maybePromote(replica: Replica): void {
    if (!replica.isLeader || this.#isBusy) return
    const status = replica.status()
    const { voters, votersOutgoing, learners } = status.configuration
    if (votersOutgoing.length > 0 || voters.length >= this.#options.votersTarget) return
    const ready = learners.find(
      learner =>
        changeRefusal(
          status,
          changeOf([{ kind: 'add-voter', replica: learner }], noContext),
          this.#rules(replica, automaticHeardTicks),
        ) === undefined,
    )
    const node = ready === undefined ? undefined : replica.nodeOf(ready)
    if (node !== undefined) void this.promote(replica, node, false)
  }

  #rules(replica: Replica, heardWithinTicks: number) {
    return {
      heardWithinTicks,
      lagMax: this.#options.promoteLagEntries,
      nameOf: (id: ReplicaId): string => replica.nodeOf(id) ?? `replica ${id}`,
    }
  }

  async #alone(replica: Replica, work: () => Promise<AdminAnswer>): Promise<AdminAnswer> {
    const { clock, electionTimeoutMs } = this.#options
    if (!replica.isLeader) return { kind: 'not-leader', leader: replica.leaderNode }
    await this.#waiters.wait(() => !this.#isBusy, clock.monotonicMs() + electionTimeoutMs)
    if (this.#isBusy) return { kind: 'conflict', message: 'another membership change is under way; try again shortly' }
    this.#isBusy = true
    try {
      return await work()
    } finally {
      this.#isBusy = false
    }
  }

  /**
   * Resolves once all whom the change rests on have answered, at the latest after an election timeout, with how to judge it then.
   * Whoever died a moment ago has not answered since the change was asked for, however recently before.
   */
  async #hearAll(
    replica: Replica,
    change: ConfigurationChange,
    isAsked: boolean,
  ): Promise<() => AdminAnswer | undefined> {
    const { clock, electionTimeoutMs } = this.#options
    const sinceTicks = isAsked ? this.#ticks : this.#ticks - automaticHeardTicks
    const judge = (): AdminAnswer | undefined => {
      if (!replica.isLeader) return { kind: 'not-leader', leader: replica.leaderNode }
      const message = changeRefusal(replica.status(), change, this.#rules(replica, this.#ticks - sinceTicks))
      return message === undefined ? undefined : { kind: 'conflict', message }
    }
    const isSettled = (): boolean => judge()?.kind !== 'conflict'
    await this.#waiters.wait(isSettled, clock.monotonicMs() + electionTimeoutMs)
    return judge
  }

  async #change(
    replica: Replica,
    steps: readonly ConfigurationStep[],
    context: Uint8Array = noContext,
    isAsked = true,
  ): Promise<AdminAnswer | undefined> {
    const change = changeOf(steps, context)
    const judge = await this.#hearAll(replica, change, isAsked)
    const refused = judge()
    if (refused !== undefined) return refused
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
    expected?: ExpectedRecord,
  ): Promise<AdminAnswer | undefined> {
    const key = registryKey(node)
    const change = value === undefined ? { delete: { key } } : { put: { key, value } }
    // Judged when it is applied: another leader may have recorded something else meanwhile.
    const compare = expected?.stored === undefined ? { key, absent: true } : { key, value: expected.stored }
    const writes = quorate.v1.WriteBatch.encode({
      keyspace: systemKeyspace,
      writes: [expected === undefined ? change : { commit: { compares: [compare], then: [change] } }],
    }).finish()
    const deadlineMs = this.#options.clock.monotonicMs() + registryWriteMs
    const answer = await replica.write(
      { rangeId: replica.rangeId, generation: 0, clock: timestampZero, writes, deadlineMs },
      true,
    )
    if (answer.kind === 'done')
      return answer.outcomes[0]?.kind === quorate.v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED
        ? { kind: 'conflict', message: `the record of ${node} has changed meanwhile; ask again` }
        : undefined
    if (answer.kind === 'unknown-outcome')
      return { kind: 'unavailable', message: 'the registry write was not confirmed in time; try again' }
    return answer
  }
}

const noContext = new Uint8Array(0)

function changeOf(steps: readonly ConfigurationStep[], context: Uint8Array): ConfigurationChange {
  return { steps, joint: 'auto-if-needed', context }
}

/**
 * A new leader may judge by a descriptor that lacks what its predecessor proposed; its first write of its own applies that too.
 * Whoever asks again is judged by it.
 */
function inherited(node: string): AdminAnswer {
  return { kind: 'conflict', message: `an earlier leader was adding ${node}, and has; try again` }
}
