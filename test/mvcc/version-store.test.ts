import { describe, expect, test } from 'vitest'
import type { Index, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { systemKeyspace, userKeyspace } from '../../src/base/ids.ts'
import { DamageError } from '../../src/engine/engine.ts'
import { exportRange } from '../../src/mvcc/range-export.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { type Timestamp, timestampMax } from '../../src/time/timestamp.ts'
import { createMemoryEngine, type MemoryEngine } from '../support/memory-engine.ts'
import { bytes, countKeys, nothingExtra, open, put, remove, source, text } from './store-steps.ts'

describe('effects', () => {
  test('count versions since the key came to life, and the bytes of what lives', async () => {
    const store = await open(createMemoryEngine())
    expect(put(store, 1, 'key', 'four')).toMatchObject({ version: 1, wasAlive: false, bytesDelta: 7 })
    expect(put(store, 2, 'key', 'sixsix')).toMatchObject({ version: 2, wasAlive: true, bytesDelta: 2 })
    expect(remove(store, 3, 'key')).toMatchObject({ version: 0, wasAlive: true, bytesDelta: -9 })
    expect(remove(store, 4, 'key')).toBeUndefined()
    expect(put(store, 5, 'key', '')).toMatchObject({ version: 1, wasAlive: false, bytesDelta: 3 })
    expect(store.get(userKeyspace, bytes('key'))).toMatchObject({ created: 50, timestamp: 50, version: 1 })
  })

  test('have a checksum that does not depend on the replica, and does on everything replicas agree on', async () => {
    const crcOf = async (key: string, value: string, timestamp: number, replicaId = 1): Promise<number> => {
      const store = await open(createMemoryEngine())
      return put(store, 1, key, value, timestamp, { rangeId: 1 as RangeId, replicaId: replicaId as ReplicaId }).crc
    }
    const crc = await crcOf('key', 'value', 10)
    expect(await crcOf('key', 'value', 10, 7)).toBe(crc)
    expect(
      new Set([crc, await crcOf('kez', 'value', 10), await crcOf('key', 'valuf', 10), await crcOf('key', 'value', 11)])
        .size,
    ).toBe(4)
  })

  test('of two writes of one key at one instant in one entry, only the last was ever there', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    put(store, 1, 'key', 'old', 10)
    await store.flush(1, nothingExtra)
    put(store, 2, 'key', 'hidden', 20)
    put(store, 2, 'key', 'shown', 20)
    const valuesOf = async (reader: VersionStore) => {
      const { items: versions } = await reader.history(userKeyspace, bytes('key'), {
        before: 100 as Timestamp,
        limit: 10,
        bytesMax: Infinity,
      })
      return versions.map(version => text(version.value))
    }
    expect(await valuesOf(store)).toEqual(['shown', 'old'])
    await store.flush(2, nothingExtra)
    expect(await valuesOf(await open(engine))).toEqual(['shown', 'old'])
  })
})

describe('keyspaces', () => {
  test('are apart, and the end of one sorts after each of its keys', async () => {
    const store = await open(createMemoryEngine())
    put(store, 1, '\xff\xff\xff', 'user')
    store.put(source, 2 as Index, systemKeyspace, bytes(''), bytes('system'), 20 as Timestamp)
    const scan = (keyspace: typeof userKeyspace) =>
      store.scan({
        keyspace,
        start: bytes(''),
        end: bytes(''),
        at: 100 as Timestamp,
        limit: 10,
        bytesMax: 1000,
        reverse: false,
        keysOnly: false,
      })
    expect((await scan(userKeyspace)).items.map(item => text(item.value))).toEqual(['user'])
    expect((await scan(systemKeyspace)).items.map(item => text(item.value))).toEqual(['system'])
    expect(store.get(userKeyspace, bytes(''))).toBeUndefined()
  })
})

