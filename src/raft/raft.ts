// The consensus core: a pure state machine (DESIGN.md 5, in the manner of etcd-io/raft). Time comes as ticks, peers as
// messages, disks as reports; what should happen goes out as a Ready. Here are the terms, the roles and their
// transitions; what each role does is in follower.ts, election.ts and leadership.ts.
//
// An AssertionError from any method is a broken invariant: the process must end. An error of the LogView's passes
// through, with the state unchanged but for what had been decided before the log was read.

import { assert, unreachable } from '../base/assert.ts'
import { asIndex, asTerm, type Index, noReplica, type ReplicaId, type Term } from '../base/ids.ts'
import { isVoter } from './configuration.ts'
import { changeConfiguration } from './configuration-change.ts'
import { castVote, type CoreState, createCoreState } from './core-state.ts'
import { answerVoteRequest, Ballot, maybeCommitByVote, requestVotes } from './election.ts'
import { ElectionTimer } from './election-timer.ts'
import { handleAppendEntries, handleHeartbeat, mayRebuild, maybeRestore } from './follower.ts'
import { Leadership } from './leadership.ts'
import { answerLowerTerm } from './lower-term.ts'
import { RaftLog } from './raft-log.ts'
import { answerReadRequest, ForwardedReads } from './read-index.ts'
import { sendTimeoutNow } from './replication.ts'
import { ToldStates } from './told-states.ts'
import type {
  Configuration,
  ConfigurationChange,
  HardState,
  Message,
  ProposeResult,
  Raft,
  RaftOptions,
  RaftStart,
  RaftStatus,
  ReadIndexRequest,
  ReadIndexResult,
  Ready,
  RequestVote,
  RequestVoteResponse,
  Role,
  SnapshotMeta,
} from './types.ts'

export function createRaft(options: RaftOptions, start: RaftStart): Raft {
  return new RaftCore(options, start)
}

class RaftCore implements Raft {
  readonly #state: CoreState
  readonly #log: RaftLog
  readonly #forwardedReads: ForwardedReads
  #ballot = new Ballot()
  /** Set exactly while the role is leader. */
  #leadership: Leadership | undefined
  /** After it stepped down: whom it has not told yet. */
  #successors: ReplicaId[] = []
  /** Since the leader was heard, a vote was given, or a campaign began. */
  readonly #timer: ElectionTimer
  readonly #told: ToldStates

