// The limits of the client port, each named and configurable.

export interface ServerLimits {
  /** One request message; a batch of writes is one. The largest value and its key must fit with room to spare. */
  readonly requestBytesMax: number
  /** One response message. Gets and scans are answered in part long before: see gateway.batchAnswerBytesMax. */
  readonly responseBytesMax: number
  readonly connectionsMax: number
  /** New connections set up in one turn of the event loop: what is under way goes on between them. */
  readonly connectionsPerTurn: number
  /** Calls at a time on one connection. */
  readonly streamsMax: number
  /** What Node's HTTP/2 may hold for one connection, in MB. */
  readonly sessionMemoryMb: number
  /** HTTP/2 window of a connection and of each of its streams. */
  readonly windowBytes: number
  /**
   * Requests being served and answers not yet taken, on the Batch streams of one connection; past it reading pauses. Answers may
   * take half of it: then nothing more is read for the connection until it takes what it has.
   */
  readonly inFlightBytesMax: number
  readonly inFlightBatchesMax: number
  /** A connection past its budget that takes nothing for this long is cut. */
  readonly slowReaderMs: number
  /** A scan whose reader takes no page for this long is ended. */
  readonly scanStallMs: number
  /** Whatever a unary call waits for, its own request included, it ends by then. */
  readonly unaryMaxMs: number
  readonly keepaliveMs: number
  readonly keepaliveTimeoutMs: number
}

export const serverLimitsDefault: ServerLimits = {
  requestBytesMax: 4 * 1024 * 1024,
  responseBytesMax: 32 * 1024 * 1024,
  connectionsMax: 10_000,
  connectionsPerTurn: 8,
  streamsMax: 1000,
  sessionMemoryMb: 64,
  windowBytes: 4 * 1024 * 1024,
  inFlightBytesMax: 32 * 1024 * 1024,
  inFlightBatchesMax: 1024,
  slowReaderMs: 10_000,
  scanStallMs: 300_000,
  unaryMaxMs: 65_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
}