describe('scans', () => {
  test('name where to go on by living keys alone, flushed or not', async () => {
    const resumeOf = async (isFlushed: boolean) => {
      const store = await open(createMemoryEngine())
      for (const [position, key] of ['a', 'b', 'c', 'd'].entries()) put(store, position + 1, key, 'x')
      if (isFlushed) await store.flush(1, nothingExtra)
      remove(store, 5, 'b')
      if (isFlushed) await store.flush(2, nothingExtra)
      const first = await store.rangeKeys(userKeyspace, bytes('a'), bytes(''), 1, 1e6)
      const rest = await store.rangeKeys(userKeyspace, first.resume ?? bytes(''), bytes(''), 2, 1e6)
      return [first.keys.map(text), text(first.resume), rest.keys.map(text), rest.resume]
    }
    expect(await resumeOf(false)).toEqual([['a'], 'c', ['c', 'd'], undefined])
    expect(await resumeOf(true)).toEqual(await resumeOf(false))
  })

  test('give keys without values when only keys are asked for', async () => {
    const store = await open(createMemoryEngine())
    put(store, 1, 'a', 'x')
    const request = {
      keyspace: userKeyspace,
      start: bytes(''),
      end: bytes(''),
      at: 100 as Timestamp,
      limit: 10,
      bytesMax: 1000,
      reverse: false,
    }
    const { items } = await store.scan({ ...request, keysOnly: true })
    expect(items.map(item => [text(item.key), item.value.length, item.version])).toEqual([['a', 0, 1]])
  })

  test.each([false, true])(
    'go on behind a page of the engine that was cut by its bytes (reverse: %s)',
    async reverse => {
      const store = await open(createMemoryEngine())
      const keys = Array.from({ length: 300 }, (_, number) => `key ${String(number).padStart(5, '0')}`)
      for (const [position, key] of keys.entries()) put(store, position + 1, key, 'x'.repeat(8_000))
      await store.flush(1, nothingExtra)
      const { items } = await store.scan({
        keyspace: userKeyspace,
        start: bytes(''),
        end: bytes(''),
        at: timestampMax,
        limit: 400,
        bytesMax: 1e9,
        reverse,
        keysOnly: false,
      })
      expect(items.map(item => text(item.key))).toEqual(reverse ? keys.toReversed() : keys)
    },
  )

  test('do not tear: entries applied and flushed while pages are read are seen whole or not at all', async () => {
    const store = await open(createMemoryEngine())
    const keys = Array.from({ length: 3_000 }, (_, number) => `key ${String(number).padStart(5, '0')}`)
    for (const key of keys) put(store, 1, key, 'first', 10)
    await store.flush(1, nothingExtra)
    for (const key of keys) put(store, 2, key, 'second', 20)
    const request = {
      keyspace: userKeyspace,
      start: bytes(''),
      end: bytes(''),
      limit: 5_000,
      bytesMax: 1e9,
      reverse: false,
      keysOnly: false,
    }
    const scans = [15, 25, 29].map(at => store.scan({ ...request, at: at as Timestamp }))
    for (const key of keys.filter((_, number) => number % 2 === 0)) put(store, 3, key, 'third', 30)
    for (const key of keys.filter((_, number) => number % 2 === 1)) remove(store, 4, key, 40)
    await store.flush(2, nothingExtra)
    const pages = await Promise.all(scans)
    expect(pages.map(page => page.items.length)).toEqual([3_000, 3_000, 3_000])
    expect(pages.map(page => new Set(page.items.map(item => text(item.value))))).toEqual([
      new Set(['first']),
      new Set(['second']),
      new Set(['second']),
    ])
  })
})

