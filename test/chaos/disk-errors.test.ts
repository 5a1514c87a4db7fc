// The disk fails under the log and under the engine: nothing is acknowledged after the error, nothing is tried again, the
// error is reported within a second, and the next start has everything that was acknowledged.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asIndex, asRangeId, asReplicaId, type Keyspace } from '../../src/base/ids.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { nodeLogFiles } from '../../src/log/node-log-files.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { asTimestamp } from '../../src/time/timestamp.ts'
import { createReplica, entries, hardState, identity, replicaOf, settle } from '../log/log-harness.ts'
import { until, within } from '../support/until.ts'
import { type DiskFault, FailingDisk } from './disk-errors-files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-disk-errors-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const reportedWithinMs = 1_000

const logFaults: readonly DiskFault[] = [1, 2, 7, 30].flatMap(number =>
  [false, true].flatMap(isTorn => [
    { operation: 'write', number, isTorn } as const,
    { operation: 'create', number: Math.min(number, 4) + 1, isTorn } as const,
  ]),
)

async function openLog(disk: FailingDisk | undefined, onFatal: (error: Error) => void) {
  const opened = await openSegmentLog({
    directory: join(folder, 'log'),
    files: disk?.logFiles(nodeLogFiles) ?? nodeLogFiles,
    identity,
    recordedFlush: 0,
    ceiling: () => 0,
    clock: systemClock,
    segmentBytes: 32 * 1024,
    onFatal,
  })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  return opened.log
}

describe('an input/output error under the log', () => {
  test.each(logFaults)('at $operation $number, torn: $isTorn, ends all acknowledgement at once', async fault => {
    const disk = new FailingDisk(fault)
    const fatal: { readonly error: Error; readonly ms: number }[] = []
    const log = await openLog(disk, error => fatal.push({ error, ms: performance.now() })).catch(
      (error: unknown) => error as Error,
    )
    let acknowledged = 0
    let acknowledgedLate = 0
    if (!(log instanceof Error)) {
      const replica = createReplica(log, 1)
      let queued = 0
      const append = (): void => {
        const upTo = (queued += 10)
        replica.append(entries(upTo - 9, upTo), hardState(1, 1))
        log.flush(() => {
          acknowledged = upTo
          if (fatal.length > 0) acknowledgedLate++
        })
      }
      for (let round = 0; round < 2_000 && disk.failedMs === undefined; round++) {
        append()
        append()
        // Either of them: one flush is always on its way.
        await Promise.race([new Promise(resolve => log.flush(resolve)), turn()])
        while (queued - acknowledged > 40 && disk.failedMs === undefined) await turn()
      }
      await until('the error is reported', () => fatal.length > 0, { limitMs: 5_000, intervalMs: 1 })
      // Whoever does not know yet asks for more.
      for (let round = 0; round < 10; round++) {
        append()
        await turn()
      }
      await within('the log closes', 5_000, log.close())
      expect(fatal).toHaveLength(1)
      expect(fatal[0]?.error.message).toMatch(/EIO/)
      expect((fatal[0]?.ms ?? 0) - (disk.failedMs ?? 0)).toBeLessThan(reportedWithinMs)
    } else expect(log.message).toMatch(/EIO/)
    expect(disk.failedMs).toBeDefined()
    expect(acknowledgedLate).toBe(0)
    // What was under way when the error was reported may end; nothing begins.
    const reportedMs = fatal[0]?.ms ?? 0
    expect(disk.later.filter(({ operation, ms }) => ms > reportedMs && /write|create/.test(operation))).toEqual([])

    const reopened = await openLog(undefined, () => {})
    if (acknowledged > 0) expect(replicaOf(reopened, 1).lastIndex).toBeGreaterThanOrEqual(acknowledged)
    await reopened.close()
  })
})

test('a segment that cannot be deleted, or whose deletion cannot be made durable, ends the log as well', async () => {
  for (const operation of ['unlink', 'sync'] as const) {
    rmSync(join(folder, 'log'), { recursive: true, force: true })
    const disk = new FailingDisk({ operation, number: 1, isTorn: false })
    const fatal: Error[] = []
    const log = await openLog(disk, error => fatal.push(error))
    const replica = createReplica(log, 1)
    for (let last = 100; disk.failedMs === undefined && last <= 10_000; last += 100) {
      replica.append(entries(last - 99, last), hardState(1, 1))
      await within('a flush', 5_000, Promise.race([new Promise(resolve => log.flush(resolve)), failed(fatal)]))
      // Several segments at a time: the first that nobody needs becomes the next one, and the others are deleted.
      if (last % 1_000 !== 0) continue
      replica.truncateTo(asIndex(last - 1))
      settle(log, { 1: last })
    }
    await failed(fatal)
    expect(fatal[0]?.message).toMatch(/EIO/)
    await within('the log closes', 5_000, log.close())
  }
})

async function failed(fatal: readonly Error[]): Promise<void> {
  await until('the error is reported', () => fatal.length > 0, { limitMs: 5_000, intervalMs: 1 })
}

describe('an input/output error under the engine', () => {
  const keyspace = 1 as Keyspace
  const source = { rangeId: asRangeId(1), replicaId: asReplicaId(1) }
  const openStore = async (disk?: FailingDisk) => {
    const level = await openLevelEngine(join(folder, 'state'), { clock: systemClock })
    const engine = disk?.engine(level) ?? level
    const opened = await VersionStore.open(engine, { yieldNow: () => turn() })
    if (opened.kind !== 'opened') throw new Error(opened.message)
    return { store: opened.store, level, recordedFlush: opened.recordedFlush }
  }

  // The first write makes a new engine's markers.
  test.each([2, 3, 9].flatMap(number => [false, true].map(isTorn => ({ number, isTorn }))))(
    'at write $number, done all the same: $isTorn, fails that flush and every later one, and nothing is written again',
    async ({ number, isTorn }) => {
      const disk = new FailingDisk({ operation: 'write', number, isTorn })
      const { store, level } = await openStore(disk)
      let flushed = 0
      let failure: unknown
      for (let index = 1; failure === undefined && index < 50; index++) {
        store.put(source, asIndex(index), keyspace, Buffer.from(`k${index}`), Buffer.from('v'), asTimestamp(index))
        await store
          .flush(index, () => [])
          .then(
            () => (flushed = index),
            (error: unknown) => (failure = error),
          )
      }
      expect(String(failure)).toMatch(/EIO/)
      expect(flushed).toBe(number - 2)
      await expect(store.flush(99, () => [])).rejects.toThrow(/EIO/)
      await expect(store.collect(asTimestamp(1_000))).rejects.toThrow(/EIO/)
      expect(disk.later).toEqual([])
      await level.close()

      const again = await openStore()
      const kept = isTorn ? flushed + 1 : flushed
      expect(again.recordedFlush).toBe(kept)
      for (let index = 1; index <= flushed + 2; index++)
        expect(again.store.get(keyspace, Buffer.from(`k${index}`)) !== undefined, `k${index}`).toBe(index <= kept)
      await again.level.close()
    },
  )
})
