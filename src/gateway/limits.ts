// The gateway's limits, each named and configurable; an error that a limit causes names it.

export interface GatewayLimits {
  /** For a call that names no deadline, and the most that any call may ask for. */
  readonly timeoutDefaultMs: number
  readonly timeoutMaxMs: number
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  /** Bytes of keys and values in one Commit. */
  readonly requestBytesMax: number
  readonly batchOpsMax: number
  /** Keys that the writes of one request put, delete or compare: it is refused before anything of it is decoded. */
  readonly batchKeyOperationsMax: number
  /** Bytes of keys and values in what the unary writes of one tick become: below what one log entry carries. */
  readonly joinedBytesMax: number
  /** Unary writes that wait for an answer under the gateway's own session. */
  readonly ownWritesMax: number
  readonly ownBytesMax: number
  readonly scanPageKeysDefault: number
  readonly scanPageKeysMax: number
  readonly scanPageBytesMax: number
  /**
   * What the gets and pages of one batch may come to: past it they are answered in part, and the rest is asked for again. Small
   * enough that encoding it holds up nobody else, and for several of them in a connection's room.
   */
  readonly batchAnswerBytesMax: number
  /** Scans in one batch, and what the page of each may be: a batch is answered at once, by one message. */
  readonly batchScansMax: number
  readonly batchPageKeysMax: number
  readonly batchPageBytesMax: number
  readonly historyDefault: number
  readonly historyMax: number
  /** Of values in one page of a key's history; one always fits. */
  readonly historyBytesMax: number
  /** The first attempt at a leader elsewhere may take this long; each later one twice as long. */
  readonly forwardAttemptMs: number
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

export const gatewayLimitsDefault: GatewayLimits = {
  timeoutDefaultMs: 5000,
  timeoutMaxMs: 60_000,
  keyBytesMax: 4 * 1024,
  valueBytesMax: 1024 * 1024,
  requestBytesMax: 4 * 1024 * 1024,
  batchOpsMax: 20_000,
  batchKeyOperationsMax: 16_384,
  joinedBytesMax: 512 * 1024,
  ownWritesMax: 50_000,
  ownBytesMax: 64 * 1024 * 1024,
  scanPageKeysDefault: 1000,
  scanPageKeysMax: 10_000,
  scanPageBytesMax: 1024 * 1024,
  batchAnswerBytesMax: 4 * 1024 * 1024,
  batchScansMax: 64,
  batchPageKeysMax: 256,
  batchPageBytesMax: 64 * 1024,
  historyDefault: 100,
  historyMax: 1000,
  historyBytesMax: 1024 * 1024,
  forwardAttemptMs: 1000,
  backoffMinMs: 10,
  backoffMaxMs: 100,
}