describe('damage', () => {
  test('of any byte of a stored version is noticed when it is read', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine, 0)
    put(store, 1, 'key', 'a value')
    await store.flush(1, nothingExtra)
    const key = 'd\0key'
    const stored = Uint8Array.from(engine.get(key) ?? [])
    expect(stored.length).toBeGreaterThan(20)
    for (let position = 0; position < stored.length; position++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const damaged = Uint8Array.from(stored)
        damaged[position] = (damaged[position] ?? 0) ^ mask
        await engine.write([{ key, value: damaged }])
        expect(() => store.get(userKeyspace, bytes('key')), `byte ${position}`).toThrow(DamageError)
      }
    }
    for (let length = 0; length < stored.length; length++) {
      await engine.write([{ key, value: stored.subarray(0, length) }])
      expect(() => store.get(userKeyspace, bytes('key')), `cut to ${length}`).toThrow(DamageError)
    }
    await engine.write([{ key, value: stored }])
    expect(text(store.get(userKeyspace, bytes('key'))?.value)).toBe('a value')
    // A whole record under another key is as wrong as a damaged one.
    await engine.write([{ key: 'd\0kez', value: stored }])
    expect(() => store.get(userKeyspace, bytes('kez'))).toThrow(DamageError)
    const scan = {
      keyspace: userKeyspace,
      start: bytes(''),
      end: bytes(''),
      at: 100 as Timestamp,
      limit: 10,
      bytesMax: 1000,
      reverse: false,
      keysOnly: true,
    }
    await expect(store.scan(scan)).rejects.toThrow(DamageError)
  })

  test('of any byte of a run is noticed by a snapshot, and what a read needs of it by the read; so is a run that is missing', async () => {
    const engine = createMemoryEngine()
    const first = await open(engine)
    put(first, 1, 'key', 'old')
    put(first, 2, 'key', 'new')
    await first.flush(1, nothingExtra)
    const [key = ''] = [...engine.pairs().keys()].filter(one => one.startsWith('h'))
    const stored = Uint8Array.from(engine.get(key) ?? [])
    const readOld = async () => (await open(engine, 0)).getAt(userKeyspace, bytes('key'), 15 as Timestamp)
    const read: number[] = []
    for (let position = 0; position < stored.length; position++) {
      const damaged = Uint8Array.from(stored)
      damaged[position] = (damaged[position] ?? 0) ^ 0x10
      await engine.write([{ key, value: damaged }])
      await expect(readAll(exportRange(engine, source.rangeId)), `byte ${position}`).rejects.toThrow(DamageError)
      const found = await readOld().catch((error: unknown) => error)
      if (found instanceof DamageError) read.push(position)
      else expect(found).toMatchObject({ value: bytes('old') })
    }
    const secondEffect = Buffer.from(stored).lastIndexOf('\0key') - 11
    const outlineLength = 4
    expect(read).toEqual(range(secondEffect, stored.length - outlineLength))
    await engine.write([{ key, value: undefined }])
    await expect(readOld()).rejects.toThrow(/missing/)
    await engine.write([{ key, value: stored }])
    expect(text((await readOld())?.value)).toBe('old')
  })

  test('of any bit of an effect is noticed although it was whole when it was read first', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    put(store, 1, 'key', 'old')
    put(store, 2, 'key', 'new')
    await store.flush(1, nothingExtra)
    const readOld = () => store.getAt(userKeyspace, bytes('key'), 15 as Timestamp)
    const readNone = () => store.getAt(userKeyspace, bytes('key'), 5 as Timestamp)
    const [key = ''] = [...engine.pairs().keys()].filter(one => one.startsWith('h'))
    const stored = Uint8Array.from(engine.get(key) ?? [])
    const firstEffect = 21
    const secondEffect = Buffer.from(stored).lastIndexOf('\0key') - 11
    const effectsEnd = stored.length - 4 - Buffer.from(stored).readUInt32LE(stored.length - 4)
    expect(Buffer.from(stored).indexOf('\0key') - 11).toBe(firstEffect)
    for (const [read, start, end] of [
      [readNone, firstEffect, secondEffect],
      [readOld, secondEffect, effectsEnd],
    ] as const) {
      await read()
      for (let bit = 8 * start; bit < 8 * end; bit++) {
        const damaged = Uint8Array.from(stored)
        damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7))
        await engine.write([{ key, value: damaged }])
        await expect(read(), `bit ${bit}`).rejects.toThrow(DamageError)
      }
    }
    await engine.write([{ key, value: stored.subarray(0, effectsEnd - 1) }])
    await expect(readOld()).rejects.toThrow(DamageError)
    await engine.write([{ key, value: stored }])
    expect(text((await readOld())?.value)).toBe('old')
    expect(await readNone()).toBeUndefined()
  })

  test('by a batch that the engine lost is noticed at open, while a lost end is not damage', async () => {
    const states: [string, Uint8Array][][] = []
    const engine = createMemoryEngine()
    const store = await open(engine)
    const batches: Parameters<MemoryEngine['write']>[0][] = []
    const write = engine.write
    engine.write = async batch => {
      batches.push(batch)
      await write(batch)
      states.push([...engine.pairs()])
    }
    for (let index = 1; index <= 6; index++) {
      put(store, index, 'key', String(index))
      await store.flush(index, nothingExtra)
    }
    for (let end = 1; end <= batches.length; end++) {
      const whole = await VersionStore.open(createMemoryEngine(states[end - 1]), { yieldNow: async () => {} })
      expect(whole).toMatchObject({ kind: 'opened', recordedFlush: end })
      for (let lost = 0; lost < end - 1; lost++) {
        const replayed = createMemoryEngine()
        await open(replayed)
        for (const [number, batch] of batches.slice(0, end).entries()) if (number !== lost) await replayed.write(batch)
        const reopened = await VersionStore.open(replayed, { yieldNow: async () => {} })
        expect(reopened.kind, `${lost + 1} of ${end} lost`).toBe('damaged')
      }
    }
  })

  test('by markers that are gone from an engine with data is noticed at open', async () => {
    const engine = createMemoryEngine([['d\0key', bytes('anything')]])
    expect(await VersionStore.open(engine, { yieldNow: async () => {} })).toMatchObject({ kind: 'damaged' })
  })
})

