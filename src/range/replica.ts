// One replica: the shell around its Raft core. It feeds the core ticks and messages, carries out each Ready (log, send,
// apply), gathers writes into entries, and answers who waits. It knows no gRPC and no LevelDB.
//
// Invariants: a message that depends on a flush leaves after it; entries are applied once each, in order, and only when
// committed and synced here; stamps grow strictly along the log; between `ready()` and what it asks for nothing awaits.

import { assert } from '../base/assert.ts'
import { type Index, type NodeId, type RangeId, type ReplicaId, type Term, noReplica } from '../base/ids.ts'
import type { ApplyResult } from '../command/apply.ts'
import type { RangeState } from '../command/range-state.ts'
import type { ReplicaLog } from '../log/log.ts'
import { isOnlyVoter } from '../raft/configuration.ts'
import { decodeConfigurationChange } from '../raft/configuration-change.ts'
import type { ConfigurationChange, Entry, HardState, Message } from '../raft/types.ts'
import type { ProposeResult, Raft, RaftStatus, Ready, SnapshotMeta } from '../raft/types.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { channelOf } from '../transport/transport.ts'
import { applyCommand } from './apply-command.ts'
import { ApplyLoop } from './apply-loop.ts'
import { CommitNews } from './commit-news.ts'
import { ConditionWaiters } from './condition-waiters.ts'
import { ConfigurationProposals } from './configuration-proposals.ts'
import type { RangeDescriptor, ReplicaDescriptor } from './descriptor.ts'
import { decodeDescriptor, encodeConfiguration, encodeDescriptor, withConfiguration } from './descriptor.ts'
import type { Refusal, WriteAnswer, WriteRequest } from './local-store.ts'
import { LogHolds } from './log-holds.ts'
import { LogRetention } from './log-retention.ts'
import { createCore } from './replica-core.ts'
import type { ReplicaHost } from './replica-host.ts'
import { Proposals, answerApplied, answerOnce } from './proposals.ts'
import { proposalRefusal } from './proposal-refusal.ts'
import { ReadQueue } from './read-queue.ts'
import { mergeLogStamps, mergeStamps } from './stamps.ts'
import { admissionRefusal, encodeChecksum, encodeThreshold, encodeWrites, parseAdmitted } from './write-admission.ts'

/** A configuration change that is not applied by then is answered; it may yet be. */
const configurationWaitMs = 5_000
const notLeader = { kind: 'not-leader', leader: noReplica } as const

export class Replica {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly log: ReplicaLog
  readonly proposals = new Proposals()
  readonly reads: ReadQueue
  readonly retention: LogRetention
  readonly holds: LogHolds
  readonly #host: ReplicaHost
  readonly #raft: Raft
  #state: RangeState
  #descriptor: RangeDescriptor
  readonly #applying: ApplyLoop
  readonly #commitNews: CommitNews
  #isDriveDue = false
  #isInstalling = false
  /** The term in which this replica leads, and its clock is past all of its log. */
  #leadingTerm: Term | undefined
  #ownFlushes = 0
  #stopped: Refusal | undefined
  #suspended: Refusal | undefined
  #isQuarantined = false
  /** It takes no part in its range any more: removed, about to be another, or its node ends. */
  #isSilent = false
  /** As the log was given it last. */
  #hardState: HardState
  #appliedWaiters = new ConditionWaiters()
  readonly #configurations = new ConfigurationProposals()

