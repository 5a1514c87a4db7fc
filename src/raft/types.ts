// The vocabulary of the consensus core (Ongaro, "Consensus: Bridging Theory and Practice", 2014; etcd-io/raft for the
// shape of Ready). Values only: nothing here knows a clock, a socket or a disk.

import type { Index, ReplicaId, Term } from '../base/ids.ts'

/** `empty`: the first entry of a term. `command`: opaque to the core. `configuration`: an encoded ConfigurationChange. */
export type EntryKind = 'empty' | 'command' | 'configuration'

export interface Entry {
  readonly term: Term
  readonly index: Index
  readonly kind: EntryKind
  /** Never changed once made. */
  readonly data: Uint8Array
}

/** What must be durable before a message that depends on it leaves (paper, figure 2). `vote` 0: none in this term. */
export interface HardState {
  readonly term: Term
  readonly vote: ReplicaId
  readonly commit: Index
}

/** Who votes (dissertation 4.3). Joint while `votersOutgoing` is not empty: then both majorities must agree. Sorted ascending. */
export interface Configuration {
  readonly voters: readonly ReplicaId[]
  readonly votersOutgoing: readonly ReplicaId[]
  readonly learners: readonly ReplicaId[]
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly ReplicaId[]
  readonly autoLeave: boolean
}

export type ConfigurationStep =
  | { readonly kind: 'add-voter'; readonly replica: ReplicaId }
  | { readonly kind: 'add-learner'; readonly replica: ReplicaId }
  | { readonly kind: 'remove'; readonly replica: ReplicaId }

/** One change. More than one step, or `joint` other than 'auto-if-needed', goes through a joint configuration; no steps leaves it. */
export interface ConfigurationChange {
  readonly steps: readonly ConfigurationStep[]
  readonly joint: 'auto-if-needed' | 'auto-leave' | 'explicit-leave'
  /** For the shell, opaque to the core: what it must know of the replicas that come. */
  readonly context: Uint8Array
}

export interface SnapshotMeta {
  readonly index: Index
  readonly term: Term
  readonly configuration: Configuration
}

interface MessageBase {
  readonly from: ReplicaId
  readonly to: ReplicaId
  /** The sender's term; a pre-vote request carries the term it would campaign in, its grant the same (dissertation 9.6). */
  readonly term: Term
}

export interface RequestVote extends MessageBase {
  readonly kind: 'request-vote'
  readonly preVote: boolean
  readonly lastIndex: Index
  readonly lastTerm: Term
  /** The campaign was asked for by the leader (dissertation 3.10): check-quorum's lease does not refuse it. */
  readonly transfer: boolean
  readonly commit?: Index
  readonly commitTerm?: Term
}
/**
 * Votes tell, both ways, what the sender knows to be committed, and its term there (0 or absent: it does not tell). Else
 * a voter that has an entry of a configuration change, and does not know that it is committed, may need the vote of a
 * replica that the change removed, whose log is longer and who may not campaign itself: nobody could ever be elected.
 */
export interface RequestVoteResponse extends MessageBase {
  readonly kind: 'request-vote-response'
  readonly preVote: boolean
  readonly granted: boolean
  readonly commit?: Index
  readonly commitTerm?: Term
}
export interface AppendEntries extends MessageBase {
  readonly kind: 'append-entries'
  readonly previousIndex: Index
  readonly previousTerm: Term
  readonly commit: Index
  readonly entries: readonly Entry[]
}
export interface AppendEntriesResponse extends MessageBase {
  readonly kind: 'append-entries-response'
  /** Accepted: the last index known to match and durable. Rejected: the `previousIndex` that was refused. */
  readonly index: Index
  readonly rejected: boolean
  /** Rejected: the largest index at which the follower's log may match, and its term there. */
  readonly hintIndex: Index
  readonly hintTerm: Term
  /** It takes no entries for now, and took none of these: wait until its heartbeat's answer says otherwise. */
  readonly held?: boolean
}
export interface Heartbeat extends MessageBase {
  readonly kind: 'heartbeat'
  /** min(match, commit): never beyond what the follower is known to have. */
  readonly commit: Index
  /** Number of the newest ReadIndex round it confirms; 0: none. */
  readonly context: number
}
export interface HeartbeatResponse extends MessageBase {
  readonly kind: 'heartbeat-response'
  readonly context: number
  /** It takes no entries for now. */
  readonly held?: boolean
  /** The sender has its log and its votes, and has lost its state: a snapshot is to be sent to it. */
  readonly needsState: boolean
}
export interface TimeoutNow extends MessageBase {
  readonly kind: 'timeout-now'
}
/** A follower's shell asks the leader for a read index. `context` is chosen by the asker and echoed. */
export interface ReadIndexRequest extends MessageBase {
  readonly kind: 'read-index-request'
  readonly context: number
}
export interface ReadIndexResponse extends MessageBase {
  readonly kind: 'read-index-response'
  readonly context: number
  readonly index: Index
  /** The asked replica cannot confirm: not leader, or no commit in its term yet. Ask again, as a new request. */
  readonly rejected: boolean
}
/** Asks the shell to stream a snapshot to `to`. Never on the wire in this form: the shell's stream carries it. */
export interface InstallSnapshot extends MessageBase {
  readonly kind: 'install-snapshot'
  readonly snapshot: SnapshotMeta
}

