// All replicas of a node: routes messages to them, ticks them, flushes the engine for all of them at once, and carries
// snapshots. Requests of clients come in through range/local-requests.ts.
//
// Invariants: one engine flush at a time, which records the newest log flush that was durable before it; the log is
// truncated only below a flush; effects of a range and its applied state are in one batch.

import { assert, must } from '../base/assert.ts'
import type { Index, NodeId, RangeId, ReplicaId, StoreId, Term } from '../base/ids.ts'
import { asIndex, asRangeId, asReplicaId, asTerm } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { RangeState } from '../command/range-state.ts'
import type { SessionLimits } from '../command/sessions.ts'
import type { Engine, EngineSnapshot } from '../engine/engine.ts'
import type { Log, RecoveredReplica } from '../log/log.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import type { HardState, SnapshotMeta } from '../raft/types.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import type { Channel, IncomingSnapshot, RangeMessage, Transport } from '../transport/transport.ts'
import { ApplyTurn } from './apply-turn.ts'
import { blankState } from './blank-state.ts'
import { createRange } from './new-range.ts'
import { ConditionWaiters } from './condition-waiters.ts'
import { type RangeDescriptor, isRemovedReplica } from './descriptor.ts'
import type { DiskView } from './disk-refusal.ts'
import { fitLogToState } from './fit-log-to-state.ts'
import { HistoryCollector } from './history-collector.ts'
import { HeldLogBudget } from './held-log-budget.ts'
import { Quarantines } from './quarantine.ts'
import { Replica } from './replica.ts'
import type { ReplicaHost, ReplicaLimits, ReplicaTiming } from './replica-host.ts'
import type { Refusal } from './local-store.ts'
import { RemovedReplicas } from './removed-replicas.ts'
import { StateComparisons } from './state-comparisons.ts'
import { SnapshotIntake } from './snapshot-intake.ts'
import { SnapshotSender } from './snapshot-sender.ts'

/** The one range for now: it owns every key. */
export const rangeOne = asRangeId(1)

export interface StoreOptions {
  readonly node: NodeId
  readonly storeId: StoreId
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly log: Log
  /** Its writes queue up (serial-engine.ts). */
  readonly engine: Engine
  readonly versions: VersionStore
  readonly transport: Transport
  readonly logger: Logger
  readonly timing: ReplicaTiming & { readonly tickMs: number }
  readonly limits: ReplicaLimits & {
    readonly applyTurnKeyOperations: number
    readonly engineFlushBytes: number
    readonly engineDirtyBytes: number
    readonly engineFlushMs: number
    readonly logRetainedBytes: number
    readonly historyRetentionMs: number
    readonly comparedEvery: number
  }
  readonly commandVersion: number
  /** Of the range that `bootstrap` makes; undefined: the default. */
  readonly sessionLimits?: SessionLimits | undefined
  readonly random: (bound: number) => number
  /** The store that the transport dials under a node's name. */
  readonly storeOf: (node: NodeId) => StoreId | undefined
  readonly onSystemWrite: (key: Uint8Array, value: Uint8Array | undefined) => void
  /** A snapshot has replaced the system keyspace: what was read of it is to be read again. */
  readonly onSystemInstalled?: () => Promise<void>
  readonly disks: DiskView
  /** Whatever the node does every tick beside its replicas. */
  readonly onTick: () => void
  readonly onFatal: (error: unknown) => void
}

