import { expect, test } from 'vitest'
import type { Index, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { userKeyspace } from '../../src/base/ids.ts'
import { DamageError } from '../../src/engine/engine.ts'
import { exportRange } from '../../src/mvcc/range-export.ts'
import { importRange } from '../../src/mvcc/range-import.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { createMemoryEngine, type MemoryEngine } from '../support/memory-engine.ts'

const rangeId = 1 as RangeId
const source = { rangeId, replicaId: 1 as ReplicaId }
const wholeScan = {
  keyspace: userKeyspace,
  start: new Uint8Array(0),
  end: new Uint8Array(0),
  at: 10_000 as Timestamp,
  bytesMax: 1e9,
  reverse: false,
  keysOnly: false,
}
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

async function open(engine: MemoryEngine): Promise<VersionStore> {
  const opened = await VersionStore.open(engine, { yieldNow: async () => {} })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  return opened.store
}

async function fill(engine: MemoryEngine): Promise<VersionStore> {
  const store = await open(engine)
  for (let index = 1; index <= 60; index++) {
    const value = Buffer.alloc(index % 7 === 0 ? 700_000 : 100, index)
    store.put(source, index as Index, userKeyspace, bytes(`key ${index % 20}`), value, (index * 10) as Timestamp)
    if (index % 10 === 0)
      store.delete(source, index as Index, userKeyspace, bytes('key 3'), (index * 10 + 1) as Timestamp)
  }
  await store.flush(1, () => [
    { key: store.localKey(rangeId, 'applied'), value: bytes('60') },
    { key: store.localKey(2 as RangeId, 'applied'), value: bytes('of another range') },
  ])
  return store
}

async function collectChunks(engine: MemoryEngine): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  for await (const chunk of exportRange(engine, rangeId)) chunks.push(chunk)
  return chunks
}

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

/** Everything but the markers, which number the engine's own batches. */
const contents = (engine: MemoryEngine): [string, string][] =>
  [...engine.pairs()]
    .filter(([key]) => !key.startsWith('nmarker/') && key !== `r${'\0'.repeat(7)}\x02applied`)
    .map(([key, value]): [string, string] => [key, Buffer.from(value).toString('hex')])
    .sort(([a], [b]) => (a < b ? -1 : 1))

test('what is exported and imported is the same, and replaces whatever was there', async () => {
  const from = createMemoryEngine()
  await fill(from)
  const chunks = await collectChunks(from)
  expect(chunks.length).toBeGreaterThan(5)
  expect(Math.max(...chunks.map(chunk => chunk.length))).toBeLessThanOrEqual(512 * 1024)

  const to = createMemoryEngine()
  const store = await open(to)
  store.put(
    { rangeId, replicaId: 2 as ReplicaId },
    1 as Index,
    userKeyspace,
    bytes('stale'),
    bytes('x'),
    10 as Timestamp,
  )
  await store.flush(1, () => [{ key: store.localKey(rangeId, 'stale'), value: bytes('x') }])
  store.put(
    { rangeId, replicaId: 2 as ReplicaId },
    2 as Index,
    userKeyspace,
    bytes('unflushed'),
    bytes('x'),
    20 as Timestamp,
  )
  await importRange(to, store, rangeId, stream(chunks))
  expect(contents(to)).toEqual(contents(from))
  expect(store.isDirty).toBe(false)
  expect(store.get(userKeyspace, bytes('stale'))).toBeUndefined()
  expect(store.get(userKeyspace, bytes('unflushed'))).toBeUndefined()
  const old = await store.getAt(userKeyspace, bytes('key 5'), 305 as Timestamp)
  expect([old?.timestamp, old?.version]).toEqual([250, 2])
})

test('an import that failed can be begun again', async () => {
  const from = createMemoryEngine()
  await fill(from)
  const chunks = await collectChunks(from)
  const to = createMemoryEngine()
  const store = await open(to)
  await expect(importRange(to, store, rangeId, stream(chunks.slice(0, -1)))).rejects.toThrow(/ends with its end/)
  await expect(store.scan({ ...wholeScan, limit: 10 })).rejects.toThrow(/replaced by a snapshot/)
  expect(() => store.get(userKeyspace, bytes('key 5'))).toThrow(/replaced by a snapshot/)
  await importRange(to, store, rangeId, stream(chunks))
  expect(contents(to)).toEqual(contents(from))
})

test('a scan that was under way when the state was replaced is refused, to be tried again', async () => {
  const engine = createMemoryEngine()
  const store = await fill(engine)
  const chunks = await collectChunks(engine)
  const scanning = store.scan({ ...wholeScan, limit: 10 })
  const [scanned] = await Promise.allSettled([scanning, importRange(engine, store, rangeId, stream(chunks))])
  expect(scanned).toMatchObject({ status: 'rejected', reason: { code: 'unavailable', retryable: true } })
})

test('a chunk that is damaged, missing or out of order is refused', async () => {
  const from = createMemoryEngine()
  await fill(from)
  const chunks = await collectChunks(from)
  const refuses = async (broken: readonly Uint8Array[]) => {
    const to = createMemoryEngine()
    await expect(importRange(to, await open(to), rangeId, stream(broken))).rejects.toThrow()
  }
  for (const position of [0, 1, 4, 5, 100, (chunks[1]?.length ?? 0) - 1]) {
    const damaged = Uint8Array.from(chunks[1] ?? [])
    damaged[position] = (damaged[position] ?? 0) ^ 1
    await refuses(chunks.with(1, damaged))
  }
  await refuses(chunks.toSpliced(1, 1))
  await refuses([...chunks, ...chunks.slice(-1)])
})

test('an exporter notices its own damage', async () => {
  const engine = createMemoryEngine()
  await fill(engine)
  for (const key of [...engine.pairs().keys()].filter(one => /^[dth]/.test(one)).slice(0, 30)) {
    const stored = engine.get(key) ?? bytes('')
    const damaged = Uint8Array.from(stored)
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1
    await engine.write([{ key, value: damaged }])
    await expect(collectChunks(engine), JSON.stringify(key)).rejects.toThrow(DamageError)
    await engine.write([{ key, value: stored }])
  }
})
