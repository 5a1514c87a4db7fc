// Who is in the range: nodes join as learners, and are promoted once they have caught up, until `votersTarget` vote. Only
// the leader acts, one change at a time (the core refuses a second), and every step may be repeated.
//
// Invariants: no change is proposed that would leave the range to voters of whom no majority lives (change-rules.ts), judged in
// the tick in which it is proposed, by who has answered this leader since the change was asked for. And a store that an operator
// removed stays out until an operator lets it in: the entry that removes it says so, and the registry says so for ever, before
// anything else is changed. Whoever judges has applied all that was committed before it was asked.

import { type NodeId, type ReplicaId, type StoreId, asReplicaId, systemKeyspace } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { ConfigurationChange, ConfigurationStep } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import { timestampZero } from '../time/timestamp.ts'
import { changeRefusal } from './change-rules.ts'
import { ConditionWaiters } from './condition-waiters.ts'
import { type ChangeContext, type ReplicaDescriptor, encodeChangeContext } from './descriptor.ts'
import type { AdminAnswer, ExpectedRecord } from './local-store.ts'
import { type NodeRegistry, registryKey, storeIdOf } from './node-registry.ts'
import { type RemovedStore, encodeRemovedStore, removedMessage, removedStoreKey } from './removed-stores.ts'
import type { Replica } from './replica.ts'

const registryWriteMs = 2_000
const catchUpMs = 2_000
/** A change that nobody asked for rests on whoever answered in the last few ticks: with the next tick it would be tried again. */
const automaticHeardTicks = 3

export interface MembershipOptions {
  readonly clock: Clock
  readonly votersTarget: number
  readonly promoteLagEntries: number
  /** How long those who matter have to answer before a change is refused. */
  readonly electionTimeoutMs: number
  /** As applied here. */
  readonly registry: Pick<NodeRegistry, 'record' | 'stored' | 'removed' | 'lastRemoved'>
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

