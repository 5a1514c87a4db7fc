// Where should older versions go? Puts a second and CPU a put for the layouts of DESIGN.md 7, over the LevelDB engine:
// entries of 256 puts, 256-byte random values, 100,000 keys, one engine flush every 20,000 puts and one in flight.
//
//   node test/bench/layout.ts [puts, default 400000] [keys, default 100000] [layouts, default abcd]

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { must } from '../../src/base/assert.ts'
import { type Index, type Keyspace, type RangeId, type ReplicaId, userKeyspace } from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import type { Engine, EngineBatchOperation } from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { decodeRow, encodeNumber, encodeRow } from '../../src/mvcc/engine-keys.ts'
import { RowTable } from '../../src/mvcc/row-table.ts'
import { type Version, decodeVersion } from '../../src/mvcc/version.ts'
import { type Source, VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const putsTotal = Number(process.argv[2] ?? 400_000)
const keysTotal = Number(process.argv[3] ?? 100_000)
const entryPuts = 256
const valueBytes = 256
const flushPuts = 20_000
const cacheBytes = 64 * 1024 * 1024

interface Layout {
  /** One entry's puts; what must be written with it is kept until `flush`. */
  apply(index: number, keys: readonly Buffer[], values: readonly Buffer[]): void
  flush(): Promise<void>
}

const source: Source = { rangeId: 1 as RangeId, replicaId: 1 as ReplicaId }
const keyspace = 0 as Keyspace

/** History outside the version store: the same records, table and engine, other keys for what was replaced. */
function createPlainLayout(engine: Engine, history: 'own-key' | 'entry-record' | 'none'): Layout {
  const table = new RowTable(cacheBytes)
  let number = 1
  let latest: string[] = []
  let older: EngineBatchOperation[] = []
  const find = (row: string): Version | undefined => {
    const place = table.get(userKeyspace, decodeRow(row))
    if (place !== undefined) return table.version(row, place)
    const stored = engine.get(`d${row}`)
    return stored && decodeVersion(row, stored)
  }
  return {
    apply(index, keys, values) {
      const replaced: Buffer[] = []
      for (const [position, key] of keys.entries()) {
        const row = encodeRow(userKeyspace, key)
        const timestamp = (index * entryPuts + position) as Timestamp
        const previous = history === 'none' ? undefined : find(row)
        const from = { keyspace: userKeyspace, key, source, index: index as Index, timestamp, deleted: false }
        const counted = { created: previous?.created ?? timestamp, version: (previous?.version ?? 0) + 1 }
        const value = values[position] ?? Buffer.alloc(0)
        table.put({ ...from, ...counted, value, before: undefined }, table.get(userKeyspace, key), number, 0)
        latest.push(row)
        if (previous === undefined) continue
        if (history === 'own-key')
          older.push({ key: `v${row}\0${encodeNumber(previous.timestamp)}`, value: previous.record })
        else replaced.push(Buffer.from(row, 'latin1'), previous.record)
      }
      if (replaced.length > 0) older.push({ key: `h${encodeNumber(index)}`, value: Buffer.concat(replaced) })
    },
    async flush() {
      const rows = new Set(latest)
      latest = []
      const operations = older
      older = []
      const frozen = number++
      for (const row of rows)
        operations.push({ key: `d${row}`, value: must(find(row), 'a row that waits is there').record })
      await engine.write(operations)
      table.settle(frozen)
    },
  }
}

async function createStoreLayout(engine: Engine): Promise<Layout> {
  const opened = await VersionStore.open(engine, { yieldNow: () => setImmediate(), cacheBytesMax: cacheBytes })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  const { store } = opened
  return {
    apply(index, keys, values) {
      for (const [position, key] of keys.entries()) {
        const value = values[position] ?? Buffer.alloc(0)
        store.put(source, index as Index, keyspace, key, value, (index * entryPuts + position) as Timestamp)
      }
    },
    flush: () => store.flush(0, () => []),
  }
}

async function measure(name: string, create: (engine: Engine) => Layout | Promise<Layout>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-layout-'))
  const engine = await openLevelEngine(directory, { clock: systemClock })
  try {
    const layout = await create(engine)
    const prng = createPrng(1)
    // Values are cut from random bytes at random offsets: they neither compress nor cost the loop much.
    const noise = Buffer.from(Array.from({ length: 1 << 20 }, () => prng.below(256)))
    const allKeys = Array.from({ length: keysTotal }, (_, number) =>
      Buffer.from(`key/${String(number).padStart(12, '0')}`),
    )
    let index = 0
    let applyMs = 0
    const run = async (puts: number, pick: (put: number) => number): Promise<void> => {
      let flushing: Promise<void> = Promise.resolve()
      let unflushed = 0
      for (let done = 0; done < puts; done += entryPuts) {
        const keys: Buffer[] = []
        const values: Buffer[] = []
        for (let put = done; put < done + entryPuts; put++) {
          keys.push(allKeys[pick(put)] ?? Buffer.alloc(0))
          const offset = prng.below(noise.length - valueBytes)
          values.push(noise.subarray(offset, offset + valueBytes))
        }
        const began = performance.now()
        layout.apply(++index, keys, values)
        applyMs += performance.now() - began
        unflushed += entryPuts
        if (unflushed >= flushPuts) {
          await flushing
          flushing = layout.flush()
          unflushed = 0
        }
        await setImmediate()
      }
      await flushing
      await layout.flush()
    }
    // Every key has a version before the measurement, so that every put replaces one.
    await run(keysTotal, put => put % keysTotal)
    applyMs = 0
    const cpu = process.cpuUsage()
    const start = performance.now()
    await run(putsTotal, () => prng.below(keysTotal))
    const seconds = (performance.now() - start) / 1000
    const used = process.cpuUsage(cpu)
    const perPut = (microseconds: number): string => `${(microseconds / putsTotal).toFixed(1)} µs`
    console.log(
      `${name.padEnd(44)} ${Math.round(putsTotal / seconds)
        .toLocaleString('en')
        .padStart(9)} puts/s ` +
        `${perPut(used.user + used.system).padStart(9)} CPU a put, ${perPut(applyMs * 1000).padStart(8)} of it applying`,
    )
  } finally {
    await engine.close()
    await rm(directory, { recursive: true, force: true })
  }
}

const layouts: readonly (readonly [string, (engine: Engine) => Layout | Promise<Layout>])[] = [
  ['(a) each older version under its own key', engine => createPlainLayout(engine, 'own-key')],
  ['(b) inline, one record an entry', engine => createPlainLayout(engine, 'entry-record')],
  ['(c) inline runs ended at flushes: VersionStore', createStoreLayout],
  ['(d) no history, no read before the write', engine => createPlainLayout(engine, 'none')],
]
const wanted = process.argv[4] ?? 'abcd'
for (const [name, create] of layouts) if (wanted.includes(name.charAt(1))) await measure(name, create)
