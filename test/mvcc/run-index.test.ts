// Which runs are in memory by their outlines: as many as fit, and whoever goes through all of them in a circle finds most of those.

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { type Index, userKeyspace } from '../../src/base/ids.ts'
import { encodeRow, encodeRunId, runPrefix } from '../../src/mvcc/engine-keys.ts'
import { LiveRun } from '../../src/mvcc/history-run.ts'
import { RunIndex } from '../../src/mvcc/run-index.ts'
import {
  type Latest,
  type NewVersion,
  encodeVersion,
  readLatest,
  readVersion,
  versionHeaderBytesMax,
} from '../../src/mvcc/version.ts'
import { type Timestamp, timestampMax } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, source } from './store-steps.ts'

const runs = 100
const outlineBytes = 28

test.each([
  { kept: 100, readsMax: 0 },
  { kept: 80, readsMax: 50 },
  { kept: 1, readsMax: 100 },
])('a circle through 100 runs, of which $kept fit, reads at most $readsMax anew', async ({ kept, readsMax }) => {
  const engine = createMemoryEngine()
  const versions = Array.from({ length: runs }, (_, at) => versionOf(at + 1))
  /** Beside one of each effect. */
  let reads = 0
  const getPart = (key: string, start: number, end: number): Uint8Array | undefined => {
    reads++
    return engine.getPart(key, start, end)
  }
  const index = new RunIndex({ ...engine, getPart }, kept * outlineBytes)
  for (const version of versions) {
    const run = new LiveRun(source, version.index, version.timestamp, true)
    run.push(version, undefined)
    await engine.write([{ key: runPrefix + encodeRunId(source, run.firstIndex), value: run.encode() }])
    index.add(source, run)
  }
  const stored = versions.map(version => readVersion(encodeRow(userKeyspace, version.key), encoded(version)))
  for (let round = 0; round < 6; round++) {
    reads = -runs
    for (const version of stored) expect(index.before(version, timestampMax)).toBeNull()
  }
  expect(reads).toBeLessThanOrEqual(readsMax)
  expect(index.dropBelow(51 as Timestamp, 1_000)).toHaveLength(50)
  reads = -50
  for (const version of stored.slice(50)) expect(index.before(version, timestampMax)).toBeNull()
  expect(reads).toBeLessThanOrEqual(Math.min(50, readsMax))
})

test.each([1, 7, 8, 9, 60, 500, 512, 3_000, 19_999])(
  'from the newest of 20,000 versions of a key to the one %i before it, few are passed',
  async distance => {
    const engine = createMemoryEngine()
    const index = new RunIndex(engine)
    const count = 20_000
    let before: Latest | undefined
    for (let first = 1; first <= count; first += 1_000) {
      const run = new LiveRun(source, first as Index, first as Timestamp, true)
      for (let at = first; at < first + 1_000; at++) {
        const version = { ...versionOf(at), key: bytes('key'), version: at, before }
        run.push(version, before)
        const stored = encoded(version)
        before = readLatest(stored, 0, stored.length)
      }
      await engine.write([{ key: runPrefix + encodeRunId(source, run.firstIndex), value: run.encode() }])
      index.add(source, run)
    }
    const newest = must(before)
    let version = readVersion(encodeRow(userKeyspace, bytes('key')), newest.bytes)
    let calls = 0
    for (; version.timestamp > count - distance; calls++)
      version = must(index.before(version, (count - distance) as Timestamp) ?? undefined)
    expect(version.timestamp).toBe(count - distance)
    // Some eight of each size, and those of 512; twice as many where each is tried. An outline counts as much as forty.
    const steps = Math.ceil(distance / 512) + 3 * 8
    expect(index.spent).toBeLessThan(0.1 * 2 * steps + 4 * Math.ceil(distance / 1_000 + 1) + calls)
    expect(calls).toBeLessThan(10)
  },
)

function versionOf(at: number): NewVersion {
  const stamps = { timestamp: at as Timestamp, created: at as Timestamp, version: 1 }
  const of = { keyspace: userKeyspace, key: bytes(`key ${at}`), source, index: at as Index, deleted: false }
  return { ...of, ...stamps, value: bytes('value'), before: undefined }
}

function encoded(version: NewVersion): Buffer {
  const target = Buffer.alloc(versionHeaderBytesMax + version.value.length)
  return target.subarray(0, encodeVersion(target, 0, version).end)
}
