// The latest version of every row of a span, as of one tick: an engine snapshot with the buffered rows laid over it.
// Taken without awaiting, so that a reader that awaits between pages never sees half of what came later. The versions
// it gives may be newer than the reader's instant: the reader follows their chains back.

import type { Engine, EnginePair, EngineReader, EngineSnapshot, EngineSpan } from '../engine/engine.ts'
import { latestPrefix, prefixSpan, type RowSpan, tombstonePrefix } from './engine-keys.ts'
import { decodeStored } from './key-record.ts'
import type { Version } from './version.ts'

const pagePairsMax = 500
const pageBytesMax = 512 * 1024

export interface ReadViewOptions {
  readonly span: RowSpan
  readonly reverse: boolean
  /** Whether deletions matter: only to instants older than the newest write. */
  readonly withTombstones: boolean
  /** How many rows the reader hopes for: the size of the first page. */
  readonly rowsHint: number
}

export class ReadView {
  readonly #snapshot: EngineSnapshot
  readonly #cursors: readonly SpanCursor[]
  readonly #buffered: readonly Version[]
  readonly #reverse: boolean
  #position = 0

  /** `buffered`: what waits for the engine, by row; of the newer buffer, then of the older. */
  constructor(engine: Engine, buffered: readonly [readonly Version[], readonly Version[]], options: ReadViewOptions) {
    this.#snapshot = engine.snapshot()
    this.#reverse = options.reverse
    this.#buffered = mergeBuffered(buffered, options.reverse)
    const prefixes = options.withTombstones ? [latestPrefix, tombstonePrefix] : [latestPrefix]
    this.#cursors = prefixes.map(
      prefix => new SpanCursor(this.#snapshot, prefixSpan(prefix, options.span), options.reverse, options.rowsHint),
    )
  }

  /** The next row's latest version, undefined at the end. Call `fill` first whenever `needsFill`. Throws DamageError. */
  next(): Version | undefined {
    let row = this.#buffered[this.#position]?.row
    for (const cursor of this.#cursors) {
      const head = cursor.row
      if (head !== undefined && (row === undefined || (this.#reverse ? head > row : head < row))) row = head
    }
    if (row === undefined) return undefined
    // What is buffered is newer than what is stored, and a row is stored at most once.
    let pair: EnginePair | undefined
    for (const cursor of this.#cursors) if (cursor.row === row) pair = cursor.take()
    const buffered = this.#buffered[this.#position]
    if (buffered?.row === row) {
      this.#position++
      return buffered
    }
    if (pair === undefined) return undefined
    return decodeStored(pair.key, pair.value)
  }

  get needsFill(): boolean {
    return this.#cursors.some(cursor => cursor.needsFill)
  }

  async fill(): Promise<void> {
    for (const cursor of this.#cursors) if (cursor.needsFill) await cursor.fill()
  }

  async close(): Promise<void> {
    await this.#snapshot.close()
  }
}

/** Walks one span of a reader by pages. */
class SpanCursor {
  readonly #reader: EngineReader
  readonly #reverse: boolean
  #span: EngineSpan
  #limit: number
  #page: readonly EnginePair[] = []
  #position = 0
  #isAtEnd = false

  constructor(reader: EngineReader, span: EngineSpan, reverse: boolean, rowsHint: number) {
    this.#reader = reader
    this.#span = span
    this.#reverse = reverse
    this.#limit = Math.max(1, Math.min(rowsHint, pagePairsMax))
  }

  get row(): string | undefined {
    return this.#page[this.#position]?.key.slice(1)
  }

  get needsFill(): boolean {
    return !this.#isAtEnd && this.#position >= this.#page.length
  }

  take(): EnginePair | undefined {
    return this.#page[this.#position++]
  }

  async fill(): Promise<void> {
    this.#page = await this.#reader.read(this.#span, {
      limit: this.#limit,
      bytesMax: pageBytesMax,
      reverse: this.#reverse,
    })
    this.#position = 0
    this.#limit = pagePairsMax
    const last = this.#page.at(-1)
    if (last === undefined) this.#isAtEnd = true
    else if (this.#reverse) this.#span = { start: this.#span.start, end: last.key }
    else this.#span = { start: `${last.key}\0`, end: this.#span.end }
  }
}

/** In the reader's direction. */
function mergeBuffered(
  [newer, older]: readonly [readonly Version[], readonly Version[]],
  isReverse: boolean,
): readonly Version[] {
  const merged: Version[] = []
  let position = 0
  for (const version of newer) {
    for (let other = older[position]; other !== undefined && other.row <= version.row; other = older[++position]) {
      if (other.row !== version.row) merged.push(other)
    }
    merged.push(version)
  }
  for (; position < older.length; position++) merged.push(older[position] as Version)
  if (isReverse) merged.reverse()
  return merged
}
