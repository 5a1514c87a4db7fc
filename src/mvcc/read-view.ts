// The latest version of every row of a span, as of one tick: an engine snapshot with the buffered rows laid over it.
// Taken without awaiting, so that a reader that awaits between pages never sees half of what came later. The versions
// it gives may be newer than the reader's instant: the reader follows their chains back.

import type { Engine, EnginePair, EngineReader, EngineSnapshot, EngineSpan } from '../engine/engine.ts'
import { must } from '../base/assert.ts'
import { latestPrefix, prefixSpan, type RowSpan, tombstonePrefix } from './engine-keys.ts'
import { decodeStored } from './key-record.ts'
import type { Place, RowReader } from './row-table.ts'
import type { Version } from './version.ts'
import type { BufferedRows } from './row-order.ts'

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
  readonly #rows: RowReader
  readonly #newer: BufferCursor
  readonly #older: BufferCursor
  readonly #reverse: boolean

  /** `buffered`: what waits for the engine, by row; of the newer buffer, then of the older. */
  constructor(
    engine: Engine,
    rows: RowReader,
    buffered: readonly [BufferedRows, BufferedRows],
    options: ReadViewOptions,
  ) {
    this.#rows = rows
    this.#snapshot = engine.snapshot()
    this.#reverse = options.reverse
    this.#newer = new BufferCursor(buffered[0], options.reverse)
    this.#older = new BufferCursor(buffered[1], options.reverse)
    const prefixes = options.withTombstones ? [latestPrefix, tombstonePrefix] : [latestPrefix]
    this.#cursors = prefixes.map(
      prefix => new SpanCursor(this.#snapshot, prefixSpan(prefix, options.span), options.reverse, options.rowsHint),
    )
  }

  /** The next row's latest version, undefined at the end. Call `fill` first whenever `needsFill`. Throws DamageError. */
  next(): Version | undefined {
    let row = this.#nearer(this.#newer.row, this.#older.row)
    for (const cursor of this.#cursors) row = this.#nearer(row, cursor.row)
    if (row === undefined) return undefined
    // What is buffered is newer than what is stored, and a row is stored at most once.
    let pair: EnginePair | undefined
    for (const cursor of this.#cursors) if (cursor.row === row) pair = cursor.take()
    const older = this.#older.row === row ? this.#older.take() : undefined
    const place = this.#newer.row === row ? this.#newer.take() : older
    if (place !== undefined) return this.#rows.version(row, place)
    if (pair === undefined) return undefined
    return decodeStored(pair.key, pair.value)
  }

  #nearer(a: string | undefined, b: string | undefined): string | undefined {
    if (a === undefined || b === undefined) return a ?? b
    return a < b === this.#reverse ? b : a
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
  /** Of the next pair; undefined: there is none, or not yet. */
  row: string | undefined

  constructor(reader: EngineReader, span: EngineSpan, reverse: boolean, rowsHint: number) {
    this.#reader = reader
    this.#span = span
    this.#reverse = reverse
    this.#limit = Math.max(1, Math.min(rowsHint, pagePairsMax))
  }

  get needsFill(): boolean {
    return !this.#isAtEnd && this.#position >= this.#page.length
  }

  take(): EnginePair | undefined {
    const pair = this.#page[this.#position++]
    this.row = this.#page[this.#position]?.key.slice(1)
    return pair
  }

  async fill(): Promise<void> {
    const limit = this.#limit
    const page = await this.#reader.read(this.#span, { limit, bytesMax: pageBytesMax, reverse: this.#reverse })
    this.#page = page
    this.#position = 0
    this.row = page[0]?.key.slice(1)
    this.#limit = pagePairsMax
    const last = page.at(-1)
    if (last === undefined || (page.length < limit && bytesOf(page) < pageBytesMax)) this.#isAtEnd = true
    else if (this.#reverse) this.#span = { start: this.#span.start, end: last.key }
    else this.#span = { start: `${last.key}\0`, end: this.#span.end }
  }
}

function bytesOf(page: readonly EnginePair[]): number {
  return page.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0)
}

/** Walks the rows of one buffer, in the reader's direction. */
class BufferCursor {
  readonly #rows: BufferedRows
  readonly #step: number
  #left: number
  #at: number
  /** The next one; undefined at the end. */
  row: string | undefined

  constructor(rows: BufferedRows, reverse: boolean) {
    this.#rows = rows
    this.#step = reverse ? -1 : 1
    this.#left = rows.to - rows.from
    this.#at = reverse ? rows.to - 1 : rows.from
    this.#look()
  }

  take(): Place {
    const { order, places } = this.#rows
    const place = places[must(order[this.#at])] as Place
    this.#at += this.#step
    this.#left--
    this.#look()
    return place
  }

  #look(): void {
    const { names, order } = this.#rows
    this.row = this.#left > 0 ? names[must(order[this.#at])] : undefined
  }
}
