// What a replica needs of the store around it, and what it is told of limits and time.

import type { Index, ReplicaId, Term } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { RangeState } from '../command/range-state.ts'
import type { ParseLimits } from '../command/write-batch.ts'
import type { Log } from '../log/log.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import type { Message, SnapshotMeta } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import type { Channel } from '../transport/transport.ts'
import type { RangeDescriptor } from './descriptor.ts'
import type { ApplyTurn } from './apply-turn.ts'
import type { HeldLogBudget } from './held-log-budget.ts'
import type { DiskView } from './disk-refusal.ts'
import type { Replica } from './replica.ts'

export interface ReplicaLimits {
  readonly entryBytes: number
  readonly entryKeyOperations: number
  readonly proposalQueueBytes: number
  readonly uncommittedBytes: number
  readonly applyingBytes: number
  readonly unappliedBytes: number
  readonly logRetainedBytes: number
  readonly logHeldBytes: number
  readonly logHeldStallMs: number
  readonly snapshotChunkBytes: number
  /** The log's segments on disk; past it writes wait for old ones to go. */
  readonly logBytes: number
  readonly parse: ParseLimits
}

export interface ReplicaTiming {
  readonly electionTimeoutTicks: number
  readonly heartbeatTicks: number
  readonly electionTimeoutMs: number
}

/** What a replica needs of its store. */
export interface ReplicaHost {
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly log: Log
  readonly versions: VersionStore
  readonly limits: ReplicaLimits
  readonly timing: ReplicaTiming
  readonly commandVersion: number
  readonly logger: Logger
  /** The replicas of a node apply in turns that they share. */
  readonly applyTurn: ApplyTurn
  readonly heldLog: HeldLogBudget
  readonly disks: DiskView
  random(bound: number): number
  send(replica: Replica, to: ReplicaId, channel: Channel, message: Message): void
  /** `term`: of the leader that asks for it. By the time it is sent, this replica may lead no more. */
  sendSnapshot(replica: Replica, to: ReplicaId, term: Term): void
  /** Puts the snapshot that is here in place of the range's state; resolves with the state it brought. */
  installSnapshot(replica: Replica, meta: SnapshotMeta): Promise<RangeState>
  /** More is dirty than the engine should hold: apply again when `resumeApply` is called. */
  isApplyHeld(): boolean
  onSystemWrite(key: Uint8Array, value: Uint8Array | undefined): void
  onDescriptor(replica: Replica, descriptor: RangeDescriptor): void
  onRoleChange(replica: Replica): void
  onApplied(replica: Replica, index: Index): void
  /** Its state is as of `index` for this turn, and a checksum of it is wanted. */
  onChecksum(replica: Replica, index: Index): void
  /** Applying failed: this replica stops, its node goes on (a poison entry must not kill every node in turn). */
  onPoisoned(replica: Replica, error: unknown): void
  /** A failed assertion in the core: a wrong answer is worse than none. */
  onFatal(error: unknown): void
}