export type Message =
  | RequestVote
  | RequestVoteResponse
  | AppendEntries
  | AppendEntriesResponse
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse
  | InstallSnapshot

/**
 * The durable log as the core reads it, synchronously. It holds (truncatedIndex, lastIndex]; what the core has handed
 * out in a Ready and the shell has queued counts as held at once (the log answers from memory until it is synced).
 */
export interface LogView {
  /** The index below which entries were truncated (0 at first); its term is known. */
  readonly truncatedIndex: Index
  readonly lastIndex: Index
  /** The term at `index`, or undefined when truncated or past the end. `truncatedIndex` itself answers. */
  term(index: Index): Term | undefined
  /** Entries [from, toExclusive), as many as fit in `bytesMax`, at least one. Throws when reading fails: never a short or wrong answer. */
  entries(from: Index, toExclusive: Index, bytesMax: number): readonly Entry[]
}

export interface RaftOptions {
  readonly id: ReplicaId
  readonly electionTimeoutTicks: number
  readonly heartbeatTicks: number
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  /** Bytes of entry data an append carries, at least one entry. */
  readonly appendBytesMax: number
  /** Bytes of uncommitted data past which proposals are refused as overloaded. */
  readonly uncommittedBytesMax: number
  /** Bytes of committed entries handed out and not applied past which no more are handed out: the log has the rest. */
  readonly applyingBytesMax: number
  /**
   * Bytes committed and not applied past which a follower takes no entries, and a leader no proposals. What is not committed does
   * not count: a follower that is full of it must take the entry by which it is committed.
   */
  readonly unappliedBytesMax: number
  /** The largest single proposal. */
  readonly proposalBytesMax: number
  /** Uniform integer in [0, bound). */
  readonly random: (bound: number) => number
}

/** What the core starts from: read back from the log. `applied` is the state machine's; commit restarts at max(hardState.commit, applied). */
export interface RaftStart {
  readonly log: LogView
  readonly hardState: HardState
  readonly configuration: Configuration
  readonly applied: Index
  /** What was applied is not to be trusted: see `loseState`. */
  readonly isStateLost?: boolean
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

export type ProposeResult =
  | { readonly kind: 'accepted'; readonly index: Index; readonly term: Term }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId }
  | { readonly kind: 'overloaded'; readonly queue: 'uncommitted' | 'unapplied' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'transferring' }
  /** A configuration change: one is pending, none of this term is committed yet, or the steps do not fit. */
  | { readonly kind: 'refused'; readonly reason: string }

export type ReadIndexResult =
  /** The answer comes as a ReadState of this context. */
  | { readonly kind: 'accepted'; readonly context: number }
  | { readonly kind: 'not-leader'; readonly leader: ReplicaId }
  /** Leader, but no entry of its term is committed yet: try again after the next Ready. */
  | { readonly kind: 'not-ready' }

export interface ReadState {
  readonly context: number
  /** Apply through this, then read. */
  readonly index: Index
  /** false: leadership was lost, or the leader refused; ask again as a new request. */
  readonly confirmed: boolean
}

/**
 * One turn of work for the shell. In order: hand `entries`, `hardState` and `snapshot` to the log as one flush; send `messages`
 * at once, beside the flush; send `messagesAfterFlush` once that flush is durable; apply `committed`. Then report back with
 * `durableTo` (when the flush is) and `appliedTo` (when applied). Several Readies may be under way at once; flushes
 * complete in order.
 */
export interface Ready {
  readonly hardState: HardState | undefined
  /**
   * Whether `hardState` must be synced before messagesAfterFlush (term or vote changed, or entries), not commit alone. True,
   * too, with nothing to write, when messagesAfterFlush depend on an earlier flush that is not reported yet.
   */
  readonly mustSync: boolean
  /** To append; the first may overwrite a suffix: everything from its index on goes. */
  readonly entries: readonly Entry[]
  /** A snapshot whose state the shell holds and that the core accepted: reset the log to it. Then there are no entries and no committed. */
  readonly snapshot: SnapshotMeta | undefined
  readonly messages: readonly Message[]
  readonly messagesAfterFlush: readonly Message[]
  readonly committed: readonly Entry[]
  readonly readStates: readonly ReadState[]
  /** Set when role, leader or term changed since the last Ready. */
  readonly softState: SoftState | undefined
}

