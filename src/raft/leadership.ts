// All that a leader has beyond a follower's state; made when it is elected, dropped when it steps down. It replicates
// (replication.ts sends), counts what a quorum has, watches that a quorum still answers, confirms reads, hands over.
// The leader's own log counts like any other: by what is durable, never by what was handed over.

import { assert } from '../base/assert.ts'
import { asIndex, type Index, noReplica, type ReplicaId } from '../base/ids.ts'
import { isJoint, isLearner, isVoter, membersOf } from './configuration.ts'
import { changeConfiguration, encodeConfigurationChange, leaveJointChange } from './configuration-change.ts'
import type { CoreState } from './core-state.ts'
import { Progress } from './progress.ts'
import { quorumAcked, voteResult } from './quorum.ts'
import { LeaderReads } from './read-index.ts'
import { maybeSendState, sendAppend, sendHeartbeat, sendTimeoutNow } from './replication.ts'
import type {
  AppendEntriesResponse,
  ConfigurationChange,
  Entry,
  EntryKind,
  HeartbeatResponse,
  ProgressStatus,
  ProposeResult,
  ReadIndexResult,
} from './types.ts'

const noData = new Uint8Array(0)
/** Times a leader without a state tries to hand over, an election timeout each, before it steps down. */
const handOversMax = 2

export class Leadership {
  readonly #state: CoreState
  /** Everyone in the configuration but this replica. */
  readonly #progress = new Map<ReplicaId, Progress>()
  readonly #reads: LeaderReads
  /** The first entry of this term: once it is committed, so is everything before it (paper 5.4.2, 8). */
  readonly #firstIndex: Index
  #uncommittedBytes = 0
  #heartbeatElapsed = 0
  #transferElapsed = 0
  #transferTarget: ReplicaId = noReplica
  #handOvers = 0
  #heartbeatDue = false
  #appendsDue = false
  /** For the next appends: followers that are sent no entries, and do not know of this commit, are told of it nevertheless. */
  #commitDue = asIndex(0)

  readonly #matchOf = (replica: ReplicaId): number =>
    replica === this.#state.id ? this.#state.log.durable : (this.#progress.get(replica)?.match ?? 0)

  readonly #readAckOf = (replica: ReplicaId): number =>
    replica === this.#state.id ? Number.POSITIVE_INFINITY : (this.#progress.get(replica)?.readAcked ?? 0)

  constructor(state: CoreState) {
    this.#state = state
    this.#reads = new LeaderReads(state)
    this.#firstIndex = asIndex(state.log.lastIndex + 1)
    this.#followConfiguration()
    this.#append('empty', noData)
  }

  get transferTarget(): ReplicaId {
    return this.#transferTarget
  }

  /** Something for `fillOutbox` to do. */
  get isSendDue(): boolean {
    return this.#appendsDue || this.#heartbeatDue || this.#reads.isRoundDue
  }

  // --- proposals

