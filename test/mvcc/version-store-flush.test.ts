// What the version store hands to its engine, and when.

import { describe, expect, test } from 'vitest'
import { userKeyspace } from '../../src/base/ids.ts'
import { apartBytesMin } from '../../src/engine/engine.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, countKeys, nothingExtra, open, put, remove, source, text } from './store-steps.ts'

describe('what reaches the engine', () => {
  test('is one latest record for a key overwritten many times between two flushes, with every step in one run', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    for (let index = 1; index <= 50; index++) put(store, index, 'key', `value ${index}`)
    await store.flush(1, nothingExtra)
    expect([countKeys(engine, 'd'), countKeys(engine, 't'), countKeys(engine, 'h')]).toEqual([1, 0, 1])
    const reopened = await open(engine)
    const { items: versions } = await reopened.history(userKeyspace, bytes('key'), {
      before: 501 as Timestamp,
      limit: 100,
      bytesMax: Infinity,
    })
    expect(versions.map(version => text(version.value))).toEqual(
      Array.from({ length: 50 }, (_, age) => `value ${50 - age}`),
    )
  })

  test('is a latest record or a tombstone, never both', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    const steps: [() => unknown, string][] = [
      [() => put(store, 1, 'key', 'a'), 'd'],
      [() => remove(store, 2, 'key'), 't'],
      [() => put(store, 3, 'key', 'b'), 'd'],
      [() => [remove(store, 4, 'key'), put(store, 5, 'key', 'c')], 'd'],
      [() => [put(store, 6, 'key', 'd'), remove(store, 7, 'key')], 't'],
      [() => [put(store, 8, 'key', 'e'), remove(store, 9, 'key'), put(store, 10, 'key', 'f')], 'd'],
    ]
    for (const [step, prefix] of steps) {
      step()
      await store.flush(1, nothingExtra)
      expect([countKeys(engine, 'd'), countKeys(engine, 't')]).toEqual(prefix === 'd' ? [1, 0] : [0, 1])
    }
  })

  test('says of no large row that it is small, whether it is replaced, removed and put again', async () => {
    const store = await open(createMemoryEngine())
    const [small, large] = ['s'.repeat(10), 'l'.repeat(apartBytesMin)]
    // The engine asserts it.
    const steps = [large, small, large, large, undefined, small, undefined, large, undefined, undefined]
    for (const [at, value] of steps.entries()) {
      if (value === undefined) remove(store, at + 1, 'key')
      else put(store, at + 1, 'key', value)
      await store.flush(1, nothingExtra)
      expect(text(store.get(userKeyspace, bytes('key'))?.value)).toBe(value)
    }
  })

  test('takes the extra operations with it, asked for in the tick of the freeze', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    put(store, 1, 'key', 'value')
    put(store, 2, 'key', 'again')
    expect([store.isDirty, store.dirtyRowBytes]).toEqual([true, '\0keyvalue'.length])
    expect(store.dirtyBytes).toBeGreaterThan(2 * store.dirtyRowBytes)
    await store.flush(9, () => {
      expect([store.isDirty, store.dirtyRowBytes, store.dirtyBytes]).toEqual([false, 0, 0])
      return [{ key: store.localKey(source.rangeId, 'applied'), value: bytes('1') }]
    })
    expect(text(store.readLocal(source.rangeId, 'applied'))).toBe('1')
    expect(await VersionStore.open(engine, { yieldNow: async () => {} })).toMatchObject({
      kind: 'opened',
      recordedFlush: 9,
    })
  })

  test('is cut into several runs when it is much, each found again', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine, 0)
    for (let index = 1; index <= 40; index++) put(store, index, 'key', String(index % 10).repeat(50_000))
    await store.flush(1, nothingExtra)
    expect(countKeys(engine, 'h')).toBeGreaterThan(3)
    for (let index = 1; index <= 40; index++) {
      const found = await store.getAt(userKeyspace, bytes('key'), (index * 10 + 5) as Timestamp)
      expect([found?.version, text(found?.value)?.[0]]).toEqual([index, String(index % 10)])
    }
  })

  test('is found again where one entry changed many rows, and each of them twice', async () => {
    const store = await open(createMemoryEngine())
    const rows = Array.from({ length: 300 }, (_, at) => `key ${at}`)
    for (const row of rows) put(store, 1, row, `${row}, old`)
    for (const row of rows) put(store, 2, row, `${row}, between`)
    for (const row of rows) put(store, 2, row, `${row}, new`)
    await store.flush(1, nothingExtra)
    for (const row of rows)
      expect(text((await store.getAt(userKeyspace, bytes(row), 15 as Timestamp))?.value)).toBe(`${row}, old`)
  })

  test('is staged run by run as they are full, unless an install comes before the flush', async () => {
    const engine = createMemoryEngine()
    const staged = new Map<string, Uint8Array>()
    const store = await open({
      ...engine,
      stage: (key, value) => void staged.set(key, value),
      dropStaged: () => staged.clear(),
    })
    for (let index = 1; index <= 20; index++) put(store, index, 'key', String(index % 10).repeat(50_000))
    expect(staged.size).toBeGreaterThan(2)
    await store.flush(1, nothingExtra)
    for (const [key, value] of staged) expect(Buffer.from(engine.get(key) ?? []).equals(value)).toBe(true)
    expect(countKeys(engine, 'h')).toBe(staged.size + 1)
    await store.install(async () => {})
    expect(staged.size).toBe(0)
  })

  test('must not be frozen in the middle of an entry', async () => {
    const store = await open(createMemoryEngine())
    put(store, 1, 'a', 'x')
    await store.flush(1, nothingExtra)
    expect(() => put(store, 1, 'b', 'x')).toThrow(/between entries/)
  })

  test('is frozen between two entries, also when one of them awaits in its middle', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    const applyEntry = async () => {
      put(store, 1, 'a', 'x')
      await store.rangeKeys(userKeyspace, bytes(''), bytes(''), 10, 1e9)
      put(store, 1, 'b', 'x', 11)
    }
    const entry = applyEntry()
    await store.flush(1, nothingExtra, () => entry)
    expect([countKeys(engine, 'd'), countKeys(engine, 'h'), store.isDirty]).toEqual([2, 1, false])
  })

  test('stops at the first write that fails', async () => {
    const engine = createMemoryEngine()
    const failing = {
      ...engine,
      write: (batch: Parameters<typeof engine.write>[0]) =>
        isBroken ? Promise.reject(new Error('disk')) : engine.write(batch),
    }
    let isBroken = false
    const store = await open(failing)
    put(store, 1, 'a', 'x')
    isBroken = true
    await expect(store.flush(1, nothingExtra)).rejects.toThrow('disk')
    isBroken = false
    await expect(store.flush(2, nothingExtra)).rejects.toThrow('disk')
    expect(countKeys(engine, 'd')).toBe(0)
  })
})
