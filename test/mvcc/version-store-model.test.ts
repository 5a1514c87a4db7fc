import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Index, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { createPrng, type Prng } from '../../src/base/prng.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { exportRange } from '../../src/mvcc/range-export.ts'
import { importRange } from '../../src/mvcc/range-import.ts'
import { type Source, VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import {
  applyTo,
  keyspace,
  type ModelEntry,
  plain,
  randomKey,
  randomOperations,
  scanAll,
  toKey,
  VersionModel,
} from './version-model.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const rangeId = 1 as RangeId

/** A replica and its model, given the same entries; entries that were not flushed are replayed after a restart, as a node does. */
class Harness {
  readonly model = new VersionModel()
  readonly #prng: Prng
  #store: VersionStore | undefined
  #unflushed: ModelEntry[] = []
  #replica = 1
  #index = 0
  stamp = 0
  threshold = 0
  engine: Engine

  constructor(prng: Prng, engine: Engine) {
    this.#prng = prng
    this.engine = engine
  }

  get store(): VersionStore {
    if (this.#store === undefined) throw new Error('open first')
    return this.#store
  }

  async open(): Promise<void> {
    const opened = await VersionStore.open(this.engine, {
      // Entries go on being applied between the slices of whatever is under way.
      yieldNow: async () => {
        if (this.#prng.below(4) === 0) this.apply()
      },
      cacheBytesMax: this.#prng.below(3) * 200_000,
    })
    if (opened.kind !== 'opened') throw new Error(opened.message)
    this.#store = opened.store
    for (const entry of this.#unflushed) applyTo(this.#store, entry)
  }

  apply(): void {
    const source: Source = { rangeId, replicaId: this.#replica as ReplicaId }
    const begun = this.stamp
    // Within an entry, some at one instant.
    const nextTimestamp = (): Timestamp =>
      (this.stamp += this.stamp > begun && this.#prng.below(4) === 0 ? 0 : 1 + this.#prng.below(3)) as Timestamp
    const entry = { source, index: ++this.#index as Index, operations: randomOperations(this.#prng, nextTimestamp) }
    this.model.apply(entry)
    applyTo(this.store, entry)
    this.#unflushed.push(entry)
  }

  async flush(): Promise<void> {
    let frozen: ModelEntry[] = []
    await this.store.flush(this.#index, () => {
      frozen = this.#unflushed
      this.#unflushed = []
      return []
    })
    expect(frozen.every(entry => !this.#unflushed.includes(entry))).toBe(true)
  }

  async moveTo(engine: Engine): Promise<void> {
    await this.flush()
    const flushedStore = this.store
    while (flushedStore.isDirty) await this.flush()
    const snapshot = this.engine.snapshot()
    const source = this.engine
    this.engine = engine
    // The new replica has a life of its own, and already some of another's state.
    this.#replica++
    await this.open()
    await importRange(engine, this.store, rangeId, exportRange(snapshot, rangeId))
    await snapshot.close()
    await source.close()
  }

  async collect(): Promise<void> {
    this.threshold = Math.max(this.threshold, this.stamp - this.#prng.below(60))
    await this.store.collect(this.threshold as Timestamp)
  }

  /** Instants from the threshold to a little past the newest stamp. */
  #instant(): number {
    return this.threshold + this.#prng.below(this.stamp - this.threshold + 3)
  }

  async check(): Promise<void> {
    const prng = this.#prng
    const key = randomKey(prng)
    const { store, model } = this
    const present = store.get(keyspace, toKey(key))
    expect(present && plain(present)).toBe(model.getAt(key, this.stamp))
    const at = this.#instant()
    const older = await store.getAt(keyspace, toKey(key), at as Timestamp)
    expect(older && plain(older)).toBe(model.getAt(key, at))

    const before = this.#instant()
    const limit = 1 + prng.below(5)
    const page = await store.history(keyspace, toKey(key), { before: before as Timestamp, limit, bytesMax: Infinity })
    const kept = page.items.map(plain)
    const all = model.history(key, before, limit)
    if (this.threshold === 0) expect(kept).toEqual(all)
    else expect(all.slice(0, kept.length)).toEqual(kept)
  }

  async checkScan(meanwhile: () => Promise<void>): Promise<void> {
    const prng = this.#prng
    const [start = '', end = ''] =
      prng.below(3) === 0 ? [] : [randomKey(prng), randomKey(prng)].sort((a, b) => (a < b ? -1 : 1))
    const at = this.#instant()
    // An instant in the future sees what is there when the scan's page begins, so compare those against a store at rest.
    const isPresent = at >= this.stamp
    const request = {
      start,
      end,
      at,
      limit: 1 + prng.below(6),
      bytesMax: 1 + prng.below(200),
      reverse: prng.below(2) === 0,
    }
    if (isPresent) {
      expect(await scanAll(this.store, request)).toEqual(this.model.scan(start, end, at))
      return
    }
    const scanning = scanAll(this.store, request)
    await meanwhile()
    expect(await scanning).toEqual(this.model.scan(start, end, at))
  }
}

async function run(
  seed: number,
  steps: number,
  openEngine: () => Promise<Engine>,
  reopen: (engine: Engine) => Promise<Engine>,
) {
  const prng = createPrng(seed)
  const harness = new Harness(prng, await openEngine())
  await harness.open()
  for (let step = 0; step < steps; step++) {
    const choice = prng.below(100)
    if (choice < 45) harness.apply()
    else if (choice < 55) await harness.flush()
    else if (choice < 60) {
      const flushing = harness.flush()
      harness.apply()
      await harness.check()
      await flushing
    } else if (choice < 62) {
      harness.engine = await reopen(harness.engine)
      await harness.open()
    } else if (choice < 63) await harness.moveTo(await openEngine())
    else if (choice < 65 && seed % 2 === 0) await harness.collect()
    else if (choice < 80) await harness.check()
    else {
      await harness.checkScan(async () => {
        harness.apply()
        if (prng.below(2) === 0) await harness.flush()
        harness.apply()
      })
    }
  }
  await harness.flush()
  for (let count = 0; count < 20; count++) await harness.check()
  expect(await scanAll(harness.store, { start: '', end: '', at: harness.stamp, limit: 1000, reverse: false })).toEqual(
    harness.model.scan('', '', harness.stamp),
  )
  return harness
}

test('agrees with a model that keeps everything, whatever is flushed, collected, restarted or moved meanwhile', async () => {
  for (let seed = 1; seed <= 150; seed++) {
    await run(
      seed,
      150,
      async () => createMemoryEngine(),
      async engine => createMemoryEngine((engine as ReturnType<typeof createMemoryEngine>).pairs()),
    ).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error })
    })
  }
}, 60_000)

test('agrees with the model over LevelDB', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quorate-versions-'))
  const directories = new Map<Engine, string>()
  let count = 0
  const openAt = async (directory: string): Promise<Engine> => {
    const engine = await openLevelEngine(directory, { clock: systemClock })
    directories.set(engine, directory)
    return engine
  }
  try {
    for (let seed = 1; seed <= 4; seed++) {
      const harness = await run(
        seed,
        150,
        () => openAt(join(root, String(count++))),
        async engine => {
          await engine.close()
          return await openAt(directories.get(engine) ?? '')
        },
      )
      await harness.engine.close()
    }
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}, 60_000)
