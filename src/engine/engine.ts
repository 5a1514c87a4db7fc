// The state engine's port: an ordered map of bytes with synced batches and snapshots. One a node, all ranges.
//
// Callers owe: at most one `write` at a time; every snapshot and iterator closed; bytes handed over are never changed.
// Implementers owe: a write is durable (an fsync behind it) when its promise resolves, and is all or nothing across a
// crash; a failed write is for ever (the caller ends the process); a read that meets damage throws DamageError; iteration
// is in byte order.
// Keys are latin1 strings, one character a byte: they order like their bytes, and work as Map keys.

export type EngineKey = string

/**
 * What is large under keys that begin like this may be kept apart from the rest: history and spools, which are removed about in
 * the order they came, and rows, which are replaced in any.
 */
export const apartPrefixes = { rows: 'd', history: 'h', spool: 'nspool/' } as const
/** No smaller value is kept apart, but for one whose first byte is 0xff. */
export const apartBytesMin = 4 * 1024

export interface EngineBatchOperation {
  readonly key: EngineKey
  /** undefined deletes the key. */
  readonly value: Uint8Array | undefined
  /**
   * What stands under the key now is not kept apart, by its size and its first byte, or nothing does, and no other operation of
   * the batch is on the key: the engine need not look.
   */
  readonly replacesSmall?: boolean
}

export interface EngineSpan {
  readonly start: EngineKey
  /** Exclusive. */
  readonly end: EngineKey
}

export interface EngineReader {
  /** Synchronous, a few microseconds: callers bound how many they do in one slice. */
  get(key: EngineKey): Uint8Array | undefined
  /**
   * The next pairs of `span`, from its start, or from its end when `reverse`: until there are `limit` of them, or `bytesMax`
   * bytes of keys and values, or no more.
   */
  read(
    span: EngineSpan,
    options: {
      readonly limit: number
      readonly bytesMax?: number
      readonly reverse?: boolean
      readonly keysOnly?: boolean
    },
  ): Promise<readonly EnginePair[]>
}

export interface EnginePair {
  readonly key: EngineKey
  readonly value: Uint8Array
}

export interface EngineSnapshot extends EngineReader {
  close(): Promise<void>
}

export interface Engine extends EngineReader {
  /** The bytes of a value from `start` up to `end`, where all of it would be far more. Of a value that is shorter: undefined. */
  getPart(key: EngineKey, start: number, end: number): Uint8Array | undefined
  /**
   * A later batch will put this very value under `key`: what an engine can do for it now is not left to be done then. Until that
   * batch it is not there for anyone.
   */
  stage(key: EngineKey, value: Uint8Array): void
  /** The batches that were to put what is staged will not come. */
  dropStaged(): void
  write(batch: readonly EngineBatchOperation[]): Promise<void>
  /** A view of everything whose `write` had resolved; taken at once. */
  snapshot(): EngineSnapshot
  /** Approximate bytes on disk of a span, for reports. */
  approximateBytes(span: EngineSpan): Promise<number>
  close(): Promise<void>
}

/** Stored bytes disagree with their checksum: a damaged value is never served. Whoever catches it quarantines the replica (DESIGN.md 15). */
export class DamageError extends Error {
  override readonly name = 'DamageError'
  /** What cannot be trusted. */
  readonly key: EngineKey

  constructor(key: EngineKey, reason: string, options?: ErrorOptions) {
    super(`the stored value of engine key ${JSON.stringify(key)} is damaged: ${reason}`, options)
    this.key = key
  }
}
