// The engine port over LevelDB (classic-level): the one file that knows it. LevelDB neither verifies its blocks nor
// keeps a prefix of unsynced writes (DESIGN.md 7), so every write here is synced, and callers checksum their values.

import { ClassicLevel } from 'classic-level'
import { assert } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import type { Engine, EngineBatchOperation, EngineKey, EnginePair, EngineReader, EngineSpan } from './engine.ts'

/** 4 MB, LevelDB's default, costs 31 % of the puts (DESIGN.md 17). */
const writeBufferBytes = 64 * 1024 * 1024
const blockCacheBytes = 64 * 1024 * 1024
/** What an iterator may fetch at once when its reader names no limit. */
const readBytesMax = 0x7fff_ffff

type Database = ClassicLevel<Buffer, Uint8Array>
type Snapshot = ReturnType<Database['snapshot']>
type ReadOptions = Parameters<EngineReader['read']>[1]

const emptyValue = new Uint8Array(0)
const toBytes = (key: EngineKey): Buffer => Buffer.from(key, 'latin1')

/** Opens, or makes, the database in `directory`; a KvError 'data-directory' says why it could not, and what to do. */
export async function openLevelEngine(directory: string): Promise<Engine> {
  const database: Database = new ClassicLevel<Buffer, Uint8Array>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: writeBufferBytes,
    cacheSize: blockCacheBytes,
  })
  try {
    await database.open()
  } catch (error) {
    throw openError(directory, error)
  }
  return new LevelEngine(database)
}

class LevelEngine implements Engine {
  readonly #database: Database
  #isWriting = false

  constructor(database: Database) {
    this.#database = database
  }

  get(key: EngineKey): Uint8Array | undefined {
    return this.#database.getSync(toBytes(key))
  }

  read(span: EngineSpan, options: ReadOptions): Promise<readonly EnginePair[]> {
    return readSpan(this.#database, undefined, span, options)
  }

  async write(batch: readonly EngineBatchOperation[]): Promise<void> {
    assert(!this.#isWriting, 'the engine is handed one write at a time')
    this.#isWriting = true
    try {
      await this.#database.batch(
        batch.map(({ key, value }) =>
          value === undefined
            ? ({ type: 'del', key: toBytes(key) } as const)
            : ({ type: 'put', key: toBytes(key), value } as const),
        ),
        { sync: true },
      )
    } finally {
      this.#isWriting = false
    }
  }

  snapshot() {
    const database = this.#database
    const snapshot = database.snapshot()
    return {
      get: (key: EngineKey): Uint8Array | undefined => database.getSync(toBytes(key), { snapshot }),
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
  } finally {
    await iterator.close()
  }
}

function openError(directory: string, error: unknown): KvError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = (cause as { code?: unknown }).code
  const text = cause instanceof Error ? cause.message : String(cause)
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
    return make(
      `the database is damaged (${text}). Move this data directory away and start the node with an empty one: it joins anew and is rebuilt from its peers.`,
      'damaged',
    )
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
