// The engine port over LevelDB (classic-level): the one file that knows it. LevelDB neither verifies its blocks nor
// keeps a prefix of unsynced writes (DESIGN.md 7), so its files are checked before it opens them, every write here is
// synced, and callers checksum their values.

import { randomInt } from 'node:crypto'
import { ClassicLevel } from 'classic-level'
import { assert } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import type { Clock } from '../time/clock.ts'
import type { Engine, EngineBatchOperation, EngineKey, EnginePair, EngineReader, EngineSpan } from './engine.ts'
import { DamageError } from './engine.ts'
import { findLevelDamage, hasLevelDatabase } from './leveldb-check.ts'

/** 4 MB, LevelDB's default, costs 31 % of the puts (DESIGN.md 17). */
const writeBufferBytes = 64 * 1024 * 1024
/** Blocks of tables as they were read: for what the rows in memory are too few for. */
export const blockCacheBytesDefault = 64 * 1024 * 1024
/** What is handed over at once: 20,000 operations hold up everything else for tens of milliseconds (DESIGN.md 7). */
const sliceOperations = 500
const sliceBytes = 512 * 1024
/** What an iterator may fetch at once when its reader names no limit. */
const readBytesMax = 0x7fff_ffff
/** A new database begins somewhere in here, so that another's table or log does not fit among its own. */
const firstSequenceMax = 4_096

type Database = ClassicLevel<Buffer, Uint8Array>
type Snapshot = ReturnType<Database['snapshot']>
type ReadOptions = Parameters<EngineReader['read']>[1]

const emptyValue = new Uint8Array(0)
const noKey = Buffer.from('n')
const toBytes = (key: EngineKey): Buffer => Buffer.from(key, 'latin1')

export interface LevelEngineOptions {
  readonly clock: Clock
  readonly cacheBytes?: number
}

/** Opens, or makes, the database in `directory`; a KvError 'data-directory' says why it could not, and what to do. */
export async function openLevelEngine(directory: string, { clock, cacheBytes }: LevelEngineOptions): Promise<Engine> {
  const isNew = !(await hasLevelDatabase(directory))
  if (!isNew) await refuseLocked(directory)
  const damage = await findLevelDamage(directory)
  if (damage !== undefined) throw damageError(directory, `${damage.file} ${damage.what}`, undefined)
  // Not before: what is made opens itself, asked or not.
  const database: Database = new ClassicLevel<Buffer, Uint8Array>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: writeBufferBytes,
    cacheSize: cacheBytes ?? blockCacheBytesDefault,
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
  return new LevelEngine(database, clock)
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

class LevelEngine implements Engine {
  readonly #database: Database
  readonly #clock: Clock
  #isWriting = false

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  get(key: EngineKey): Uint8Array | undefined {
    return getValue(this.#database, key)
  }

  read(span: EngineSpan, options: ReadOptions): Promise<readonly EnginePair[]> {
    return readSpan(this.#database, undefined, span, options)
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
    const chained = this.#database.batch()
    try {
      let operations = 0
      let bytes = 0
      for (const { key, value } of batch) {
        if (value === undefined) chained.del(toBytes(key))
        else chained.put(toBytes(key), value)
        bytes += key.length + (value?.length ?? 0)
        if (++operations < sliceOperations && bytes < sliceBytes) continue
        operations = 0
        bytes = 0
        await new Promise<void>(resolve => this.#clock.defer(resolve))
      }
    } catch (error) {
      await chained.close()
      throw error
    }
    await chained.write({ sync: true })
  }

  snapshot() {
    const database = this.#database
    const snapshot = database.snapshot()
    return {
      get: (key: EngineKey): Uint8Array | undefined => getValue(database, key, snapshot),
      read: (span: EngineSpan, options: ReadOptions) => readSpan(database, snapshot, span, options),
      close: () => snapshot.close(),
    }
  }

  async approximateBytes(span: EngineSpan): Promise<number> {
    return await this.#database.approximateSize(toBytes(span.start), toBytes(span.end))
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}

const readPairsMax = 1_000

function getValue(database: Database, key: EngineKey, snapshot?: Snapshot): Uint8Array | undefined {
  try {
    return snapshot === undefined ? database.getSync(toBytes(key)) : database.getSync(toBytes(key), { snapshot })
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
  snapshot: Snapshot | undefined,
  span: EngineSpan,
  options: ReadOptions,
): Promise<readonly EnginePair[]> {
  if (options.limit <= 0 || span.start >= span.end) return []
  const iterator = database.iterator({
    gte: toBytes(span.start),
    lt: toBytes(span.end),
    reverse: options.reverse ?? false,
    values: options.keysOnly !== true,
    highWaterMarkBytes: options.bytesMax ?? readBytesMax,
    snapshot,
  })
  try {
    const pairs: EnginePair[] = []
    for (let bytes = 0; pairs.length < options.limit && bytes < (options.bytesMax ?? Infinity); ) {
      // The binding makes room for all it is asked for at once.
      const entries = await iterator.nextv(Math.min(options.limit - pairs.length, readPairsMax))
      if (entries.length === 0) break
      for (const [key, value] of entries) {
        pairs.push({ key: key.toString('latin1'), value: value ?? emptyValue })
        bytes += key.length + (value?.length ?? 0)
      }
    }
    return pairs
  } catch (error) {
    throw readError(span.start, error)
  } finally {
    await iterator.close()
  }
}

function causeOf(error: unknown): Error & { readonly code?: unknown } {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return cause instanceof Error ? cause : new Error(String(cause))
}

function damageError(directory: string, what: string, cause: unknown): KvError {
  return new KvError(
    'data-directory',
    `${directory}: the database is damaged (${what}). Move this data directory away and start the node with an empty one: it joins anew and is rebuilt from its peers.`,
    { cause, details: { directory, reason: 'damaged' } },
  )
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