  /**
   * The node is in the registry and at least a learner when this answers `done`. A wiped node's former self goes first. A store that
   * was removed gets `removed`.
   */
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
      const refusedForGood = this.#removedAnswer(storeId)
      if (refusedForGood !== undefined) return refusedForGood
      const former = replica.descriptor.replicas.filter(item => item.node === node && item.storeId !== storeId)
      for (const item of former) {
        const refused = await this.#change(replica, [{ kind: 'remove', replica: item.replicaId }], {})
        if (refused !== undefined) return refused
      }
      const written = await this.#register(replica, record, expected)
      if (written !== undefined) return written
      // Another leader may have removed it in between.
      const removedMeanwhile = this.#removedAnswer(storeId)
      if (removedMeanwhile !== undefined) return removedMeanwhile
      const present = replica.descriptor.replicas.find(item => item.node === node)
      if (present?.storeId === storeId) return { kind: 'done' }
      if (present !== undefined) return inherited(node)
      const incoming: ReplicaDescriptor = {
        replicaId: replica.descriptor.nextReplicaId,
        node: node as NodeId,
        storeId,
      }
      const step = { kind: 'add-learner', replica: incoming.replicaId } as const
      return (await this.#change(replica, [step], { incoming })) ?? { kind: 'done' }
    })
  }

  /** The store of that name that was removed last may join again, as a new replica. `not-found`: none was, or it is back. */
  async readmit(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const removed = this.#options.registry.lastRemoved(node)
      const isMember = replica.descriptor.replicas.some(item => item.node === node)
      if (removed === undefined || isMember)
        return { kind: 'not-found', message: `no store of ${node} was removed, or ${node} is a member again` }
      if (removed.readmitted) return { kind: 'done' }
      const put = {
        key: removedStoreKey(removed.storeId),
        value: encodeRemovedStore({ ...removed, readmitted: true }),
      }
      return (await this.#writeRegistry(replica, [{ put }])) ?? { kind: 'done' }
    })
  }

  #removedAnswer(storeId: StoreId): AdminAnswer | undefined {
    const removed = this.#options.registry.removed(storeId)
    if (removed === undefined || removed.readmitted) return undefined
    return { kind: 'removed', message: removedMessage(removed) }
  }

  /** `isAsked`: by an operator. */
  async promote(replica: Replica, node: NodeId, isAsked = true): Promise<AdminAnswer> {
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target === undefined) return this.#notFound(replica, node)
      if (replica.status().configuration.voters.includes(target.replicaId)) return { kind: 'done' }
      const step = { kind: 'add-voter', replica: target.replicaId } as const
      return (await this.#change(replica, [step], {}, isAsked)) ?? { kind: 'done' }
    })
  }

  async remove(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    // Whoever has the name when it is asked for is meant. While this waits for its turn, that one may go and another join.
    const meant = replica.descriptor.replicas.find(item => item.node === node)
    return this.#alone(replica, async () => {
      const target = replica.descriptor.replicas.find(item => item.node === node)
      if (target !== undefined && target.replicaId !== meant?.replicaId) return joinedMeanwhile(node)
      if (target === undefined) return this.#removeAbsent(replica, node)
      const voters = replica.status().configuration.voters
      if (voters.length === 1 && voters[0] === target.replicaId)
        return { kind: 'conflict', message: `${node} is the only voter: add and promote another first` }
      const step = { kind: 'remove', replica: target.replicaId } as const
      if (target.replicaId === replica.replicaId) return this.#handOverFirst(replica, step)
      const { storeId, replicaId } = target
      const removed = { node, storeId, replicaId, atMs: this.#options.clock.unixMs(), index: 0, readmitted: false }
      const refused = await this.#change(replica, [step], { removed })
      return refused ?? (await this.#settle(replica)) ?? { kind: 'done' }
    })
  }

  /** It has no replica: it was removed before, or was on its way in. */
  async #removeAbsent(replica: Replica, node: NodeId): Promise<AdminAnswer> {
    const { registry, clock } = this.#options
    const record = registry.record(node)
    if (record === undefined) {
      const before = registry.lastRemoved(node)
      if (before === undefined) return this.#notFound(replica, node)
      if (!before.readmitted) return { kind: 'done' }
      // It was let back in, and has not come yet.
      return (await this.#writeRemoval(replica, { ...before, readmitted: false })) ?? { kind: 'done' }
    }
    const storeId = storeIdOf(record)
    const atMs = clock.unixMs()
    const removed = { node, storeId, replicaId: asReplicaId(0), atMs, index: 0, readmitted: false }
    const refused = await this.#writeRemoval(replica, removed)
    if (refused !== undefined) return refused
    return replica.descriptor.replicas.some(item => item.node === node) ? inherited(node) : { kind: 'done' }
  }

  /**
   * The store that the last change removed goes from the registry and is remembered there as removed. Only after the change: nobody
   * dials who is not in the registry, and until it was out its vote may have been needed. Whoever leads by then does it.
   */
  async #settle(replica: Replica): Promise<AdminAnswer | undefined> {
    const { removed } = replica.descriptor
    if (removed === undefined || this.#isSettled(removed)) return undefined
    return this.#writeRemoval(replica, removed)
  }

  #isSettled({ storeId, replicaId }: RemovedStore): boolean {
    return (this.#options.registry.removed(storeId)?.replicaId ?? -1) >= replicaId
  }

  #writeRemoval(replica: Replica, removed: RemovedStore): Promise<AdminAnswer | undefined> {
    const record = this.#options.registry.record(removed.node)
    const isRegistered = record !== undefined && storeIdOf(record) === removed.storeId
    const put = { key: removedStoreKey(removed.storeId), value: encodeRemovedStore(removed) }
    return this.#writeRegistry(replica, [
      ...(isRegistered ? [{ delete: { key: registryKey(removed.node) } }] : []),
      { put },
    ])
  }

  async #register(
    replica: Replica,
    record: quorate.v1.INodeRecord,
    expected: ExpectedRecord | undefined,
  ): Promise<AdminAnswer | undefined> {
    const key = registryKey(record.id as NodeId)
    const value = quorate.v1.NodeRecord.encode(record).finish()
    const stored = this.#options.registry.stored(record.id as NodeId)
    // Whoever asks again because it sees no leader costs no write.
    if (stored !== undefined && Buffer.compare(stored, value) === 0) return undefined
    const put = { put: { key, value } }
    if (expected === undefined) return this.#writeRegistry(replica, [put])
    // Judged when it is applied: another leader may have recorded something else meanwhile.
    const compare = expected.stored === undefined ? { key, absent: true } : { key, value: expected.stored }
    return this.#writeRegistry(replica, [{ commit: { compares: [compare], then: [put] } }])
  }

  /** Whoever leads next removes this node: were it to go while it leads, nobody would lead until an election. */
  async #handOverFirst(replica: Replica, step: ConfigurationStep): Promise<AdminAnswer> {
    const judge = await this.#hearAll(replica, changeOf([step], {}), true)
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
    const members = replica.descriptor.replicas
      .map(item => item.node)
      .sort()
      .join(', ')
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
    for (const replica of replicas) {
      if (!replica.isLeader || this.#isBusy) continue
      const { removed } = replica.descriptor
      // Its leader was lost before it was written down: taking the turn does it.
      if (removed !== undefined && !this.#isSettled(removed)) void this.#alone(replica, async () => ({ kind: 'done' }))
      else this.#maybePromote(replica)
    }
  }

  /** Promotes one learner that has caught up, while fewer than the target vote. */
  #maybePromote(replica: Replica): void {
    const status = replica.status()
    const { voters, votersOutgoing, learners } = status.configuration
    if (votersOutgoing.length > 0 || voters.length >= this.#options.votersTarget) return
    const ready = learners.find(
      learner =>
        changeRefusal(
          status,
          changeOf([{ kind: 'add-voter', replica: learner }], {}),
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
      return (await this.#catchUp(replica)) ?? (await this.#settle(replica)) ?? (await work())
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

  /** It leads, and all that was committed before is applied here: what is judged by is no predecessor's past. */
  async #catchUp(replica: Replica): Promise<AdminAnswer | undefined> {
    const permitted = replica.reads.wait(this.#options.clock.monotonicMs() + catchUpMs)
    replica.schedule()
    const { kind } = await permitted
    if (!replica.isLeader) return { kind: 'not-leader', leader: replica.leaderNode }
    if (kind === 'ready') return undefined
    return {
      kind: 'unavailable',
      message: 'no majority of the voters answers the leader: look at the status, and start them again',
    }
  }

  async #change(
    replica: Replica,
    steps: readonly ConfigurationStep[],
    context: ChangeContext,
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

  /** One entry: all of it is applied, or nothing. */
  async #writeRegistry(replica: Replica, changes: readonly quorate.v1.IWrite[]): Promise<AdminAnswer | undefined> {
    const writes = quorate.v1.WriteBatch.encode({ keyspace: systemKeyspace, writes: [...changes] }).finish()
    const deadlineMs = this.#options.clock.monotonicMs() + registryWriteMs
    const answer = await replica.write(
      { rangeId: replica.rangeId, generation: 0, clock: timestampZero, writes, deadlineMs },
      true,
    )
    if (answer.kind === 'done')
      return answer.outcomes[0]?.kind === quorate.v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED
        ? { kind: 'conflict', message: 'the record of the node has changed meanwhile; ask again' }
        : undefined
    if (answer.kind === 'unknown-outcome')
      return { kind: 'unavailable', message: 'the registry write was not confirmed in time; try again' }
    return answer
  }
}

function changeOf(steps: readonly ConfigurationStep[], context: ChangeContext): ConfigurationChange {
  return { steps, joint: 'auto-if-needed', context: encodeChangeContext(context) }
}

/**
 * A new leader may judge by a descriptor that lacks what its predecessor proposed; its first write of its own applies that too.
 * Whoever asks again is judged by it.
 */
function inherited(node: string): AdminAnswer {
  return { kind: 'conflict', message: `an earlier leader was adding ${node}, and has; try again` }
}

/** A store that joins while its name waits to be removed is not the one that an operator wanted out. */
function joinedMeanwhile(node: string): AdminAnswer {
  return {
    kind: 'conflict',
    message: `${node} has joined since its removal was asked for; to remove it all the same, ask again`,
  }
}
