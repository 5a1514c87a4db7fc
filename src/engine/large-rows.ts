// Large rows in files of their own: LevelDB would write each four times and more, in its log, its tables and their compactions.
//
// Unlike history, rows are replaced in any order, so that a few that stay would keep their file. Therefore LevelDB has, beside the
// reference that stands for each, an entry by its place; and once the files waste more than they hold, each batch that changes
// large rows moves some from the worst file to the newest.
//
// Invariant: entries by place and references agree; both change in one batch.

import { must } from '../base/assert.ts'
import { DamageError, type EngineBatchOperation, type EngineKey, type EngineSpan, apartPrefixes } from './engine.ts'
import { type ValueFiles, ValueMissingError } from './value-files.ts'
import {
  type ValueReference,
  decodeReference,
  encodeReference,
  isKeptApart,
  referenceBytes,
  referenceIn,
} from './value-reference.ts'

/** A small state may well waste more than it holds. */
const wastedFilesMin = 2
/** What a batch moves beyond as much as it brings. */
const movedBytesMin = 1024 * 1024
/** Rows between two pauses: each takes a few microseconds. */
const sliceRows = 500
/** Behind every key of a caller, which have characters up to 255 only. */
const placePrefix = '\u0100'

/** What is needed of LevelDB. */
export interface RowDatabase {
  get(key: EngineKey): Uint8Array | undefined
  pairs(span: EngineSpan): AsyncIterable<readonly [EngineKey, Uint8Array]>
}

/** What a batch has to do for its large rows, beside everything else. */
export interface LargeRowsChange {
  readonly operations: readonly EngineBatchOperation[]
  /** What it replaced, once it is written. */
  readonly replaced: readonly ValueReference[]
}

interface PlacedRow {
  readonly key: EngineKey
  readonly reference: ValueReference
}

export class LargeRows {
  readonly #database: RowDatabase
  readonly #files: ValueFiles
  readonly #pause: () => Promise<void>

  /** `pause` lets everything else run for a moment. */
  constructor(database: RowDatabase, files: ValueFiles, pause: () => Promise<void>) {
    this.#database = database
    this.#files = files
    this.#pause = pause
  }

  /** Of all large rows. Throws ValueMissingError. */
  static async *references(database: RowDatabase): AsyncGenerator<ValueReference> {
    for await (const row of placedRows(database, { start: placePrefix, end: `${placePrefix}\u0100` }))
      yield row.reference
  }

  /** `rows`: what the batch makes of each row that is large, or may have been. Their values are in a file, and synced, when it resolves. */
  async change(rows: ReadonlyMap<EngineKey, Uint8Array | undefined>): Promise<LargeRowsChange> {
    const replaced: ValueReference[] = []
    const put: { readonly key: EngineKey; readonly value: Uint8Array }[] = []
    let bytes = 0
    await this.#each(rows, ([key, value]) => {
      const reference = referenceIn(key, this.#database.get(key))
      if (reference !== undefined) replaced.push(reference)
      if (!isKeptApart(value)) return
      put.push({ key, value })
      bytes += value.length
    })
    const moved = await this.#moving(rows, bytes + movedBytesMin)
    const movedFrom = moved.map(({ reference }) => reference)
    const movedValues = await this.#files.readMany(movedFrom)
    for (const [at, { key }] of moved.entries()) put.push({ key, value: must(movedValues[at]) })
    replaced.push(...movedFrom)
    const references = await this.#files.append(put.map(({ value }) => value))
    const operations: EngineBatchOperation[] = []
    await this.#each(replaced, reference => operations.push({ key: placeKey(reference), value: undefined }))
    await this.#each(put.entries(), ([at, { key }]) => {
      const reference = must(references[at])
      const stored = encodeReference(key, reference)
      operations.push({ key, value: stored })
      operations.push({ key: placeKey(reference), value: Buffer.concat([stored, Buffer.from(key, 'latin1')]) })
    })
    return { operations, replaced }
  }

  async #each<Item>(items: Iterable<Item>, visit: (item: Item) => void): Promise<void> {
    let count = 0
    for (const item of items) {
      visit(item)
      if (++count % sliceRows === 0) await this.#pause()
    }
  }

  /** Rows of the worst file, `bytesMax` bytes of them or one, that the batch leaves alone. */
  async #moving(rows: ReadonlyMap<EngineKey, unknown>, bytesMax: number): Promise<readonly PlacedRow[]> {
    const file = rows.size === 0 ? undefined : this.#files.worst(wastedFilesMin * this.#files.fileBytes)
    if (file === undefined) return []
    const moved: PlacedRow[] = []
    let bytes = 0
    for await (const row of placedRows(this.#database, { start: placesOf(file), end: placesOf(file + 1) })) {
      if (rows.has(row.key)) continue
      const current = referenceIn(row.key, this.#database.get(row.key))
      if (current === undefined || placeKey(current) !== placeKey(row.reference))
        throw new DamageError(row.key, 'it is elsewhere than the entry by its place says')
      moved.push(row)
      bytes += row.reference.bytes
      if (bytes >= bytesMax) break
    }
    return moved
  }
}

async function* placedRows(database: RowDatabase, span: EngineSpan): AsyncGenerator<PlacedRow> {
  for await (const [, entry] of database.pairs(span)) {
    const key = Buffer.from(entry.subarray(referenceBytes)).toString('latin1')
    const reference = decodeReference(key, entry.subarray(0, referenceBytes))
    if (reference === undefined || !key.startsWith(apartPrefixes.rows))
      throw new ValueMissingError('the place of a row is damaged')
    yield { key, reference }
  }
}

function placesOf(file: number): EngineKey {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(file)
  return placePrefix + number.toString('latin1')
}

function placeKey({ file, offset }: ValueReference): EngineKey {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(offset)
  return placesOf(file) + number.toString('latin1')
}
