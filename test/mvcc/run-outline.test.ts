// The way back through a key's versions by outlines: it ends where going version by version would, and reads next to nothing.

import { describe, expect, test } from 'vitest'
import { type Index, type RangeId, type ReplicaId, userKeyspace } from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import { encodeRow, runPrefix } from '../../src/mvcc/engine-keys.ts'
import { rowHash } from '../../src/mvcc/run-outline.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, nothingExtra, open, put, remove, source, text } from './store-steps.ts'

test('from the newest of 1,000 versions to any before it, a few effects are read, not each', async () => {
  const engine = createMemoryEngine()
  const readParts: number[] = []
  const getPart = (key: string, start: number, end: number): Uint8Array | undefined => {
    if (key.startsWith(runPrefix)) readParts.push(end - start)
    return engine.getPart(key, start, end)
  }
  const store = await open({ ...engine, getPart })
  const versions = 1_000
  for (let index = 1; index <= versions; index++) {
    put(store, 2 * index, 'key', `version ${index}`, index * 10)
    put(store, 2 * index + 1, `other ${index % 7}`, 'x', index * 10 + 1)
    if (index % 100 === 0) await store.flush(index, nothingExtra)
  }
  for (const wanted of [1, 2, 99, 100, 101, 500, 998, 999, 1_000]) {
    const read = async (at: number) => text((await store.getAt(userKeyspace, bytes('key'), at as Timestamp))?.value)
    expect(await read(wanted * 10)).toBe(`version ${wanted}`)
    expect(await read(wanted * 10 + 9)).toBe(`version ${wanted}`)
    expect(await read(wanted * 10 - 1)).toBe(wanted === 1 ? undefined : `version ${wanted - 1}`)
  }
  const outlines = versions / 100
  const reads = readParts.length - outlines
  // Some for each of 27 gets: one call goes so far and no further.
  expect(reads).toBeLessThan(27 * 10)
  expect(reads).toBeGreaterThan(20)
})

test('of 2,000 versions, deletions and second writes of an entry among them, each is found at its instants', async () => {
  const prng = createPrng(7)
  const store = await open(createMemoryEngine())
  /** By index, what is there from `timestamp` on. */
  const written: { readonly timestamp: number; readonly value: string | undefined }[] = []
  for (let index = 1; index <= 2_000; index++) {
    if (prng.below(300) === 0) {
      if (remove(store, index, 'key') !== undefined) written.push({ timestamp: index * 10, value: undefined })
    } else
      for (let timestamp = index * 10; timestamp <= index * 10 + (prng.below(20) === 0 ? 2 : 0); timestamp += 2) {
        put(store, index, 'key', `version ${index}, at ${timestamp}`, timestamp)
        written.push({ timestamp, value: `version ${index}, at ${timestamp}` })
      }
    if (prng.below(100) === 0) await store.flush(index, nothingExtra)
  }
  await store.flush(2_000, nothingExtra)
  for (const [at, { timestamp, value }] of written.entries()) {
    const read = async (instant: number) =>
      text((await store.getAt(userKeyspace, bytes('key'), instant as Timestamp))?.value)
    expect(await read(timestamp)).toBe(value)
    expect(await read(timestamp - 1)).toBe(written[at - 1]?.value)
  }
})

describe('where an outline alone does not tell which effect it was', () => {
  test('rows of one entry with one hash are told apart by their effects', async () => {
    const [one, other] = rowsOfOneHash()
    const store = await open(createMemoryEngine())
    for (let index = 1; index <= 50; index++) {
      put(store, index, one, `one ${index}`, index * 10)
      if (index % 3 === 0) put(store, index, other, `other ${index}`, index * 10)
      if (index % 8 === 0) await store.flush(index, nothingExtra)
    }
    await store.flush(50, nothingExtra)
    const read = async (key: string, at: number) =>
      text((await store.getAt(userKeyspace, bytes(key), at as Timestamp))?.value)
    for (let index = 3; index <= 50; index++) {
      expect(await read(one, index * 10)).toBe(`one ${index}`)
      expect(await read(other, index * 10)).toBe(`other ${index - (index % 3)}`)
    }
  })

  test('an entry that writes a row several times, at one instant and at others, is gone through', async () => {
    const store = await open(createMemoryEngine())
    for (let index = 1; index <= 40; index++) {
      for (const [value, timestamp] of [
        ['never seen', 0],
        ['first', 0],
        ['second', 1],
      ] as const)
        put(store, index, 'key', `${value} of ${index}`, index * 10 + timestamp)
      if (index % 6 === 0) await store.flush(index, nothingExtra)
    }
    await store.flush(40, nothingExtra)
    const read = async (at: number) => text((await store.getAt(userKeyspace, bytes('key'), at as Timestamp))?.value)
    for (let index = 1; index <= 40; index++) {
      expect(await read(index * 10 - 1)).toBe(index === 1 ? undefined : `second of ${index - 1}`)
      expect(await read(index * 10)).toBe(`first of ${index}`)
      expect(await read(index * 10 + 1)).toBe(`second of ${index}`)
    }
  })

  test('what another source wrote is found there, however the indexes of the two compare', async () => {
    const store = await open(createMemoryEngine())
    const other = { rangeId: 1 as RangeId, replicaId: 2 as ReplicaId }
    for (let index = 1; index <= 40; index++) {
      put(store, index, 'key', `own ${index}`, index * 10, source)
      put(store, index + 1_000, 'key', `other ${index}`, index * 10 + 5, other)
      if (index % 6 === 0) await store.flush(index, nothingExtra)
    }
    await store.flush(40, nothingExtra)
    const read = async (at: number) => text((await store.getAt(userKeyspace, bytes('key'), at as Timestamp))?.value)
    for (let index = 1; index <= 40; index++) {
      expect(await read(index * 10)).toBe(`own ${index}`)
      expect(await read(index * 10 + 5)).toBe(`other ${index}`)
    }
  })

  test('what was collected on the way is not looked for', async () => {
    const store = await open(createMemoryEngine())
    for (let index = 1; index <= 40; index++) {
      put(store, index, 'key', `version ${index}`, index * 10)
      await store.flush(index, nothingExtra)
    }
    await store.collect(205 as Timestamp)
    const { items: found } = await store.history(userKeyspace, bytes('key'), {
      before: 400 as Timestamp,
      limit: 100,
      bytesMax: Infinity,
    })
    expect(found.map(({ value }) => text(value)).at(-1)).toBe('version 20')
    for (let index = 20 as Index; index <= 40; index++) {
      const record = await store.getAt(userKeyspace, bytes('key'), (index * 10 + 5) as Timestamp)
      expect(text(record?.value)).toBe(`version ${index}`)
    }
  })
})

/** Two keys whose rows have one hash: some 80,000 are enough for such a pair. */
function rowsOfOneHash(): readonly [string, string] {
  const seen = new Map<number, string>()
  for (let at = 0; at < 1_000_000; at++) {
    // Not counted upwards: a CRC tells numbers that are near each other apart.
    const key = `key ${(Math.imul(at, 0x9e37_79b1) >>> 0).toString(36)} ${Math.imul(at, 0x85eb_ca6b) >>> 0}`
    const hash = rowHash(encodeRow(userKeyspace, bytes(key)))
    const other = seen.get(hash)
    if (other !== undefined) return [other, key]
    seen.set(hash, key)
  }
  throw new Error('no two rows have one hash')
}