  /** `quarantined`: it was so before the last restart; `state` tells no more than who else there was. */
  constructor(host: ReplicaHost, log: ReplicaLog, hardState: HardState, state: RangeState, quarantined?: Refusal) {
    this.#host = host
    this.#hardState = hardState
    this.log = log
    this.rangeId = log.rangeId
    this.replicaId = log.replicaId
    this.#state = state
    this.retention = new LogRetention(host.limits.logRetainedBytes)
    this.holds = new LogHolds(this.retention, host.limits.logHeldStallMs)
    this.#descriptor = decodeDescriptor(state.descriptor)
    this.#raft = createCore(host, log, hardState, state, quarantined !== undefined)
    this.#applying = new ApplyLoop({
      turn: host.applyTurn,
      isHeld: () => host.isApplyHeld(),
      applyOne: entry => this.#applyOne(entry),
      onPoisoned: error => host.onPoisoned(this, error),
    })
    const raft = this.#raft
    this.#commitNews = new CommitNews(host.clock, commit => {
      this.#guarded(() => raft.tellCommit(commit))
      this.schedule()
    })
    this.reads = new ReadQueue(
      {
        begin: () => {
          const result = this.#core(() => raft.readIndex(), notLeader)
          return result.kind === 'accepted' ? result.context : undefined
        },
        applied: () => this.#state.appliedIndex,
        nowMs: () => host.clock.monotonicMs(),
      },
      host.timing.electionTimeoutMs / 2,
    )
    if (quarantined !== undefined) this.quarantine(quarantined)
  }

  get state(): RangeState {
    return this.#state
  }
  get descriptor(): RangeDescriptor {
    return this.#descriptor
  }
  get isLeader(): boolean {
    return this.#raft.role === 'leader' && this.#stopped === undefined
  }
  get isOnlyVoter(): boolean {
    return isOnlyVoter(this.#raft.status().configuration, this.replicaId)
  }
  get term(): Term {
    return this.#raft.term
  }
  get isInstalling(): boolean {
    return this.#isInstalling
  }
  /** Set while the replica serves nothing: it is quarantined, removed, or nobody knows whose state is right. */
  get stopped(): Refusal | undefined {
    return this.#stopped ?? this.#suspended
  }
  get isQuarantined(): boolean {
    return this.#isQuarantined
  }
  get hardState(): HardState {
    return this.#hardState
  }

  status(): RaftStatus {
    return this.#raft.status()
  }

  memberOf(replica: ReplicaId): ReplicaDescriptor | undefined {
    return this.#descriptor.replicas.find(item => item.replicaId === replica)
  }

  nodeOf(replica: ReplicaId): NodeId | undefined {
    return this.memberOf(replica)?.node
  }

  /** Where requests of clients go. One that serves nothing sends nobody anywhere: ask another node, and go by its word. */
  get leaderNode(): NodeId | undefined {
    if (this.#stopped !== undefined) return undefined
    return this.#raft.leader === noReplica ? undefined : this.nodeOf(this.#raft.leader)
  }

  tick(): void {
    if (this.#isSilent) return
    this.#guarded(() => this.#raft.tick())
    const nowMs = this.#host.clock.monotonicMs()
    this.proposals.expire(nowMs)
    this.reads.expire(nowMs)
    this.#appliedWaiters.expire(nowMs)
    this.#configurations.expire(nowMs)
    this.schedule()
  }

  step(message: Message): void {
    if (this.#isSilent) return
    // Stamps that come in entries are part of what this node may have to lead from (bug 51).
    if (message.kind === 'append-entries') mergeStamps(this.#host.hybridClock, message.entries)
    this.#raft.holdIntake(this.#host.disks.own === 'full')
    this.#guarded(() => this.#raft.step(message))
    this.schedule()
  }

  campaign(): void {
    this.#guarded(() => this.#raft.campaign())
    this.schedule()
  }

  /** `isInternal`: the node's own writes, which alone may change the system keyspace. */
  write(request: WriteRequest, isInternal = false, hasWaited = false): Promise<WriteAnswer> {
    if (this.stopped !== undefined) return Promise.resolve(this.stopped)
    if (!this.isLeader) return Promise.resolve({ kind: 'not-leader', leader: this.leaderNode })
    const refusal = admissionRefusal(this.#host, request, this.#descriptor.generation, this.proposals)
    if (refusal !== undefined) return Promise.resolve(refusal)
    // Many large requests may have come at once: they are decoded in turns, too. By its turn all else is judged anew.
    if (this.#host.applyTurn.isOver && !hasWaited)
      return new Promise(resolve => this.#host.applyTurn.next(() => resolve(this.write(request, isInternal, true))))
    this.#host.applyTurn.spend(1)
    const slowed = isInternal ? undefined : this.#host.heldLog.admit(this, request.writes.length)
    if (slowed !== undefined) return Promise.resolve(slowed)
    const parsed = parseAdmitted(this.#host, this, request, isInternal)
    if (parsed.kind !== 'ok') return Promise.resolve(parsed)
    return new Promise(resolve => {
      const { writes, deadlineMs } = request
      const { batch, operations, keyOperations } = parsed
      this.proposals.enqueue({ writes, batch, operations, keyOperations, deadlineMs, answer: answerOnce(resolve) })
      this.schedule()
    })
  }

  /** Resolves once `change` is applied here (true), was overwritten or not confirmed in time (false), or was refused (the reason). */
  proposeConfiguration(change: ConfigurationChange): Promise<boolean | string> {
    if (this.#stopped !== undefined) return Promise.resolve('this replica has stopped')
    const result = this.#core(() => this.#raft.proposeConfiguration(change), notLeader)
    if (result.kind !== 'accepted') return Promise.resolve(result.kind === 'refused' ? result.reason : result.kind)
    this.schedule()
    const deadlineMs = this.#host.clock.monotonicMs() + configurationWaitMs
    return this.#configurations.wait(result.index, result.term, deadlineMs)
  }

  /** Raises what history is kept from; the leader alone, and never back. */
  maybeProposeThreshold(threshold: Timestamp): boolean {
    if (!this.#isLeading || threshold <= this.#state.threshold) return false
    return this.#propose(encodeThreshold(this.#host, this.#descriptor.generation, threshold)).kind === 'accepted'
  }

  /** Every replica takes a checksum once it has applied the entry of this index. */
  proposeChecksum(): ProposeResult {
    if (!this.#isLeading) return { kind: 'not-leader', leader: noReplica }
    return this.#propose(encodeChecksum(this.#host, this.#descriptor.generation))
  }

  #propose(entry: Uint8Array): ProposeResult {
    const result = this.#core(() => this.#raft.propose(entry), notLeader)
    this.schedule()
    return result
  }

  transferLeadership(to: ReplicaId): string | undefined {
    if (this.#stopped !== undefined) return 'this replica has stopped'
    const result = this.#core(() => this.#raft.transferLeadership(to), notLeader)
    this.schedule()
    return result.kind === 'accepted' ? undefined : result.kind === 'refused' ? result.reason : result.kind
  }

  /** True once `isMet`, asked after every apply; false past the deadline, or once the replica has stopped. */
  waitApplied(isMet: () => boolean, deadlineMs: number): Promise<boolean> {
    return this.#appliedWaiters.wait(isMet, deadlineMs)
  }

  /** A stream is here whole; true when the core takes it: the install follows. */
  maybeRestore(from: ReplicaId, term: Term, meta: SnapshotMeta): boolean {
    if (this.#stopped !== undefined || this.#isInstalling) return false
    const taken = this.#core(() => this.#raft.maybeRestore(from, term, meta), false)
    this.schedule()
    return taken
  }

  snapshotReported(to: ReplicaId, index: Index, installed: boolean): void {
    this.#guarded(() => this.#raft.snapshotReported(to, index, installed))
    this.schedule()
  }

  reportUnreachable(node: NodeId): void {
    for (const replica of this.#descriptor.replicas)
      if (replica.node === node && replica.replicaId !== this.replicaId)
        this.#guarded(() => this.#raft.reportUnreachable(replica.replicaId))
  }

  stop(refusal: Refusal): void {
    if (this.#isSilent) return
    this.#isSilent = true
    this.#serveNothing(this.#stopped ?? refusal)
  }

  /** It serves nothing until it is told to go on (undefined); it leads, applies and compares as before. */
  suspend(refusal: Refusal | undefined): void {
    this.#suspended = refusal
  }

  /** Its state is not to be trusted: it serves and applies nothing any more. It goes on voting and appending; a leader hands over. */
  quarantine(refusal: Refusal): void {
    if (this.#isQuarantined || this.#isSilent) return
    this.#isQuarantined = true
    this.#serveNothing(refusal)
    this.#guarded(() => this.#raft.loseState())
    this.schedule()
  }

  askForState(isWanted: boolean): void {
    this.#raft.askForState(isWanted)
  }

  mayRebuild(from: ReplicaId, term: Term, meta: SnapshotMeta): boolean {
    if (this.#isSilent || !this.#isQuarantined) return false
    const mayRebuild = this.#core(() => this.#raft.mayRebuild(from, term, meta), false)
    this.schedule()
    return mayRebuild
  }

  /** Another takes its place, with its log: nothing more is said or written by this one. */
  retire(): void {
    this.#isInstalling = true
    this.stop({ kind: 'unavailable', message: 'a snapshot is being installed here' })
  }

  #serveNothing(refusal: Refusal): void {
    this.#stopped = refusal
    this.proposals.stop(refusal)
    this.reads.close()
    this.#applying.stop()
    this.#commitNews.close()
    this.#appliedWaiters.close()
    // For the snapshot that it may still receive.
    if (!this.#isSilent) this.#appliedWaiters = new ConditionWaiters()
    this.#configurations.refuseAll()
  }

  /** Work is due: done once everything that has already arrived was taken in, so that it travels together. */
  schedule(): void {
    if (this.#isDriveDue) return
    this.#isDriveDue = true
    this.#host.clock.defer(() => {
      this.#isDriveDue = false
      this.#drive()
    })
  }

  /** Resolves once no entry is half applied; none is begun until `resumeApply`. */
  pauseApply(): Promise<void> {
    return this.#applying.pause()
  }

  resumeApply(): void {
    if (!this.#isInstalling) this.#applying.unpause()
  }

  #drive(): void {
    this.#guarded(() => {
      if (this.#isSilent || this.#isInstalling) return
      this.#maybePropose()
      this.reads.maybeBegin()
      while (this.#raft.hasReady()) {
        this.#handleReady(this.#raft.ready())
        if (this.#isInstalling || this.#isSilent) return
        this.#maybePropose()
        this.reads.maybeBegin()
      }
    })
  }

  /** Whatever the core asserts ends the node, by whatever way it was called. */
  #core<Result>(work: () => Result, otherwise: Result): Result {
    try {
      return work()
    } catch (error) {
      this.#host.onFatal(error)
      return otherwise
    }
  }

  #guarded(work: () => void): void {
    this.#core(work, undefined)
  }

  /** Not yet in the moment of election: nothing is stamped before the clock has passed this log (`#roleChanged`). */
  get #isLeading(): boolean {
    return this.isLeader && this.#leadingTerm === this.term && this.#stopped === undefined
  }

  /** Everything that arrived since the last flush becomes one entry (DESIGN.md 3): at most one is on its way to this disk. */
  #maybePropose(): void {
    while (this.#isLeading && this.#ownFlushes === 0 && this.proposals.isWaiting) {
      const writes = this.proposals.takeForEntry(this.#host.limits)
      const entry = encodeWrites(this.#host, this.#descriptor.generation, writes)
      const result = this.#raft.propose(entry)
      if (result.kind === 'accepted') {
        this.proposals.proposed(result.index, result.term, writes)
        this.#ownFlushes++
        return
      }
      const refusal = proposalRefusal(result, entry.length, this.#host.limits, this.leaderNode)
      for (const write of writes) write.answer(refusal)
    }
  }

  #handleReady(ready: Ready): void {
    if (ready.softState !== undefined) this.#roleChanged()
    for (const state of ready.readStates) this.reads.roundEnded(state.context, state.index, state.confirmed)
    if (ready.snapshot !== undefined) {
      this.#install(ready, ready.snapshot)
      return
    }
    const { entries, hardState } = ready
    if (hardState !== undefined) this.#hardState = hardState
    if (entries.length > 0 || hardState !== undefined) this.log.append(entries, hardState)
    this.retention.appended(entries)
    for (const message of ready.messages) this.#send(message)
    if (entries.length > 0 || ready.mustSync || ready.messagesAfterFlush.length > 0) this.#flush(ready)
    const lastCommitted = ready.committed.at(-1)
    if (lastCommitted === undefined) return
    if (this.isLeader) this.#commitNews.committed(lastCommitted.index)
    this.#applying.push(ready.committed)
  }

  #flush(ready: Ready): void {
    const last = ready.snapshot ?? ready.entries.at(-1)
    const ownFlushes = this.#ownFlushes
    this.#host.log.flush(ceiling => {
      this.#host.hybridClock.ceilingSynced(ceiling as never)
      if (this.#isSilent) return
      if (last !== undefined && ownFlushes > 0) this.#ownFlushes = 0
      this.#guarded(() => {
        if (ready.hardState !== undefined) this.#raft.hardStateDurable(ready.hardState)
        if (last !== undefined) this.#raft.durableTo(last.index, last.term)
        for (const message of ready.messagesAfterFlush) this.#send(message)
      })
      this.#drive()
    })
  }

  #roleChanged(): void {
    this.reads.roundsLost()
    if (this.isLeader) {
      // Whatever is stamped from now on lies above everything in this log.
      this.#host.hybridClock.mergeOwn(this.#state.lastStamp)
      mergeLogStamps(this.#host.hybridClock, this.log, this.#state.appliedIndex)
      this.#leadingTerm = this.term
    } else {
      this.#leadingTerm = undefined
      this.#ownFlushes = 0
      this.proposals.leadershipLost(this.leaderNode)
      this.#configurations.refuseAll()
    }
    this.#host.onRoleChange(this)
  }

  #send(message: Message): void {
    if (message.kind === 'install-snapshot') this.#host.sendSnapshot(this, message.to, message.term)
    else this.#host.send(this, message.to, channelOf(message), message)
  }

  #applyOne(entry: Entry): Promise<void> | undefined {
    assert(entry.index === this.#state.appliedIndex + 1, 'entries are applied once each, in order')
    const writes = this.proposals.takeApplied(entry.index, entry.term, this.leaderNode)
    if (entry.kind !== 'command') {
      if (entry.kind === 'configuration') this.#applyConfiguration(entry)
      else this.#state.advance(entry.index, entry.term)
      this.#applied(entry.index)
      return undefined
    }
    const finish = (result: ApplyResult): void => {
      if (writes !== undefined) answerApplied(writes, result, this.#state)
      this.#applied(entry.index)
    }
    const result = applyCommand(this.#host, this, entry, writes)
    if (result instanceof Promise) return result.then(finish)
    finish(result)
    return undefined
  }

  #applyConfiguration(entry: Entry): void {
    const change = decodeConfigurationChange(entry.data)
    const configuration = this.#raft.applyConfiguration(change)
    this.#descriptor = withConfiguration(this.#descriptor, configuration, change.context, entry.index)
    const descriptor = encodeDescriptor(this.#descriptor)
    this.#state.setConfiguration(entry.index, entry.term, descriptor, encodeConfiguration(configuration))
    this.#configurations.applied(entry.index, entry.term)
    this.#host.onDescriptor(this, this.#descriptor)
  }

  #applied(index: Index): void {
    this.#raft.appliedTo(index)
    this.reads.appliedTo(index)
    this.#appliedWaiters.check()
    this.#host.onApplied(this, index)
    this.schedule()
  }

  /** The core has taken a snapshot that is here: state first, then the log is reset to it; nothing else happens meanwhile. */
  #install(ready: Ready, meta: SnapshotMeta): void {
    assert(ready.entries.length === 0 && ready.committed.length === 0, 'a snapshot travels alone in its Ready')
    this.#isInstalling = true
    this.#applying.clear()
    const finish = (state: RangeState): void => {
      if (this.#isSilent) return
      this.#state = state
      this.#descriptor = decodeDescriptor(state.descriptor)
      this.#host.hybridClock.mergeOwn(state.lastStamp)
      this.log.reset(meta.index, meta.term)
      if (ready.hardState !== undefined) this.log.append([], (this.#hardState = ready.hardState))
      this.#isInstalling = false
      this.#applying.unpause()
      this.#flush(ready)
      for (const message of ready.messages) this.#send(message)
      this.#raft.appliedTo(meta.index)
      this.#host.onDescriptor(this, this.#descriptor)
      this.reads.appliedTo(meta.index)
      this.schedule()
    }
    // An entry that is half applied must not go on in the state that replaces its own.
    const installed = this.#applying.pause().then(() => this.#host.installSnapshot(this, meta))
    installed.then(
      state => this.#guarded(() => finish(state)),
      (error: unknown) => this.#host.onFatal(error),
    )
  }
}
