// The engine port over LevelDB (classic-level): the one file that knows it. LevelDB neither verifies its blocks nor
// keeps a prefix of unsynced writes (DESIGN.md 7), so its files are checked before it opens them, every write here is
// synced, and callers checksum their values. Large values under `apartPrefixes` are in files beside it.

import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { assert, must } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import { startAnew } from '../base/remedies.ts'
import type { Clock } from '../time/clock.ts'
import type { Engine, EngineBatchOperation, EngineKey, EnginePair, EngineReader, EngineSpan } from './engine.ts'
import { DamageError, apartPrefixes } from './engine.ts'
import { LargeRows, type RowDatabase } from './large-rows.ts'
import { findLevelDamage, hasLevelDatabase } from './leveldb-check.ts'
import { ValueFiles, ValueMissingError, type ValuePin, valueFileBytesDefault } from './value-files.ts'
import {
  type ValueReference,
  decodeReference,
  encodeReference,
  isKeptApart,
  isReference,
  referenceIn,
} from './value-reference.ts'

/** 4 MB, LevelDB's default, costs 31 % of the puts (DESIGN.md 17). */
const writeBufferBytes = 64 * 1024 * 1024
/**
 * With LevelDB's 2 MiB, cold overwrites of three million keys wrote three times as many bytes, and ran half as fast; beyond a
 * thousand tables each read opens its own.
 */
const tableBytes = 16 * 1024 * 1024
/** Blocks of tables as they were read: for what the rows in memory are too few for. */
export const blockCacheBytesDefault = 64 * 1024 * 1024
/** What is handed over at once: 20,000 operations hold up everything else for tens of milliseconds (DESIGN.md 7). */
const sliceOperations = 500
const sliceBytes = 512 * 1024
const apartNames = Object.values(apartPrefixes)
const apartFirst: ReadonlySet<number> = new Set(apartNames.map(prefix => prefix.charCodeAt(0)))
/** What an iterator may fetch at once when its reader names no limit. */
const readBytesMax = 0x7fff_ffff
/** A new database begins somewhere in here, so that another's table or log does not fit among its own. */
const firstSequenceMax = 4_096

type Database = ClassicLevel<EngineKey, Uint8Array>
type Batch = ReturnType<Database['batch']>
type Snapshot = ReturnType<Database['snapshot']>
type ReadOptions = Parameters<EngineReader['read']>[1]

const emptyValue = new Uint8Array(0)
const noKey = 'n'

export interface LevelEngineOptions {
  readonly clock: Clock
  readonly cacheBytes?: number
  /** Of a file of values that are kept apart. */
  readonly fileBytes?: number
}

/** Opens, or makes, the database in `directory`; a KvError 'data-directory' says why it could not, and what to do. */
export async function openLevelEngine(directory: string, options: LevelEngineOptions): Promise<Engine> {
  const { clock, cacheBytes = blockCacheBytesDefault, fileBytes = valueFileBytesDefault } = options
  const isNew = !(await hasLevelDatabase(directory))
  if (!isNew) await refuseLocked(directory)
  const damage = await findLevelDamage(directory)
  if (damage !== undefined) throw damageError(directory, `${damage.file} ${damage.what}`, undefined)
  // Not before: what is made opens itself, asked or not.
  const database: Database = new ClassicLevel<EngineKey, Uint8Array>(directory, {
    // A character up to 255 a byte, or two from 128: UTF-8 orders like the characters, and a string costs the reader of a span
    // far less than a Buffer does: no memory of its own outside V8's heap.
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    writeBufferSize: writeBufferBytes,
    cacheSize: cacheBytes,
    maxFileSize: tableBytes,
  })
  try {
    await database.open()
    // Deleting what is not there only counts.
    const length = randomInt(firstSequenceMax)
    if (isNew)
      await database.batch(
        Array.from({ length }, () => ({ type: 'del', key: noKey }) as const),
        { sync: true },
      )
  } catch (error) {
    throw openError(directory, error)
  }
  try {
    const values = await ValueFiles.open(join(directory, 'values'), fileBytes, referencesIn(database))
    const rows = await ValueFiles.open(join(directory, 'rows'), fileBytes, LargeRows.references(rowDatabase(database)))
    return new LevelEngine(database, { values, rows }, clock)
  } catch (error) {
    await database.close()
    if (error instanceof ValueMissingError) throw damageError(directory, error.message, error)
    throw openError(directory, error)
  }
}