  constructor(options: RaftOptions, start: RaftStart) {
    const { hardState, log, applied } = start
    assert(options.id > 0, 'a replica has an id')
    assert(
      options.heartbeatTicks > 0 && options.electionTimeoutTicks > options.heartbeatTicks,
      'heartbeats fit in a timeout',
    )
    const commit = asIndex(Math.max(hardState.commit, applied))
    this.#timer = new ElectionTimer(options)
    this.#log = new RaftLog(log, commit, applied, options.applyingBytesMax)
    assert(hardState.term >= this.#log.lastTerm, 'no entry is newer than the term')
    this.#state = createCoreState(options, start, this.#log)
    this.#forwardedReads = new ForwardedReads(this.#state)
    this.#told = new ToldStates(this.#state)
  }

  get term(): Term {
    return this.#state.term
  }

  get role(): Role {
    return this.#state.role
  }

  get leader(): ReplicaId {
    return this.#state.leader
  }

  get commit(): Index {
    return this.#log.commit
  }

  get lastIndex(): Index {
    return this.#log.lastIndex
  }

  status(): RaftStatus {
    const { id, role, term, leader, vote, configuration } = this.#state
    return {
      id,
      role,
      term,
      leader,
      vote,
      commit: this.#log.commit,
      applied: this.#log.applied,
      lastIndex: this.#log.lastIndex,
      configuration,
      transferTarget: this.#leadership?.transferTarget ?? noReplica,
      unappliedBytes: this.#log.unappliedBytes,
      progress: this.#leadership?.status() ?? [],
    }
  }

  // --- time

  tick(): void {
    if (this.#leadership !== undefined) {
      if (this.#leadership.tick()) this.#stepDown(this.#leadership)
      else {
        if (this.#state.isStateLost) this.#maybeHandOver(this.#leadership)
        return
      }
    }
    this.#askSuccessor()
    this.#forwardedReads.tick()
    if (!this.#timer.tick()) return
    // Who cannot campaign has at least lost sight of the leader.
    this.#state.leader = noReplica
    this.#timer.restart()
    this.campaign()
  }

  #stepDown(leadership: Leadership): void {
    const successors = leadership.successors()
    this.#becomeFollower(this.#state.term, noReplica)
    this.#successors = successors
  }

  /** A leader without a state: somebody with the whole log takes over, or, after a while, whoever is elected. */
  #maybeHandOver(leadership: Leadership): void {
    if (!leadership.maybeHandOver()) this.#stepDown(leadership)
  }

  /**
   * Who stepped down for want of a quorum tells the others to campaign: whoever could still hear it would wait for another whole
   * election timeout, and in a partial partition nobody else may be able to win. One a tick, or they would split the vote; and
   * as long as nobody shows, since it cannot know whom it reaches.
   */
  #askSuccessor(): void {
    const next = this.#successors.shift()
    if (next !== undefined) sendTimeoutNow(this.#state, next)
  }

  /** The leader was heard less than an election timeout ago. A leader has heard from itself: check-quorum watches it. */
  get #isLeaderAlive(): boolean {
    return this.#state.leader !== noReplica && this.#timer.isEarly
  }

  // --- elections

  campaign(): void {
    if (this.#canCampaign) this.#becomePreCandidate()
  }

  get #canCampaign(): boolean {
    const { role, id, configuration } = this.#state
    if (role === 'leader' || !isVoter(configuration, id)) return false
    // A leader must have applied its log, and nothing is applied here.
    if (this.#state.isStateLost) return false
    // It would count votes by a configuration that a majority may have left behind (etcd#12133).
    return !this.#log.hasCommittedUnappliedConfiguration && !this.#log.isSnapshotPending
  }

  #becomeFollower(term: Term, leader: ReplicaId): void {
    const state = this.#state
    assert(term >= state.term, 'terms only grow')
    if (term !== state.term || leader !== state.leader) this.#forwardedReads.fail()
    if (term > state.term) {
      state.term = term
      state.vote = noReplica
    }
    // Within a term the vote stands, whatever happens to the role.
    state.role = 'follower'
    state.leader = leader
    this.#successors = []
    const leadership = this.#leadership
    this.#leadership = undefined
    leadership?.stepDown()
    this.#timer.restart()
  }

  #becomePreCandidate(): void {
    const state = this.#state
    this.#forwardedReads.fail()
    state.role = 'pre-candidate'
    state.leader = noReplica
    this.#successors = []
    this.#timer.restart()
    this.#ballot = new Ballot()
    this.#ballot.record(state.id, true)
    requestVotes(state, true, false)
    this.#countVotes()
  }

