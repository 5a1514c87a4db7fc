// The durable log's port (DESIGN.md 6): all ranges of a node in one append-only log, one writer, group commit.
//
// Callers owe: bytes handed over are never changed; queue calls are in Raft's order per replica; `engineFlushed` only
// after the engine's batch is durable. Implementers owe: flushes complete in order; a completion means an fsync behind
// every byte queued before it; a failed write or sync is reported once through `onFatal` and nothing completes after it.

import type { Entry, HardState, LogView } from '../raft/types.ts'
import type { Index, RangeId, ReplicaId, Term } from '../base/ids.ts'

export interface RecoveredReplica {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly hardState: HardState
  readonly log: ReplicaLog
}

/** One replica's part of the log. Appended entries answer from memory at once, durable or not. */
export interface ReplicaLog extends LogView {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  /** Queues entries (an overlap overwrites the suffix) and, where given, the HardState for the next flush. */
  append(entries: readonly Entry[], hardState: HardState | undefined): void
  /** Drops the prefix up to `index` (applied and below the flushed applied index); the state is elsewhere. */
  truncateTo(index: Index): void
  /** A snapshot was installed: the log continues after (index, term); the suffix stays only where that entry matches. */
  reset(index: Index, term: Term): void
  /** The replica is gone from this node; a later replica id may be created. */
  remove(): void
}

export interface Log {
  readonly recovered: readonly RecoveredReplica[]
  /** The clock's ceiling as of the newest flush header read back (0 for a new log). */
  readonly recoveredCeiling: number
  /** The newest durable flush number; every engine flush records it. */
  readonly flushedNumber: number
  createReplica(rangeId: RangeId, replicaId: ReplicaId): ReplicaLog
  /**
   * Everything queued so far, by every replica, goes to disk in one flush (with those still waiting); calls `done` with the
   * ceiling that its header carried once it is durable. Cheap to call often: at most one write is in flight.
   */
  flush(done: (ceilingSynced: number) => void): void
  /** The engine made durable a batch that recorded flush number `recorded`, with these applied indexes. Frees old segments. */
  engineFlushed(recorded: number, applied: ReadonlyMap<RangeId, Index>): void
  /** Recent flush latency in microseconds, for peers and metrics. */
  readonly flushMicros: number
  readonly bytesOnDisk: number
  close(): Promise<void>
}