async function* referencesIn(database: Database): AsyncGenerator<ValueReference> {
  for (const prefix of [apartPrefixes.history, apartPrefixes.spool]) {
    for await (const [key, value] of database.iterator({ gte: prefix, lt: `${prefix}\xff` })) {
      if (!isReference(value)) continue
      const reference = decodeReference(key, value)
      if (reference === undefined) throw new ValueMissingError('a reference to a value is damaged')
      yield reference
    }
  }
}

function rowDatabase(database: Database): RowDatabase {
  return {
    get: key => getValue(database, key),
    pairs: ({ start, end }) => database.iterator({ gte: start, lt: end }),
  }
}

/** Files that another process writes look damaged. Opened like this, LevelDB takes its lock, reads nothing, and gives up. */
async function refuseLocked(directory: string): Promise<void> {
  const probe = new ClassicLevel(directory, { createIfMissing: false, errorIfExists: true })
  try {
    await probe.open()
  } catch (error) {
    if (causeOf(error).code === 'LEVEL_LOCKED') throw openError(directory, error)
    return
  }
  await probe.close()
}

/** Beside LevelDB: history and spools, which go in the order they came, and rows, which do not. */
interface FilesApart {
  readonly values: ValueFiles
  readonly rows: ValueFiles
}

class LevelEngine implements Engine {
  readonly #database: Database
  readonly #files: FilesApart
  readonly #largeRows: LargeRows
  readonly #clock: Clock
  #isWriting = false

  constructor(database: Database, files: FilesApart, clock: Clock) {
    this.#database = database
    this.#files = files
    this.#largeRows = new LargeRows(rowDatabase(database), files.rows, () => this.#pause())
    this.#clock = clock
  }

  get(key: EngineKey): Uint8Array | undefined {
    return this.#get(key, undefined)
  }

