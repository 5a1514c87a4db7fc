// What a write may be. Each limit has its reason; all can be set, and a request past one gets an error that names it.

export interface WriteLimits {
  /** Keys are compared, cached and indexed whole. */
  readonly keyBytes: number
  /** A value crosses the network, the log and the engine in one piece, three times over. */
  readonly valueBytes: number
  /** A request is one piece of one log entry. */
  readonly requestBytes: number
  /** Each write has an outcome, and a stamp of its own. */
  readonly batchWrites: number
  /**
   * Keys that the writes of one request put, delete or compare: what it costs to decode and to apply, whatever its bytes.
   * It admits the largest DeleteRange, and 64 commits that each compare and change as many keys as a commit may.
   */
  readonly batchKeyOperations: number
  /** How far ahead of the leader's clock `notAfter` may lie: a session, with its outcomes, is kept until then. */
  readonly notAfterAheadMs: number
  readonly commitCompares: number
  readonly commitChanges: number
  /** Keys that one DeleteRange removes before it says where to go on. */
  readonly deleteRangeKeys: number
}

export const defaultWriteLimits: WriteLimits = {
  keyBytes: 4 * 1024,
  valueBytes: 1024 * 1024,
  requestBytes: 4 * 1024 * 1024,
  batchWrites: 4_096,
  batchKeyOperations: 16_384,
  notAfterAheadMs: 2 * 60 * 1000,
  commitCompares: 128,
  commitChanges: 128,
  deleteRangeKeys: 10_000,
}

export const sessionIdBytes = 16