  propose(data: Uint8Array): ProposeResult {
    const { options } = this.#state
    if (this.#transferTarget !== noReplica) return { kind: 'transferring' }
    if (data.length > options.proposalBytesMax) return { kind: 'too-large' }
    // One proposal always has room, or a small limit would refuse everything for ever.
    const isFull = this.#uncommittedBytes > 0 && this.#uncommittedBytes + data.length > options.uncommittedBytesMax
    if (isFull) return { kind: 'overloaded', queue: 'uncommitted' }
    // It may commit without this replica's own applying, which must not fall behind without bound.
    if (this.#state.log.unappliedBytes > options.unappliedBytesMax) return { kind: 'overloaded', queue: 'unapplied' }
    return this.#append('command', data)
  }

  proposeConfiguration(change: ConfigurationChange): ProposeResult {
    const { log, options, configuration } = this.#state
    if (this.#transferTarget !== noReplica) return { kind: 'transferring' }
    if (log.hasUnappliedConfiguration) return refused('another configuration change is under way')
    // Two leaders that each change an uncommitted configuration may build majorities that do not meet (Ongaro, 2015).
    if (!this.#hasCommittedInTerm) return refused('no entry of this term is committed yet')
    const result = changeConfiguration(configuration, change)
    if (result.kind === 'refused') return result
    const data = encodeConfigurationChange(change)
    return data.length > options.proposalBytesMax ? { kind: 'too-large' } : this.#append('configuration', data)
  }

  #append(kind: EntryKind, data: Uint8Array): ProposeResult {
    const { log, term } = this.#state
    const index = asIndex(log.lastIndex + 1)
    log.append([{ term, index, kind, data }])
    this.#uncommittedBytes += data.length
    this.#appendsDue = true
    return { kind: 'accepted', index, term }
  }

  /** Handed out to be applied: no longer held against the limit. Entries of earlier terms never were. */
  handedOut(entries: readonly Entry[]): void {
    for (const entry of entries) if (entry.term === this.#state.term) this.#uncommittedBytes -= entry.data.length
  }

  // --- what followers answer

  handleAppendResponse({ from, index, rejected, hintIndex, hintTerm, held = false }: AppendEntriesResponse): void {
    const progress = this.#progress.get(from)
    if (progress === undefined) return
    const { log } = this.#state
    progress.heard()
    if (held) progress.hold()
    else this.#appendsDue = true
    if (rejected) {
      if (held) return
      // Skip what the follower cannot have: everything of ours above its hint with a later term than the hint's.
      progress.maybeRejectedTo(index, log.lastIndexOfTermAtMost(asIndex(Math.min(hintIndex, log.lastIndex)), hintTerm))
      return
    }
    assert(index <= log.lastIndex, `match <= last: replica ${from} has ${index} > ${log.lastIndex}`)
    const isNew = progress.maybeMatchTo(index)
    if (progress.state === 'probe' && index === progress.match && !progress.held) progress.becomeReplicate()
    else if (progress.state === 'replicate') progress.inflights.freeTo(index)
    // By whatever way it got there, the log reaches back to it again: no need to wait for the end of the stream.
    else if (progress.state === 'snapshot' && progress.match >= log.truncatedIndex) progress.becomeReplicate()
    if (isNew) this.maybeCommit()
    this.#maybeFinishTransfer(from, progress)
  }

  handleHeartbeatResponse({ from, context, held = false, needsState }: HeartbeatResponse): void {
    const progress = this.#progress.get(from)
    if (progress === undefined) return
    progress.heard()
    if (held) progress.hold()
    else progress.held = false
    progress.needsState = needsState
    // A leader without a state has none to send.
    if (needsState && !this.#state.isStateLost) maybeSendState(this.#state, from, progress)
    if (progress.state === 'probe' || progress.match < this.#state.log.lastIndex) {
      progress.nudge = progress.state !== 'probe' || progress.probeSent
      this.#appendsDue = true
    }
    progress.probeSent = false
    if (context <= progress.readAcked) return
    progress.readAcked = context
    this.#reads.confirmedTo(quorumAcked(this.#state.configuration, this.#readAckOf))
  }

  /** After a match or this replica's own durable index has moved, or the quorum has changed. */
  maybeCommit(): void {
    const { log, term, configuration } = this.#state
    const index = asIndex(quorumAcked(configuration, this.#matchOf))
    if (index <= log.commit) return
    // An entry of an older term is never committed by counting; one of this term commits all before it (paper 5.4.2).
    if (index < this.#firstIndex) return
    assert(log.matches(index, term), 'an entry of an older term is never committed by counting')
    log.commitTo(index)
    // By whom a next leader is elected hangs on who knows of it, and this one may be about to leave.
    if (log.hasUnappliedConfiguration) this.tellCommit(index)
  }

  /** Not at once, at every commit: under load the next entries are on their way before, and tell of it for nothing. */
  tellCommit(commit: Index): void {
    this.#commitDue = asIndex(Math.max(this.#commitDue, commit))
    this.#appendsDue = true
  }

  get #hasCommittedInTerm(): boolean {
    return this.#state.log.commit >= this.#firstIndex
  }

  // --- reads

  readIndex(): ReadIndexResult {
    if (!this.#hasCommittedInTerm) return { kind: 'not-ready' }
    return { kind: 'accepted', context: this.#reads.add(this.#state.id, 0) }
  }

  /** For another replica. False: not before this term's first commit, which may be behind what was acknowledged earlier. */
  maybeReadIndexFor(asker: ReplicaId, context: number): boolean {
    if (!this.#hasCommittedInTerm) return false
    this.#reads.add(asker, context)
    return true
  }

  // --- time

  /**
   * True: no quorum has answered for long enough, so step down (dissertation 6.2). Counted for each follower since its last
   * answer: looked at once an election timeout, silence that begins within one would pass until the next's end.
   */
  tick(): boolean {
    const { options } = this.#state
    this.#heartbeatElapsed++
    if (this.#heartbeatElapsed >= options.heartbeatTicks) {
      this.#heartbeatElapsed = 0
      this.#heartbeatDue = true
    }
    if (this.#transferTarget !== noReplica) {
      this.#transferElapsed++
      if (this.#transferElapsed >= options.electionTimeoutTicks) this.#transferTarget = noReplica
    }
    this.maybeLeaveJoint()
    for (const progress of this.#progress.values()) progress.tick()
    const isActive = (replica: ReplicaId): boolean =>
      replica === this.#state.id || (this.#progress.get(replica)?.recentActive ?? false)
    return voteResult(this.#state.configuration, isActive) !== 'won'
  }

  // --- membership

  /** The state's configuration has just changed: replicate to those in it, and count by its quorum. */
  configurationChanged(): void {
    this.#followConfiguration()
    if (this.#transferTarget !== noReplica && !this.#progress.has(this.#transferTarget))
      this.#transferTarget = noReplica
    this.#appendsDue = true
    this.maybeCommit()
    this.#reads.confirmedTo(quorumAcked(this.#state.configuration, this.#readAckOf))
  }

  #followConfiguration(): void {
    const { id, log, options, configuration } = this.#state
    const members = membersOf(configuration)
    for (const replica of this.#progress.keys()) if (!members.includes(replica)) this.#progress.delete(replica)
    for (const replica of members) {
      if (replica === id || this.#progress.has(replica)) continue
      this.#progress.set(replica, new Progress(options, asIndex(log.lastIndex + 1)))
    }
  }

  /**
   * Proposes to leave a joint configuration that is to be left by itself. Looked at again and again rather than once when
   * it is entered: whoever leads by then must do it, after however many step-downs (etcd#12136).
   */
  maybeLeaveJoint(): void {
    const { log, configuration } = this.#state
    if (!configuration.autoLeave || !isJoint(configuration)) return
    if (log.hasUnappliedConfiguration || !this.#hasCommittedInTerm || this.#transferTarget !== noReplica) return
    this.#append('configuration', encodeConfigurationChange(leaveJointChange))
  }

  // --- handing over (dissertation 3.10)

  transferLeadership(to: ReplicaId): ProposeResult {
    const { id, log, term, configuration } = this.#state
    if (to === id) return refused('it leads already')
    const progress = this.#progress.get(to)
    if (progress === undefined || isLearner(configuration, to)) return refused(`replica ${to} is no voter`)
    if (progress.held)
      return refused(`replica ${to} takes no entries for now: it applies too slowly, or its disk is full`)
    if (progress.needsState) return refused(`replica ${to} is quarantined`)
    if (this.#transferTarget !== to) {
      this.#transferTarget = to
      this.#transferElapsed = 0
      this.#appendsDue = true
      this.#maybeFinishTransfer(to, progress)
    }
    return { kind: 'accepted', index: log.lastIndex, term }
  }

  #maybeFinishTransfer(from: ReplicaId, progress: Progress): void {
    if (from === this.#transferTarget && progress.match === this.#state.log.lastIndex) sendTimeoutNow(this.#state, from)
  }

  /** To whoever has most of the log, an election timeout long. False: nobody is left to try. */
  maybeHandOver(): boolean {
    if (this.#transferTarget !== noReplica) return true
    const [to] = this.successors()
    if (to === undefined || this.#handOvers >= handOversMax) return false
    this.#handOvers++
    this.transferLeadership(to)
    return true
  }

  /** Who else could lead: those who still answer, if anyone does, before others, and of these who has most of the log. */
  successors(): ReplicaId[] {
    const rank = ({ recentActive, match }: Progress): number => (recentActive ? Number.MAX_SAFE_INTEGER / 2 : 0) + match
    return [...this.#progress]
      .filter(([replica, { needsState }]) => !needsState && isVoter(this.#state.configuration, replica))
      .sort(([, a], [, b]) => rank(b) - rank(a))
      .map(([replica]) => replica)
  }

  // --- sending

  /**
   * Fills the outbox with what is due: everything since the last Ready goes in one append to each follower. Throws when
   * the log cannot be read, with every follower's progress as it was or as the appends in the outbox say.
   */
  fillOutbox(): void {
    if (this.#heartbeatDue || this.#reads.isRoundDue) {
      for (const [to, progress] of this.#progress) sendHeartbeat(this.#state, to, progress, this.#reads.newestRound)
      this.#heartbeatDue = false
      this.#reads.roundSent()
    }
    if (!this.#appendsDue) return
    for (const [to, progress] of this.#progress) sendAppend(this.#state, to, progress, this.#commitDue)
    this.#appendsDue = false
    this.#commitDue = asIndex(0)
  }

  snapshotReported(to: ReplicaId, index: Index, installed: boolean): void {
    this.#progress.get(to)?.snapshotEnded(index, installed)
    this.#appendsDue = true
  }

  /** What was sent may be lost: probe before more is sent. */
  reportUnreachable(to: ReplicaId): void {
    const progress = this.#progress.get(to)
    if (progress?.state === 'replicate') progress.becomeProbe()
  }

  stepDown(): void {
    this.#reads.fail()
  }

  status(): ProgressStatus[] {
    const { id, log, configuration } = this.#state
    return membersOf(configuration).map(replica => {
      const progress = this.#progress.get(replica)
      return {
        replica,
        match: replica === id ? log.durable : (progress?.match ?? asIndex(0)),
        next: progress?.next ?? asIndex(log.lastIndex + 1),
        state: progress?.state ?? 'replicate',
        recentActive: progress?.recentActive ?? true,
        silentTicks: progress?.silentTicks ?? 0,
        needsState: progress?.needsState ?? this.#state.isStateLost,
        learner: isLearner(configuration, replica),
        held: progress?.held ?? false,
      }
    })
  }
}

function refused(reason: string): ProposeResult {
  return { kind: 'refused', reason }
}