  getPart(key: EngineKey, start: number, end: number): Uint8Array | undefined {
    const stored = getValue(this.#database, key)
    if (stored === undefined) return undefined
    if (isReference(stored) && mayBeApart(key)) return follow(this.#files, key, stored, { start, end })
    return end <= stored.length ? stored.subarray(start, end) : undefined
  }

  async read(span: EngineSpan, options: ReadOptions): Promise<readonly EnginePair[]> {
    const pin = pinAll(this.#files)
    try {
      return await readSpan(this.#database, this.#files, undefined, span, options)
    } finally {
      pin.release()
    }
  }

  stage(key: EngineKey, value: Uint8Array): void {
    if (mayBeApart(key) && !isRow(key) && isKeptApart(value)) this.#files.values.stage(value)
  }

  dropStaged(): void {
    this.#files.values.dropStaged()
  }

  async write(batch: readonly EngineBatchOperation[]): Promise<void> {
    assert(!this.#isWriting, 'the engine is handed one write at a time')
    this.#isWriting = true
    try {
      await this.#writeInSlices(batch)
    } finally {
      this.#isWriting = false
    }
  }

  /** The binding frees a batch's copy of it when its wrapper is collected: some of the last ones are in memory as well. */
  async #writeInSlices(batch: readonly EngineBatchOperation[]): Promise<void> {
    // Of several operations on a key the last counts.
    const values = new Map<EngineKey, Uint8Array | undefined>()
    const rows = new Map<EngineKey, Uint8Array | undefined>()
    const rest: EngineBatchOperation[] = []
    for (const operation of batch) {
      const { key, value, replacesSmall = false } = operation
      if (!mayBeApart(key)) rest.push(operation)
      else if (!isRow(key)) values.set(key, value)
      else if (replacesSmall && !isKeptApart(value)) rest.push(operation)
      else rows.set(key, value)
    }
    const apart = [...values].flatMap(([key, value]) => (isKeptApart(value) ? [{ key, value }] : []))
    const removed = [...values.keys()].flatMap(key => referenceIn(key, getValue(this.#database, key)) ?? [])
    // Both are awaited once the rest is ready.
    const writing = Promise.all([
      this.#files.values.append(apart.map(({ value }) => value)),
      this.#largeRows.change(rows),
    ])
    writing.catch(() => {})
    const chained = this.#database.batch()
    let replaced: readonly ValueReference[]
    try {
      for (const [key, value] of [...values, ...rows]) if (!isKeptApart(value)) rest.push({ key, value })
      await this.#fill(chained, rest)
      const [added, change] = await writing
      apart.forEach(({ key }, at) => chained.put(key, encodeReference(key, must(added[at]))))
      await this.#fill(chained, change.operations)
      replaced = change.replaced
    } catch (error) {
      await chained.close()
      throw error
    }
    await chained.write({ sync: true })
    this.#files.values.release(removed)
    this.#files.rows.release(replaced)
  }

  async #fill(chained: Batch, operations: readonly EngineBatchOperation[]): Promise<void> {
    let count = 0
    let bytes = 0
    for (const { key, value } of operations) {
      if (value === undefined) chained.del(key)
      else chained.put(key, value)
      bytes += key.length + (value?.length ?? 0)
      if (++count < sliceOperations && bytes < sliceBytes) continue
      count = 0
      bytes = 0
      await this.#pause()
    }
  }

  #pause(): Promise<void> {
    return new Promise(resolve => this.#clock.defer(resolve))
  }

  snapshot() {
    const database = this.#database
    const snapshot = database.snapshot()
    const pin = pinAll(this.#files)
    return {
      get: (key: EngineKey): Uint8Array | undefined => this.#get(key, snapshot),
      read: (span: EngineSpan, options: ReadOptions) => readSpan(database, this.#files, snapshot, span, options),
      close: async () => {
        pin.release()
        await snapshot.close()
      },
    }
  }

  #get(key: EngineKey, snapshot: Snapshot | undefined): Uint8Array | undefined {
    const stored = getValue(this.#database, key, snapshot)
    return stored === undefined ? undefined : resolve(this.#files, key, stored)
  }

  async approximateBytes(span: EngineSpan): Promise<number> {
    return await this.#database.approximateSize(span.start, span.end)
  }

  async close(): Promise<void> {
    await this.#files.values.close()
    await this.#files.rows.close()
    await this.#database.close()
  }
}

/** Asked of every row of a flush, and true of few. */
function mayBeApart(key: EngineKey): boolean {
  return apartFirst.has(key.charCodeAt(0)) && apartNames.some(prefix => key.startsWith(prefix))
}

function isRow(key: EngineKey): boolean {
  return key.startsWith(apartPrefixes.rows)
}

function pinAll({ values, rows }: FilesApart): ValuePin {
  const pins = [values.pin(), rows.pin()]
  return { release: () => pins.forEach(pin => pin.release()) }
}

/** The value that `stored` is, or stands for. Throws DamageError. */
function resolve(files: FilesApart, key: EngineKey, stored: Uint8Array): Uint8Array {
  return isReference(stored) && mayBeApart(key) ? must(follow(files, key, stored)) : stored
}

/** `part`: of the value that is referred to; undefined: it is not as long. Throws DamageError. */
function follow(
  files: FilesApart,
  key: EngineKey,
  stored: Uint8Array,
  part?: { readonly start: number; readonly end: number },
): Uint8Array | undefined {
  const whole = decodeReference(key, stored)
  if (whole === undefined) throw new DamageError(key, 'the reference to its value is damaged')
  const { start, end } = part ?? { start: 0, end: whole.bytes }
  if (end > whole.bytes) return undefined
  try {
    return (isRow(key) ? files.rows : files.values).read({ ...whole, offset: whole.offset + start, bytes: end - start })
  } catch (error) {
    if (error instanceof ValueMissingError) throw new DamageError(key, error.message, { cause: error })
    throw error
  }
}

const readPairsMax = 1_000

function getValue(database: Database, key: EngineKey, snapshot?: Snapshot): Uint8Array | undefined {
  try {
    return snapshot === undefined ? database.getSync(key) : database.getSync(key, { snapshot })
  } catch (error) {
    throw readError(key, error)
  }
}

function readError(key: EngineKey, error: unknown): unknown {
  const cause = causeOf(error)
  return cause.code === 'LEVEL_CORRUPTION' ? new DamageError(key, cause.message, { cause: error }) : error
}

async function readSpan(
  database: Database,
  files: FilesApart,
  snapshot: Snapshot | undefined,
  span: EngineSpan,
  options: ReadOptions,
): Promise<readonly EnginePair[]> {
  if (options.limit <= 0 || span.start >= span.end) return []
  const iterator = database.iterator({
    gte: span.start,
    lt: span.end,
    reverse: options.reverse ?? false,
    values: options.keysOnly !== true,
    highWaterMarkBytes: options.bytesMax ?? readBytesMax,
    snapshot,
  })
  const bytesMax = options.bytesMax ?? Infinity
  try {
    const pairs: EnginePair[] = []
    for (let bytes = 0; pairs.length < options.limit && bytes < bytesMax; ) {
      // The binding makes room for all it is asked for at once.
      const entries = await iterator.nextv(Math.min(options.limit - pairs.length, readPairsMax))
      if (entries.length === 0) break
      for (const [key, stored] of entries) {
        const isHere = stored === undefined || !isReference(stored) || !mayBeApart(key)
        // What stands for large values is small: far more of it comes at once than was asked for.
        if (!isHere && bytes >= bytesMax) return pairs
        const value = isHere ? (stored ?? emptyValue) : resolve(files, key, stored)
        pairs.push({ key, value })
        bytes += key.length + value.length
      }
    }
    return pairs
  } catch (error) {
    throw error instanceof DamageError ? error : readError(span.start, error)
  } finally {
    await iterator.close()
  }
}

function causeOf(error: unknown): Error & { readonly code?: unknown } {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return cause instanceof Error ? cause : new Error(String(cause))
}

function damageError(directory: string, what: string, cause: unknown): KvError {
  return new KvError('data-directory', `${directory}: the database is damaged (${what}). ${startAnew}`, {
    cause,
    details: { directory, reason: 'damaged' },
  })
}

function openError(directory: string, error: unknown): KvError {
  const cause = causeOf(error)
  const { code } = cause
  const text = cause.message
  const make = (sentence: string, reason: string): KvError =>
    new KvError('data-directory', `${directory}: ${sentence}`, {
      cause: error,
      details: { directory, reason },
    })
  if (code === 'LEVEL_LOCKED') {
    return make(
      'another process has this database open. Stop that node, or give this one a data directory of its own.',
      'locked',
    )
  }
  // A file that the others name is gone: LevelDB calls that an input error.
  if (code === 'LEVEL_CORRUPTION' || (code === 'LEVEL_IO_ERROR' && /no such file/i.test(text))) {
    return damageError(directory, text, error)
  }
  if (code === 'ENOTDIR' || code === 'EEXIST' || /not a directory/i.test(text)) {
    return make(
      'this is not a directory, so there is no database in it. Name a directory, or one that does not exist yet.',
      'not-a-database',
    )
  }
  return make(
    `the database could not be opened (${text}). Check that the directory is writable and that the disk has room.`,
    'unusable',
  )
}