export interface SoftState {
  readonly role: Role
  readonly term: Term
  readonly leader: ReplicaId
}

export interface ProgressStatus {
  readonly replica: ReplicaId
  readonly match: Index
  readonly next: Index
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly recentActive: boolean
  /** Ticks since it was heard; infinite: never by this leader, which may have been elected a moment ago. The leader itself: 0. */
  readonly silentTicks: number
  /** It said so itself: it has lost its state, and neither serves nor leads. */
  readonly needsState: boolean
  readonly learner: boolean
  /** It takes no entries for now. */
  readonly held: boolean
}

export interface RaftStatus extends SoftState {
  readonly id: ReplicaId
  readonly vote: ReplicaId
  readonly commit: Index
  readonly applied: Index
  readonly lastIndex: Index
  readonly configuration: Configuration
  readonly transferTarget: ReplicaId
  /** Committed and not applied. */
  readonly unappliedBytes: number
  /** Leader only, else empty. */
  readonly progress: readonly ProgressStatus[]
}

/** The core. `src/raft/raft.ts` exports `createRaft(options, start): Raft`. */
export interface Raft {
  tick(): void
  step(message: Message): void
  propose(data: Uint8Array): ProposeResult
  /** Applied by the shell through `applyConfiguration` when its entry is applied. */
  proposeConfiguration(change: ConfigurationChange): ProposeResult
  /** On a follower or learner that knows its leader: asks it; the ReadState comes, confirmed or not, within an election timeout. */
  readIndex(): ReadIndexResult
  transferLeadership(to: ReplicaId): ProposeResult
  /** Leader: whoever has not heard of this commit, by an append, is sent an empty one. Heartbeats tell of it, too, later. */
  tellCommit(commit: Index): void
  /** Campaign at once: a one-replica range after init, and tests. */
  campaign(): void
  hasReady(): boolean
  ready(): Ready
  /**
   * The flush of a Ready that ended at `index` (its last entry's, or its snapshot's) is on disk, and so is everything before
   * it. `term`: that last entry's, or the core's when the Ready was handed out; either is told apart. Once for every
   * Ready with entries or a snapshot, in their order, and for no other: what was written may be overwritten and come back
   * (ABA), so a report counts for the oldest Ready not yet reported that it fits.
   */
  durableTo(index: Index, term: Term): void
  /** Vote and term of the last Ready with a hardState are on disk (matters for a candidate's own vote and single voters). */
  hardStateDurable(hardState: HardState): void
  appliedTo(index: Index): void
  /** At apply of a `configuration` entry, exactly once each and in order. Returns the configuration now in force. */
  applyConfiguration(change: ConfigurationChange): Configuration
  /** A snapshot stream has arrived whole. true: the next Ready carries it, reset the log and state to it; false: stale, drop it. */
  maybeRestore(from: ReplicaId, term: Term, snapshot: SnapshotMeta): boolean
  /**
   * The state machine here is not to be trusted any more, whatever it has applied. From now on this replica votes and
   * appends like any other, so that the quorum does not shrink; it hands out nothing to be applied and never campaigns.
   * A leader hands over first, and steps down if nobody takes over within a few election timeouts. This is for ever: once
   * the shell has put a snapshot in place, it starts a new core from it.
   */
  loseState(): void
  /** Whether a replica that has lost its state asks its leader, with each answer to a heartbeat, for a snapshot. */
  askForState(isWanted: boolean): void
  /**
   * A replica that has lost its state, and asks for another, may begin anew from this snapshot, and then apply the rest of its own log: the
   * snapshot comes from the leader of this term or a later one, and no committed entry lies between it and that log.
   */
  mayRebuild(from: ReplicaId, term: Term, snapshot: SnapshotMeta): boolean
  /** The stream to `to` ended: its state was installed at `index`, or it failed. */
  snapshotReported(to: ReplicaId, index: Index, installed: boolean): void
  reportUnreachable(to: ReplicaId): void
  /** While it is held, no entries of a leader are taken but those without data: the shell has no room for more. */
  holdIntake(isHeld: boolean): void
  status(): RaftStatus
  readonly term: Term
  readonly role: Role
  readonly leader: ReplicaId
  readonly commit: Index
  readonly lastIndex: Index
}
