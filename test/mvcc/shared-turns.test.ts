// Many readers of old instants together hold nobody up: what they do in one turn is bounded, however many they are.

import { expect, test } from 'vitest'
import { userKeyspace } from '../../src/base/ids.ts'
import { runPrefix } from '../../src/mvcc/engine-keys.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, nothingExtra, put, text } from './store-steps.ts'

const versions = 25
const readers = 200

test('a turn of the event loop sees a few parts of runs read, and all readers come to their ends', async () => {
  const engine = createMemoryEngine()
  let readInTurn = 0
  let mostInTurn = 0
  const getPart = (key: string, start: number, end: number): Uint8Array | undefined => {
    if (key.startsWith(runPrefix)) mostInTurn = Math.max(mostInTurn, ++readInTurn)
    return engine.getPart(key, start, end)
  }
  const yieldNow = async (): Promise<void> => {
    await new Promise(resolve => setImmediate(resolve))
    readInTurn = 0
  }
  const opened = await VersionStore.open({ ...engine, getPart }, { yieldNow })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  const { store } = opened
  let index = 0
  for (let version = 0; version < versions; version++)
    for (let key = 0; key < 20; key++) {
      put(store, ++index, `key ${key}`, `version ${version}`, version * 10 + 10)
      await store.flush(1, nothingExtra)
    }
  readInTurn = 0
  mostInTurn = 0
  const found = await Promise.all(
    Array.from({ length: readers }, (_, at) => store.getAt(userKeyspace, bytes(`key ${at % 20}`), 15 as Timestamp)),
  )
  expect(new Set(found.map(record => text(record?.value)))).toEqual(new Set(['version 0']))
  expect(mostInTurn).toBeLessThan(120)
  expect(mostInTurn).toBeGreaterThan(0)
})

test('a chain that is still in memory, however long, takes many turns', async () => {
  let turns = 0
  const yieldNow = async (): Promise<void> => void turns++
  const opened = await VersionStore.open(createMemoryEngine(), { yieldNow })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  for (let index = 1; index <= 5_000; index++) put(opened.store, index, 'key', `version ${index}`)
  const found = await opened.store.getAt(userKeyspace, bytes('key'), 15 as Timestamp)
  expect(text(found?.value)).toBe('version 1')
  expect(turns).toBeGreaterThan(40)
})