export class Store implements ReplicaHost {
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly log: Log
  readonly versions: VersionStore
  readonly limits: StoreOptions['limits']
  readonly timing: StoreOptions['timing']
  readonly commandVersion: number
  readonly logger: Logger
  readonly applyTurn: ApplyTurn
  readonly heldLog: HeldLogBudget
  readonly disks: DiskView
  readonly #options: StoreOptions
  readonly #replicas = new Map<RangeId, Replica>()
  /** Where messages of replicas come from, until a descriptor says so: a learner hears its leader first. */
  readonly #heardFrom = new Map<ReplicaId, { readonly node: NodeId; readonly storeId: StoreId | undefined }>()
  readonly #sender: SnapshotSender
  readonly #removed: RemovedReplicas
  /** Ranges whose removed replica is on its way out. */
  readonly #removing = new Set<RangeId>()
  readonly #intakes = new Map<RangeId, SnapshotIntake>()
  #isStarted = false
  #flushRound = 0
  readonly #quarantines: Quarantines
  readonly comparisons: StateComparisons
  #tickTimer: Timer | undefined
  #flushTimer: Timer | undefined
  /** Of what the limits allow: drawn for each flush, so that replicas, which apply the same, do not flush at the same time. */
  #flushShare = 1
  readonly #collector: HistoryCollector
  #flushing: Promise<void> | undefined
  readonly #tickWaiters = new ConditionWaiters()
  #isClosed = false
  engineFlushMicros = 0

