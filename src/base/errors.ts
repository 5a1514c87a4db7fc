// The one error class for users: a stable code, whether a retry can help, and details. The table from codes to gRPC
// status lives in src/server; nothing below the service boundary throws these for expected outcomes.

export type ErrorCode =
  | 'invalid-argument' // the request can never succeed as it is
  | 'too-large' // over a named limit; details.limit, details.value
  | 'not-leader' // ask `leader`
  | 'unavailable' // certainly not applied; try again, perhaps elsewhere
  | 'unknown-outcome' // it may or may not have been applied; nothing repeats the call
  | 'too-late' // its session number was answered long ago, or notAfter has passed: outcome unknown
  | 'overloaded' // a queue is full; not applied; details.queue
  | 'deadline-exceeded' // a read, or a write that was certainly not sent
  | 'cancelled' // the caller's signal
  | 'range-mismatch' // the range's span or generation is another; not applied
  | 'below-threshold' // the instant asked for was collected; details.threshold
  | 'future-instant' // the instant asked for is more than 500 ms ahead
  | 'wrong-cluster' // cluster id, node id or store id do not match
  | 'twin' // another process runs on a copy of the same data directory
  | 'superseded' // a copy of the data directory has taken this one's place in the cluster
  | 'not-initialised' // no cluster yet: `quorate init`
  | 'already-initialised'
  | 'not-found' // a node or range by that name
  | 'removed' // this store was removed by an operator: it stays out until `quorate member add`
  | 'conflict' // a membership change is under way, or the step is not allowed now
  | 'damaged' // checksums disagree; the message says what to do
  | 'data-directory' // foreign, locked, or not writable
  | 'disk-full' // no room for this write; not applied. Deletions may still be taken; a start: no room to begin
  | 'draining' // the node is shutting down; not applied
  | 'closed' // the client, or the node in this process, was closed
  | 'internal' // a bug; the message is for its report

const retryableCodes: ReadonlySet<ErrorCode> = new Set([
  'not-leader',
  'unavailable',
  'overloaded',
  'disk-full',
  'range-mismatch',
  'draining',
])

export interface KvErrorOptions {
  readonly details?: Readonly<Record<string, string>>
  readonly retryAfterMs?: number
  /** The leader's node name, and the client address it answers at, where known. */
  readonly leader?: string
  readonly leaderAddress?: string
  readonly cause?: unknown
}

export class KvError extends Error {
  override readonly name = 'KvError'
  readonly code: ErrorCode
  /** The operation was certainly not applied and the same call may succeed later. */
  readonly retryable: boolean
  readonly details: Readonly<Record<string, string>>
  readonly retryAfterMs: number
  readonly leader: string | undefined
  readonly leaderAddress: string | undefined

  constructor(code: ErrorCode, message: string, options: KvErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = retryableCodes.has(code)
    this.details = options.details ?? {}
    this.retryAfterMs = options.retryAfterMs ?? 0
    this.leader = options.leader
    this.leaderAddress = options.leaderAddress
  }
}

export function isKvError(error: unknown, code?: ErrorCode): error is KvError {
  return error instanceof KvError && (code === undefined || error.code === code)
}
