// What the gateway may ask of the replicas on its own node. Expected refusals are values; the gateway routes on them.
// Reads are served by any replica (a follower asks its leader for a read index); writes by the leader alone.

import type { AnswerBudget } from '../base/answer-budget.ts'
import type { Index, Keyspace, NodeId, RangeId, ReplicaId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'

/** Why a request was not served, and was certainly not applied. */
export type Refusal =
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  | { readonly kind: 'overloaded'; readonly queue: string; readonly retryAfterMs: number }
  | { readonly kind: 'range-mismatch'; readonly generation: number }
  | { readonly kind: 'no-replica' } // this node holds none of the range
  | { readonly kind: 'invalid'; readonly message: string; readonly details?: Readonly<Record<string, string>> }
  | { readonly kind: 'too-large'; readonly limit: string; readonly limitBytes: number; readonly value: number }
  | { readonly kind: 'below-threshold'; readonly threshold: Timestamp }
  | { readonly kind: 'future-instant' }
  | { readonly kind: 'disk-full'; readonly message: string }
  | { readonly kind: 'draining' }
  | { readonly kind: 'unavailable'; readonly message: string } // a quorum did not answer in time; reads only
  | { readonly kind: 'damaged'; readonly message: string }

/** The `queue` of an overloaded that lasts as long as the leader hands over: it is waited out. */
export const transferQueue = 'transfer'

export interface WriteRequest {
  readonly rangeId: RangeId
  /** 0: not routed by generation. */
  readonly generation: number
  /** The caller's clock; the leader moves past it before it stamps. */
  readonly clock: Timestamp
  /** An encoded WriteBatch: it goes into the log as it is, and is decoded once to be validated. */
  readonly writes: Uint8Array
  /** When to give up waiting (Clock.monotonicMs); the answer is then `unknown-outcome`. */
  readonly deadlineMs: number
}

export type WriteAnswer =
  | { readonly kind: 'done'; readonly outcomes: readonly quorate.v1.IOutcome[]; readonly clock: Timestamp }
  /** Proposed, and then the deadline, or the leadership, passed: it may or may not apply. */
  | { readonly kind: 'unknown-outcome' }
  | Refusal

export type ReadKind = 'linearizable' | 'stale' | 'at' | 'session'

export interface ReadRequest {
  readonly rangeId: RangeId
  readonly keyspace: Keyspace
  readonly kind: ReadKind
  /** `at` and `session` only, else 0. */
  readonly at: Timestamp
  readonly clock: Timestamp
  readonly deadlineMs: number
  /** Aborts when the caller has gone: the read is given up then, as it is at its deadline. */
  readonly signal?: AbortSignal | undefined
  /** What the answer may come to; undefined: what the request itself bounds. */
  readonly budget?: AnswerBudget | undefined
}

export interface GetRequest extends ReadRequest {
  readonly keys: readonly Uint8Array[]
}
export type GetAnswer =
  /**
   * `items`: of the first keys, and of all unless the budget was spent. `clock`: the last stamp of the state that was read, from
   * the log: never this node's own clock.
   */
  { readonly kind: 'done'; readonly items: readonly quorate.v1.IKeyVersion[]; readonly clock: Timestamp } | Refusal

/** One page; the caller asks again from `resume`, with kind `at` and the first page's instant. */
export interface ScanPageRequest extends ReadRequest {
  readonly start: Uint8Array
  /** Exclusive; empty: the end of the keyspace. */
  readonly end: Uint8Array
  readonly limit: number
  readonly bytesMax: number
  readonly reverse: boolean
  readonly keysOnly: boolean
  readonly countOnly: boolean
}
export type ScanPageAnswer =
  | {
      readonly kind: 'done'
      /** A ScanResponse of items alone, encoded. */
      readonly items: Uint8Array
      readonly count: number
      readonly at: Timestamp
      /** undefined: the span is done. Forward: the next start. Reverse: the next end. */
      readonly resume: Uint8Array | undefined
    }
  /** The budget was spent before there was anything of this page. */
  | { readonly kind: 'not-read' }
  | Refusal

export interface HistoryRequest extends ReadRequest {
  readonly key: Uint8Array
  readonly limit: number
  /** Only versions strictly below this instant; timestampMax: the newest. */
  readonly before: Timestamp
  /** Of values; one always fits. */
  readonly bytesMax: number
}
export type HistoryAnswer =
  | {
      readonly kind: 'done'
      readonly items: readonly quorate.v1.IKeyVersion[]
      readonly more: boolean
      readonly clock: Timestamp
    }
  | Refusal

export type AdminAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'conflict'; readonly message: string }
  | { readonly kind: 'not-found'; readonly message: string }
  /** The store that asks to be added was removed by an operator. */
  | { readonly kind: 'removed'; readonly message: string }
  | Refusal

/** A node's record in the system keyspace; `stored` undefined: there is none. */
export interface ExpectedRecord {
  readonly stored: Uint8Array | undefined
}

export interface ReplicaVerdict {
  /** Empty: not known. */
  readonly node: string
  readonly replica: ReplicaId
  readonly isEqual: boolean
  /** For people: `equal`, `differs: …` or `could not compare: …`, with what is done about it, or why. */
  readonly verdict: string
}

export type ChecksumAnswer =
  /** `isComplete`: every replica that can has answered. */
  | {
      readonly kind: 'done'
      readonly index: Index
      readonly isComplete: boolean
      readonly replicas: readonly ReplicaVerdict[]
    }
  | Exclude<AdminAnswer, { kind: 'done' }>

export interface LocalStore {
  readonly node: NodeId
  /** The range that owns a key: range 1 owns every key for now. */
  rangeOf(keyspace: Keyspace, key: Uint8Array): { readonly rangeId: RangeId; readonly generation: number }
  /** The leader as this node knows it. */
  leaderOf(rangeId: RangeId): NodeId | undefined
  write(request: WriteRequest): Promise<WriteAnswer>
  get(request: GetRequest): Promise<GetAnswer>
  scanPage(request: ScanPageRequest): Promise<ScanPageAnswer>
  history(request: HistoryRequest): Promise<HistoryAnswer>
  /** Every range with a replica here, as this node sees it (replicas of others: only what the leader knows of them). */
  status(): readonly quorate.v1.IRangeStatus[]
  /** With `expected`, only while the node's record is stored as it was judged by. */
  addMember(record: quorate.v1.INodeRecord, expected?: ExpectedRecord): Promise<AdminAnswer>
  /** The store of that name that was removed last may join again. `not-found`: none was. */
  readmitMember(node: NodeId): Promise<AdminAnswer>
  promoteMember(node: NodeId): Promise<AdminAnswer>
  removeMember(node: NodeId): Promise<AdminAnswer>
  transferLeader(rangeId: RangeId, node: NodeId | undefined): Promise<AdminAnswer>
  /**
   * Every replica reads all its rows as of one entry; the leader alone answers, by `deadlineMs` at the latest. `index`: of the
   * one that was begun before; undefined: begins one, or joins the one that is under way.
   */
  checksum(rangeId: RangeId, index: Index | undefined, deadlineMs: number): Promise<ChecksumAnswer>
  /** The node registry, as applied here. */
  nodes(): readonly quorate.v1.INodeRecord[]
  /** A linearizable read would be answered now: a leader is known and this node's replicas keep up. */
  readonly ready: boolean
}