  #becomeCandidate(transfer: boolean): void {
    const state = this.#state
    this.#forwardedReads.fail()
    state.role = 'candidate'
    state.leader = noReplica
    state.term = asTerm(state.term + 1)
    state.vote = noReplica
    castVote(state, state.id)
    this.#timer.restart()
    // Its own vote is counted by hardStateDurable, once it is on disk.
    this.#ballot = new Ballot()
    requestVotes(state, false, transfer)
  }

  #becomeLeader(): void {
    const state = this.#state
    assert(state.durableTerm === state.term && state.durableVote === state.id, "a leader's own vote is durable")
    state.role = 'leader'
    state.leader = state.id
    this.#timer.restart()
    this.#leadership = new Leadership(state)
  }

  #countVotes(): void {
    const { role, term, configuration } = this.#state
    switch (this.#ballot.result(configuration)) {
      case 'won':
        if (role === 'pre-candidate') this.#becomeCandidate(false)
        else if (this.#state.durableTerm === term && this.#state.durableVote === this.#state.id) this.#becomeLeader()
        return
      case 'lost':
        this.#becomeFollower(term, noReplica)
        return
      default:
    }
  }

  #handleVoteRequest(message: RequestVote): void {
    if (answerVoteRequest(this.#state, message)) this.#timer.postpone()
  }

  #handleVoteResponse({ from, preVote, granted }: RequestVoteResponse): void {
    if (this.#state.role !== (preVote ? 'pre-candidate' : 'candidate')) return
    this.#ballot.record(from, granted)
    this.#countVotes()
  }

  // --- messages

  step(message: Message): void {
    const state = this.#state
    if (message.to !== state.id) return
    if (message.kind === 'request-vote' || message.kind === 'request-vote-response') this.#learnCommit(message)
    if (message.term > state.term && !this.#acceptHigherTerm(message)) return
    if (message.term < state.term) {
      answerLowerTerm(state, message)
      return
    }
    switch (message.kind) {
      case 'request-vote':
        this.#handleVoteRequest(message)
        return
      case 'request-vote-response':
        this.#handleVoteResponse(message)
        return
      case 'append-entries':
        this.#hearLeader(message.from)
        handleAppendEntries(state, message)
        return
      case 'heartbeat':
        this.#hearLeader(message.from)
        handleHeartbeat(state, message)
        return
      case 'append-entries-response':
        this.#leadership?.handleAppendResponse(message)
        return
      case 'heartbeat-response':
        this.#leadership?.handleHeartbeatResponse(message)
        return
      case 'timeout-now':
        if (state.role === 'follower' && message.from === state.leader && this.#canCampaign) this.#becomeCandidate(true)
        return
      case 'read-index-request':
        this.#handleReadRequest(message)
        return
      case 'read-index-response':
        this.#forwardedReads.answered(message.context, message.index, !message.rejected)
        return
      case 'install-snapshot':
        // Its stream comes through the shell, to maybeRestore.
        return
      default:
        unreachable(message)
    }
  }

  #learnCommit(message: RequestVote | RequestVoteResponse): void {
    const { role, term } = this.#state
    if (role === 'leader' || !maybeCommitByVote(this.#state, message)) return
    // A campaign by a configuration that is now known to be the past counts the wrong votes.
    if (role !== 'follower' && this.#log.hasCommittedUnappliedConfiguration) this.#becomeFollower(term, noReplica)
  }

  /** Whether the message is to be handled further. All but pre-votes move this replica to the higher term (paper 5.1). */
  #acceptHigherTerm(message: Message): boolean {
    switch (message.kind) {
      case 'request-vote':
        // Someone who merely lost sight of a living leader must not unseat it (dissertation 4.2.3).
        if (!message.transfer && this.#isLeaderAlive) return false
        if (!message.preVote) this.#becomeFollower(message.term, noReplica)
        return true
      case 'request-vote-response':
        // A grant carries the term we would campaign in, and that is not ours yet.
        if (message.preVote && message.granted) {
          if (this.#state.role === 'pre-candidate' && message.term === this.#state.term + 1)
            this.#handleVoteResponse(message)
          return false
        }
        this.#becomeFollower(message.term, noReplica)
        return true
      case 'append-entries':
      case 'heartbeat':
        this.#becomeFollower(message.term, message.from)
        return true
      default:
        this.#becomeFollower(message.term, noReplica)
        return true
    }
  }

  /** A message only a leader of this term sends. */
  #hearLeader(from: ReplicaId): void {
    const { role, term, leader } = this.#state
    assert(
      role !== 'leader' && (leader === noReplica || leader === from),
      `at most one leader a term: ${leader} and ${from}`,
    )
    if (role !== 'follower' || leader !== from) this.#becomeFollower(term, from)
    this.#timer.postpone()
  }

  // --- reads

  readIndex(): ReadIndexResult {
    if (this.#leadership !== undefined) return this.#leadership.readIndex()
    if (this.#state.leader === noReplica) return { kind: 'not-leader', leader: noReplica }
    return { kind: 'accepted', context: this.#forwardedReads.ask() }
  }

  #handleReadRequest({ from, context }: ReadIndexRequest): void {
    const isTaken = this.#leadership?.maybeReadIndexFor(from, context) ?? false
    if (!isTaken) answerReadRequest(this.#state, from, context, asIndex(0), false)
  }

  // --- proposals

  propose(data: Uint8Array): ProposeResult {
    return this.#leadership?.propose(data) ?? this.#notLeader()
  }

  proposeConfiguration(change: ConfigurationChange): ProposeResult {
    return this.#leadership?.proposeConfiguration(change) ?? this.#notLeader()
  }

  transferLeadership(to: ReplicaId): ProposeResult {
    return this.#leadership?.transferLeadership(to) ?? this.#notLeader()
  }

  #notLeader(): ProposeResult {
    return { kind: 'not-leader', leader: this.#state.leader }
  }

  // --- the shell's turn

  hasReady(): boolean {
    const { outbox } = this.#state
    return (
      this.#log.hasPending ||
      (this.#log.hasNextCommitted && !this.#state.isStateLost) ||
      !outbox.isEmpty ||
      (this.#leadership?.isSendDue ?? false) ||
      this.#told.hasNews
    )
  }

  ready(): Ready {
    const state = this.#state
    const log = this.#log
    // These read the log and may throw: before anything is taken.
    const committed = state.isStateLost ? [] : log.nextCommitted()
    this.#leadership?.fillOutbox()
    log.handOut(committed)
    this.#leadership?.handedOut(committed)

    const entries = log.takePending(state.term)
    const snapshot = log.takeSnapshot(state.term)
    // Not before: until now the shell may have been applying entries of the old log.
    if (snapshot !== undefined) state.configuration = snapshot.configuration
    const { messages, messagesAfterFlush, readStates } = state.outbox.take()
    const { hasNewVote } = this.#told
    const softState = this.#told.takeSoftState()
    const hardState = this.#told.takeHardState()
    // What goes behind the flush may depend on an earlier one that is still under way.
    const isFlushUnderWay = log.hasUnreported || state.term !== state.durableTerm || state.vote !== state.durableVote
    const mustSync =
      entries.length > 0 || snapshot !== undefined || hasNewVote || (messagesAfterFlush.length > 0 && isFlushUnderWay)
    return { hardState, mustSync, entries, snapshot, messages, messagesAfterFlush, committed, readStates, softState }
  }

  durableTo(index: Index, term: Term): void {
    this.#log.durableTo(index, term)
    this.#leadership?.maybeCommit()
  }

  hardStateDurable({ term, vote }: HardState): void {
    const state = this.#state
    if (term < state.durableTerm) return
    state.durableTerm = term
    state.durableVote = vote
    if (state.role !== 'candidate' || term !== state.term) return
    assert(vote === state.id, 'a candidate votes for itself')
    this.#ballot.record(state.id, true)
    this.#countVotes()
  }

  appliedTo(index: Index): void {
    this.#log.appliedTo(index)
    this.#leadership?.maybeLeaveJoint()
  }

  applyConfiguration(change: ConfigurationChange): Configuration {
    const state = this.#state
    const result = changeConfiguration(state.configuration, change)
    // It was checked against this same configuration when it was proposed, with no other in between.
    assert(
      result.kind === 'changed',
      `a committed configuration change fits: ${result.kind === 'refused' ? result.reason : ''}`,
    )
    state.configuration = result.configuration
    if (this.#leadership !== undefined) {
      // A leader that is no voter any more has led until this was committed, and no longer (dissertation 4.2.2).
      if (isVoter(state.configuration, state.id)) this.#leadership.configurationChanged()
      else this.#becomeFollower(state.term, noReplica)
    } else if (state.role !== 'follower') {
      this.#becomeFollower(state.term, noReplica)
    }
    return state.configuration
  }

  maybeRestore(from: ReplicaId, term: Term, snapshot: SnapshotMeta): boolean {
    return this.#maybeHearLeader(from, term) && maybeRestore(this.#state, from, snapshot)
  }

  /** A snapshot has come from `from`, who led in `term`. False: that is past. */
  #maybeHearLeader(from: ReplicaId, term: Term): boolean {
    if (term < this.#state.term) return false
    if (term > this.#state.term) this.#becomeFollower(term, from)
    this.#hearLeader(from)
    return true
  }

  loseState(): void {
    const state = this.#state
    if (state.isStateLost) return
    state.isStateLost = true
    if (this.#leadership !== undefined) this.#maybeHandOver(this.#leadership)
    else if (state.role !== 'follower') this.#becomeFollower(state.term, noReplica)
  }

  askForState(isWanted: boolean): void {
    this.#state.isStateWanted = isWanted && this.#state.isStateLost
  }

  mayRebuild(from: ReplicaId, term: Term, snapshot: SnapshotMeta): boolean {
    return this.#state.isStateWanted && this.#maybeHearLeader(from, term) && mayRebuild(this.#state, snapshot)
  }

  tellCommit(commit: Index): void {
    this.#leadership?.tellCommit(commit)
  }

  snapshotReported(to: ReplicaId, index: Index, installed: boolean): void {
    this.#leadership?.snapshotReported(to, index, installed)
  }

  reportUnreachable(to: ReplicaId): void {
    this.#leadership?.reportUnreachable(to)
  }

  holdIntake(isHeld: boolean): void {
    this.#state.isIntakeHeld = isHeld
  }
}