  constructor(options: StoreOptions) {
    this.#options = options
    this.clock = options.clock
    this.hybridClock = options.hybridClock
    this.log = options.log
    this.versions = options.versions
    this.limits = options.limits
    this.timing = options.timing
    this.commandVersion = options.commandVersion
    this.logger = options.logger
    this.disks = options.disks
    this.applyTurn = new ApplyTurn(options.clock, options.limits.applyTurnKeyOperations)
    this.comparisons = new StateComparisons({
      ...options,
      tell: (replica, to, message) => this.send(replica, to, 'control', message),
      quarantine: (replica, reason) => this.quarantine(replica, reason),
    })
    this.#quarantines = new Quarantines({
      ...options,
      flush: () => this.flush(),
      flushing: async () => this.#flushing,
      isClosed: () => this.#isClosed,
      install: replica => this.#intake(replica.rangeId).install(replica.replicaId),
      open: (log, hardState, state, quarantined) => this.#open(log, hardState, state, quarantined),
      opened: replica => this.onDescriptor(replica, replica.descriptor),
      onFatal: error => this.onFatal(error),
    })
    this.#collector = new HistoryCollector(this, options.limits.historyRetentionMs)
    this.heldLog = new HeldLogBudget(options.limits.logHeldBytes, options.clock, options.logger)
    this.#removed = new RemovedReplicas(options.engine, options.versions)
    this.#sender = new SnapshotSender({
      ...options,
      flushAndView: capture => this.flushAndView(capture),
      onDamaged: (replica, error) => this.quarantine(replica, error.message),
    })
  }

  get electionTimeoutMs(): number {
    return this.timing.electionTimeoutMs
  }

  replica(rangeId: RangeId): Replica | undefined {
    return this.#replicas.get(rangeId)
  }

  replicas(): readonly Replica[] {
    return [...this.#replicas.values()]
  }

  /** Opens what the log and the engine hold, and begins to tick. */
  async start(): Promise<void> {
    for (const recovered of this.log.recovered) await this.#openRecovered(recovered)
    this.#isStarted = true
    this.#scheduleTick()
    this.#scheduleFlush()
    this.#collector.start()
  }

  async #openRecovered(recovered: RecoveredReplica): Promise<void> {
    const { rangeId, replicaId, log } = recovered
    // A crash came between the two halves of its removal.
    if (replicaId <= this.#removed.highest(rangeId)) return log.remove()
    const intake = this.#intake(rangeId)
    await intake.resume(replicaId)
    if (await this.#quarantines.maybeOpen(recovered)) return
    const state = await RangeState.load(this.versions, rangeId, replicaId)
    const hardState = fitLogToState(recovered, state, intake.installedIndex)
    if (state === undefined) {
      this.#open(log, hardState, blankState({ rangeId, replicaId }))
      return
    }
    this.hybridClock.mergeOwn(state.lastStamp)
    const replica = this.#open(log, hardState, state)
    // Nobody else to hear from: there is nothing to wait for.
    if (replica.isOnlyVoter) replica.campaign()
  }

  /** Makes this node the only voter of a new cluster's first range. Durable when it resolves. */
  async bootstrap(): Promise<void> {
    assert(this.#replicas.size === 0, 'a cluster is made once')
    const { node, storeId, sessionLimits } = this.#options
    const { log, hardState, state } = await createRange(this.log, rangeOne, { node, storeId }, sessionLimits)
    this.#open(log, hardState, state)
    await this.flush()
    must(this.replica(rangeOne)).campaign()
  }

  handleMessages(from: NodeId, messages: readonly RangeMessage[]): void {
    const source = { node: from, storeId: this.#options.storeOf(from) }
    for (const { rangeId, message } of messages) {
      this.#heardFrom.set(message.from, source)
      const replica = this.#replicaFor(rangeId, message.to)
      if (replica === undefined) continue
      // It has not heard that it was removed. Nobody needs its vote or gives it one; it asks to join, and is told.
      if (message.kind === 'request-vote' && isRemovedReplica(replica.descriptor, message.from)) continue
      if (message.kind === 'state-hash') this.comparisons.heard(replica, message)
      else replica.step(message)
    }
  }

  async handleSnapshot(snapshot: IncomingSnapshot): Promise<boolean> {
    this.#heardFrom.set(snapshot.from, { node: snapshot.node, storeId: this.#options.storeOf(snapshot.node) })
    const { rangeId } = snapshot
    const replica = this.#replicaFor(rangeId, snapshot.to)
    if (replica === undefined || this.disks.own === 'full') return false
    return this.#intake(rangeId).receive(replica, snapshot)
  }

  handleUnreachable(node: NodeId): void {
    for (const replica of this.#replicas.values()) replica.reportUnreachable(node)
  }

  random(bound: number): number {
    return this.#options.random(bound)
  }

  send(replica: Replica, to: ReplicaId, channel: Channel, message: RangeMessage['message']): void {
    const target = replica.memberOf(to) ?? this.#heardFrom.get(to)
    // A node that joined anew is another store: what is meant for its former self must not reach it (bug 52).
    if (target === undefined || this.#options.storeOf(target.node) !== target.storeId) return
    this.#options.transport.send(target.node, channel, {
      rangeId: replica.rangeId,
      generation: replica.descriptor.generation,
      message,
    })
  }

  sendSnapshot(replica: Replica, to: ReplicaId, term: Term): void {
    void this.#sender.send(replica, to, term)
  }

  async installSnapshot(replica: Replica, _meta: SnapshotMeta): Promise<RangeState> {
    await this.#flushing
    return this.#intake(replica.rangeId).install(replica.replicaId)
  }

  isApplyHeld(): boolean {
    return this.versions.dirtyBytes > this.limits.engineDirtyBytes * applyHeldFactor
  }

  onSystemWrite(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#options.onSystemWrite(key, value)
  }

  onApplied(replica: Replica, index: Index): void {
    this.comparisons.applied(replica, index)
  }

  onChecksum(replica: Replica, index: Index): void {
    this.comparisons.checksum(replica, index)
  }

  onDescriptor(replica: Replica, descriptor: RangeDescriptor): void {
    if (descriptor.replicas.length > 0 && !descriptor.replicas.some(item => item.replicaId === replica.replicaId))
      this.#remove(replica)
  }

  onRoleChange(replica: Replica): void {
    this.logger.info(
      { range: replica.rangeId, term: replica.term, leader: replica.leaderNode ?? '', isLeader: replica.isLeader },
      'role changed',
    )
  }

  onPoisoned(replica: Replica, error: unknown): void {
    this.quarantine(replica, `an entry cannot be applied here (${String(error)})`)
  }

  onFatal(error: unknown): void {
    this.halt()
    this.#options.onFatal(error)
  }

  /** The node must not go on: nothing is sent, answered or written any more, however long the process stays. */
  halt(): void {
    this.#isClosed = true
    this.#tickTimer?.cancel()
    this.#flushTimer?.cancel()
    this.#collector.close()
    this.#sender.close()
    for (const replica of this.#replicas.values()) replica.stop({ kind: 'draining' })
    this.#tickWaiters.close()
  }

  /** The state of this replica is not to be trusted: it serves no more, the others do, and rebuild it. */
  quarantine(replica: Replica, reason: string): void {
    this.#quarantines.begin(replica, reason)
  }

  /** Resolves true once `isMet`, which is asked every tick. */
  waitTick(isMet: () => boolean, deadlineMs: number): Promise<boolean> {
    return this.#tickWaiters.wait(isMet, deadlineMs)
  }

  /** Everything that healthy replicas had applied before the call is on disk when it resolves. When it rejects, the node has been stopped. */
  async flush(): Promise<void> {
    await this.#flushing
    await this.#flushNow(() => undefined)
  }

  /** What `capture` saw in the tick of a flush, and a view of the engine at exactly that instant. */
  async flushAndView<Captured>(
    capture: () => Captured,
  ): Promise<{ readonly captured: Captured; readonly view: EngineSnapshot }> {
    await this.#flushing
    let captured: Captured | undefined
    let view: EngineSnapshot | undefined
    await this.#flushNow(
      () => {
        captured = capture()
      },
      () => {
        view = this.#options.engine.snapshot()
      },
    )
    return { captured: captured as Captured, view: must(view) }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.halt()
    await this.flush()
  }

  /** One at a time; `frozen` runs in the tick in which the buffer is frozen, `done` in the tick in which it is on disk. */
  #flushNow(frozen: () => void, done: () => void = () => {}): Promise<void> {
    if (this.#flushing !== undefined) return this.#flushing.then(() => this.#flushNow(frozen, done))
    this.#flushing = this.#flushOnce(frozen, done).finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async #flushOnce(frozen: () => void, done: () => void): Promise<void> {
    const begunMs = this.clock.monotonicMs()
    const applied = new Map<RangeId, Index>()
    const recorded = this.log.flushedNumber
    const round = ++this.#flushRound
    let marked: readonly Replica[] = []
    try {
      await this.versions.flush(
        recorded,
        () => {
          frozen()
          const operations = this.replicas().flatMap(replica => {
            // While a snapshot is put in place, the state in memory is the one that it replaces.
            if (replica.isInstalling) return []
            if (replica.isQuarantined) return marked.includes(replica) ? [this.#quarantines.marker(replica)] : []
            applied.set(replica.rangeId, replica.state.appliedIndex)
            return replica.state.takeDirty(this.versions)
          })
          // Not in the middle of the next flush, should this one have ended by then: it pauses anew.
          this.clock.defer(() => {
            if (round === this.#flushRound) this.replicas().forEach(replica => replica.resumeApply())
          })
          return operations
        },
        async () => {
          await Promise.all(this.replicas().map(replica => replica.pauseApply()))
          marked = this.#quarantines.unmarked()
          // For now one range owns all that is buffered.
          if (marked.length > 0) this.versions.discardBuffer()
        },
      )
    } catch (error) {
      this.onFatal(error)
      throw error
    }
    this.#quarantines.marked(marked)
    done()
    this.engineFlushMicros = (this.clock.monotonicMs() - begunMs) * 1000
    this.log.engineFlushed(recorded, applied)
    for (const replica of this.#replicas.values()) {
      const flushed = applied.get(replica.rangeId)
      if (flushed !== undefined) this.#truncate(replica, flushed)
      replica.resumeApply()
    }
  }

  /** Keeps some log for slow followers, so that not every hiccup costs a snapshot. */
  #truncate(replica: Replica, flushed: Index): void {
    this.heldLog.look(replica)
    const target = replica.retention.flushed(flushed, replica.holds.needed)
    if (target !== undefined && target > replica.log.truncatedIndex) replica.log.truncateTo(target)
  }

  #scheduleFlush(): void {
    if (this.#isClosed) return
    this.#flushShare = 1 - this.random(this.#flushRound === 0 ? 100 : flushSpreadPercent + 1) / 100
    this.#flushTimer = this.clock.setTimer(this.limits.engineFlushMs * this.#flushShare, () => this.#flushDue())
  }

  get #isMuchDirty(): boolean {
    const { dirtyRowBytes, dirtyBytes } = this.versions
    const { engineFlushBytes, engineDirtyBytes } = this.limits
    return Math.max(dirtyRowBytes / engineFlushBytes, dirtyBytes / engineDirtyBytes) >= this.#flushShare
  }

  #flushDue(): void {
    this.#flushTimer?.cancel()
    this.#flushTimer = undefined
    const isDirty = this.versions.isDirty || this.replicas().some(one => one.state.isDirty && !one.isQuarantined)
    const hasRoom = isDirty ? this.disks.hasRoomFor(2 * this.versions.dirtyBytes) : Promise.resolve(false)
    const flushed = hasRoom.then(isRoomy => (isRoomy ? this.flush() : undefined))
    flushed.then(
      () => this.#scheduleFlush(),
      () => {},
    )
  }

  /** After a stall, the messages that arrived meanwhile come before the timeouts (DESIGN.md 15): at most one tick a turn. */
  #scheduleTick(): void {
    this.#tickTimer = this.clock.setTimer(this.timing.tickMs, () => {
      this.clock.defer(() => {
        if (this.#isClosed) return
        for (const replica of this.#replicas.values()) {
          if (replica.isQuarantined) this.#quarantines.tick(replica)
          else this.comparisons.tick(replica)
          replica.tick()
        }
        this.heldLog.tick(this.replicas())
        if (this.#flushTimer !== undefined && this.#isMuchDirty) this.#flushDue()
        this.#options.onTick()
        this.#tickWaiters.expire(this.clock.monotonicMs())
      })
      this.#scheduleTick()
    })
  }

  /** The replica that a message means. One is made when the range is not here: the transport has checked that our store is meant. */
  #replicaFor(rangeId: RangeId, to: ReplicaId): Replica | undefined {
    if (!this.#isStarted || this.#isClosed) return undefined
    const replica = this.#replicas.get(rangeId)
    if (replica?.replicaId === to) return replica
    if (replica !== undefined) {
      // Ids only grow, and a node has one replica of a range: the one here was removed, and nobody could tell it.
      if (to > replica.replicaId && !replica.isInstalling) this.#remove(replica)
      return undefined
    }
    if (this.#removing.has(rangeId) || to <= this.#removed.highest(rangeId)) return undefined
    const log = this.log.createReplica(rangeId, to)
    const hardState: HardState = { term: asTerm(0), vote: asReplicaId(0), commit: asIndex(0) }
    this.logger.info({ range: rangeId, replica: to }, 'a replica is made here')
    return this.#open(log, hardState, blankState({ rangeId, replicaId: to }))
  }

  #remove(replica: Replica): void {
    const { rangeId, replicaId } = replica
    this.logger.warn({ range: rangeId, replica: replicaId }, 'removed from its range: the node asks to join again')
    replica.stop({ kind: 'no-replica' })
    this.#replicas.delete(rangeId)
    this.#removing.add(rangeId)
    this.#forget(replica).then(
      () => this.#removing.delete(rangeId),
      (error: unknown) => this.onFatal(error),
    )
  }

  /** The engine first: the log, which then forgets it, is what a restart begins from. */
  async #forget({ rangeId, replicaId, log }: Replica): Promise<void> {
    // A flush under way may still bring its state.
    await this.#flushing
    await this.#removed.add(rangeId, replicaId)
    log.remove()
    await new Promise<void>(resolve => this.log.flush(() => resolve()))
  }

  #open(log: Replica['log'], hardState: HardState, state: RangeState, quarantined?: Refusal): Replica {
    const replica = new Replica(this, log, hardState, state, quarantined)
    this.#replicas.set(replica.rangeId, replica)
    return replica
  }

  #intake(rangeId: RangeId): SnapshotIntake {
    const known = this.#intakes.get(rangeId)
    if (known !== undefined) return known
    const onInstalled = async (): Promise<void> => this.#options.onSystemInstalled?.()
    const quarantines = this.#quarantines
    const intake = new SnapshotIntake({ ...this.#options, rangeId, onInstalled, quarantines })
    this.#intakes.set(rangeId, intake)
    return intake
  }
}

/** Applying waits for the engine when this many flushes' worth is dirty. */
const applyHeldFactor = 2
/** A flush may come so much earlier than the limits say, the first one any time. */
const flushSpreadPercent = 25