describe('collection', () => {
  test('drops runs and tombstones below the threshold, and nothing that an instant at or past it needs', async () => {
    const engine = createMemoryEngine()
    const store = await open(engine)
    for (let index = 1; index <= 10; index++) {
      put(store, index, 'key', String(index))
      if (index === 2) put(store, index, 'gone', 'x', 21)
      if (index === 4) remove(store, index, 'gone', 41)
      if (index === 9) remove(store, index, 'never', 91)
      await store.flush(index, nothingExtra)
    }
    expect([countKeys(engine, 'h'), countKeys(engine, 't')]).toEqual([10, 1])
    expect(await store.collect(60 as Timestamp)).toBe(6)
    expect([countKeys(engine, 'h'), countKeys(engine, 'nrun/'), countKeys(engine, 't')]).toEqual([5, 5, 0])
    for (const reader of [store, await open(engine)]) {
      expect(text((await reader.getAt(userKeyspace, bytes('key'), 60 as Timestamp))?.value)).toBe('6')
      expect(text((await reader.getAt(userKeyspace, bytes('key'), 99 as Timestamp))?.value)).toBe('9')
      expect(await reader.getAt(userKeyspace, bytes('gone'), 60 as Timestamp)).toBeUndefined()
      const all = { before: 101 as Timestamp, limit: 20, bytesMax: Infinity }
      expect((await reader.history(userKeyspace, bytes('key'), all)).items).toHaveLength(6)
    }
  })

  test('never shows: a key that comes back begins anew, whether its tombstone was collected or not', async () => {
    const effectOf = async (isCollected: boolean) => {
      const store = await open(createMemoryEngine())
      put(store, 1, 'key', 'a')
      remove(store, 2, 'key')
      await store.flush(1, nothingExtra)
      if (isCollected) await store.collect(100 as Timestamp)
      return put(store, 20, 'key', 'b')
    }
    expect(await effectOf(true)).toEqual(await effectOf(false))
  })
})

test('range-local records are listed by name', async () => {
  const store = await open(createMemoryEngine())
  const key = (rangeId: number, name: string) => ({ key: store.localKey(rangeId as RangeId, name), value: bytes(name) })
  await store.flush(1, () => [key(1, 'session/b'), key(1, 'session/a'), key(1, 'state'), key(2, 'session/c')])
  const listed = await store.listLocal(1 as RangeId, 'session/')
  expect(listed.map(({ name, value }) => [name, text(value)])).toEqual([
    ['session/a', 'session/a'],
    ['session/b', 'session/b'],
  ])
})

describe('the owner of an engine', () => {
  const openAs = (engine: MemoryEngine, owner: string, mustExist = false) =>
    VersionStore.open(engine, { yieldNow: async () => {}, owner, mustExist })

  test('is part of every marker: the engine of another store is refused, with what to do', async () => {
    const engine = createMemoryEngine()
    const mine = await openAs(engine, 'mine')
    if (mine.kind !== 'opened') throw new Error(mine.message)
    put(mine.store, 1, 'key', 'value')
    await mine.store.flush(1, nothingExtra)
    expect(await openAs(engine, 'mine')).toMatchObject({ kind: 'opened', recordedFlush: 1 })
    expect(await openAs(engine, 'other')).toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/of another store.*do not delete it/),
    })
  })

  test('who has been a member with it finds no empty engine in its place', async () => {
    expect(await openAs(createMemoryEngine(), 'mine', true)).toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/engine is empty.*do not delete it/),
    })
  })
})

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) expect(chunk.length).toBeGreaterThan(0)
}

const range = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, at) => start + at)
