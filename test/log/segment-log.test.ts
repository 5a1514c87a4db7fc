import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { asClusterId, asIndex, asTerm } from '../../src/base/ids.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { nodeLogFiles } from '../../src/log/node-log-files.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import type { FakeLogFiles } from './fake-log-files.ts'
import {
  ManualClock,
  createDisk,
  createReplica,
  entries,
  entry,
  flushed,
  hardState,
  identity,
  openLog,
  picture,
  replicaOf,
  settle,
  tryOpen,
  turn,
} from './log-harness.ts'

async function reopen(files: FakeLogFiles, recordedFlush = 0): Promise<Awaited<ReturnType<typeof openLog>>> {
  files.crash('power')
  return await openLog(files, { recordedFlush })
}

describe('a replica log', () => {
  it('answers from memory before anything is on disk', async () => {
    const log = await openLog(createDisk())
    const replica = createReplica(log, 1)
    replica.append(entries(1, 3), hardState(1, 1))
    expect(replica.lastIndex).toBe(3)
    expect(replica.term(asIndex(2))).toBe(1)
    expect(replica.term(asIndex(4))).toBeUndefined()
    expect(replica.entries(asIndex(2), asIndex(4), 1e6)).toEqual(entries(2, 3))
  })

  it('hands out at least one entry, and no more than fit', async () => {
    const log = await openLog(createDisk())
    const replica = createReplica(log, 1)
    replica.append([entry(1, 1, 'x'.repeat(100)), entry(2, 1, 'y'.repeat(50)), entry(3, 1, 'z'.repeat(50))], undefined)
    const read = (bytes: number) => replica.entries(asIndex(1), asIndex(4), bytes).length
    expect([read(0), read(99), read(149), read(150), read(200)]).toEqual([1, 1, 1, 2, 3])
  })

  it('reads back from disk what has left memory, several entries of one record as one', async () => {
    const files = createDisk()
    const log = await openLog(files, { cacheBytes: 0 })
    const replica = createReplica(log, 1)
    replica.append(entries(1, 5), undefined)
    await flushed(log)
    let reads = 0
    files.fault = operation => {
      if (operation === 'read') reads++
      return undefined
    }
    expect(replica.entries(asIndex(2), asIndex(5), 1e6)).toEqual(entries(2, 4))
    expect(reads).toBe(1)
  })

  it('throws rather than answer from a damaged record', async () => {
    const files = createDisk()
    const log = await openLog(files, { cacheBytes: 0 })
    const replica = createReplica(log, 1)
    replica.append([entry(1, 1, 'precious')], undefined)
    await flushed(log)
    const path = files.paths()[0] ?? ''
    files.corrupt(path, bytes => bytes.fill('X', bytes.indexOf('precious'), bytes.indexOf('precious') + 1))
    expect(() => replica.entries(asIndex(1), asIndex(2), 1e6)).toThrow(/damaged/)
  })

  it('comes back after a power cut with HardState, entries and the places where they were overwritten', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const replica = createReplica(log, 7, 3)
    replica.append(entries(1, 5), hardState(1, 2, 0))
    replica.append(entries(4, 4, 2), hardState(2, 0, 3))
    createReplica(log, 8).append([], hardState(9, 1))
    await flushed(log)
    const again = await reopen(files)
    expect(picture(again)).toEqual({
      7: {
        replica: 3,
        hardState: '2 0 3',
        truncated: '0@0',
        entries: ['1@1', '2@1', '3@1', '4@2'].map(at => `${at} command entry ${at.replace('@', ' of term ')}`),
      },
      8: { replica: 1, hardState: '9 1 0', truncated: '0@0', entries: [] },
    })
    replicaOf(again, 7).append(entries(5, 6, 2), undefined)
    expect(replicaOf(again, 7).lastIndex).toBe(6)
  })

  it('truncates only what was applied at the engine flush before the last, and keeps the term at that point', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const replica = createReplica(log, 1)
    replica.append([...entries(1, 4), ...entries(5, 9, 2)], hardState(2))
    await flushed(log)
    log.engineFlushed(log.flushedNumber, new Map([[replica.rangeId, asIndex(6)]]))
    replica.truncateTo(asIndex(6))
    expect(replica.truncatedIndex).toBe(0)
    log.engineFlushed(log.flushedNumber, new Map())
    expect(replica.truncatedIndex).toBe(6)
    replica.truncateTo(asIndex(9))
    expect(replica.truncatedIndex).toBe(6)
    expect(replica.term(asIndex(6))).toBe(2)
    expect(replica.term(asIndex(5))).toBeUndefined()
    await flushed(log)
    expect(picture(await reopen(files))[1]).toMatchObject({ truncated: '6@2', entries: { length: 3 } })
  })

  it('keeps the suffix at a reset only where that entry matches', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const [matching, other, beyond] = [createReplica(log, 1), createReplica(log, 2), createReplica(log, 3)]
    for (const replica of [matching, other, beyond]) replica.append(entries(1, 5, 2), hardState(3))
    matching.reset(asIndex(3), asTerm(2))
    other.reset(asIndex(3), asTerm(3))
    beyond.reset(asIndex(50), asTerm(3))
    expect([matching.lastIndex, other.lastIndex, beyond.lastIndex]).toEqual([5, 3, 50])
    other.append(entries(4, 4, 3), undefined)
    expect([matching.lastIndex, other.lastIndex, beyond.lastIndex]).toEqual([5, 4, 50])
    await flushed(log)
    expect(picture(await reopen(files))).toMatchObject({
      1: { truncated: '3@2', entries: { length: 2 } },
      2: { truncated: '3@3', entries: ['4@3 command entry 4 of term 3'] },
      3: { truncated: '50@3', entries: [] },
    })
  })

  it('is gone after removal, and its id is never used again, restarts and deleted segments included', async () => {
    const files = createDisk()
    let log = await openLog(files)
    createReplica(log, 1, 4).append(entries(1, 3), hardState(1))
    await flushed(log)
    log = await reopen(files)
    replicaOf(log, 1).remove()
    await flushed(log)
    for (let i = 0; i < 8; i++) log = await reopen(files)
    for (let i = 0; i < 5; i++) {
      log.engineFlushed(log.flushedNumber, new Map())
      await flushed(log)
    }
    expect(files.paths().length).toBeLessThanOrEqual(5)
    log = await reopen(files)
    expect(log.recovered).toEqual([])
    expect(() => createReplica(log, 1, 4)).toThrow()
    createReplica(log, 1, 5).append(entries(1, 1), hardState(2))
    await flushed(log)
    expect(picture(await reopen(files))).toMatchObject({ 1: { replica: 5, entries: { length: 1 } } })
  })
})

describe('group commit', () => {
  it('writes once for all that asks in one turn, and once for all that asks while that is under way', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const [one, two] = [createReplica(log, 1), createReplica(log, 2)]
    files.writes = []
    files.hold()
    const order: string[] = []
    one.append(entries(1, 1), undefined)
    log.flush(() => order.push('one'))
    two.append(entries(1, 1), undefined)
    log.flush(() => order.push('two'))
    await turn()
    one.append(entries(2, 2), undefined)
    log.flush(() => order.push('three'))
    two.append(entries(2, 2), undefined)
    log.flush(() => order.push('four'))
    await turn()
    expect([files.writes.length, files.heldCount, order]).toEqual([1, 1, []])
    files.releaseOne()
    await turn()
    expect([files.writes.length, files.heldCount, order]).toEqual([2, 1, ['one', 'two']])
    files.releaseOne()
    await turn()
    expect(order).toEqual(['one', 'two', 'three', 'four'])
    expect(files.writes.length).toBe(2)
  })

  it('promises the ceiling of its header, which never falls and comes back at the next start', async () => {
    const files = createDisk()
    let now = 5000
    const log = await openLog(files, { ceiling: () => now })
    expect(log.recoveredCeiling).toBe(0)
    expect(await flushed(log)).toBe(5000)
    now = 4000
    expect(await flushed(log)).toBe(5000)
    now = 6000
    expect(await flushed(log)).toBe(6000)
    await flushed(log)
    expect((await reopen(files)).recoveredCeiling).toBe(6000)
  })

  it('never writes into bytes that were handed to it', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const data = Buffer.from('mine')
    createReplica(log, 1).append([entry(1, 1, data)], undefined)
    await flushed(log)
    expect(data.toString()).toBe('mine')
  })

  it('fits a flush larger than a segment into one of its own', async () => {
    const files = createDisk()
    const log = await openLog(files)
    const replica = createReplica(log, 1)
    for (let index = 1; index <= 6; index++) {
      replica.append([entry(index, 1, 'x'.repeat(index % 2 === 0 ? 100_000 : 9_000))], undefined)
      await flushed(log)
    }
    const again = await reopen(files)
    expect(
      replicaOf(again, 1)
        .entries(asIndex(1), asIndex(7), 1e9)
        .map(each => each.data.length),
    ).toEqual([9_000, 100_000, 9_000, 100_000, 9_000, 100_000])
  })
})

describe('the seal', () => {
  it('is written once, within 100 ms of falling idle', async () => {
    const files = createDisk()
    const clock = new ManualClock()
    const log = await openLog(files, { clock })
    files.writes = []
    await flushed(log)
    for (let i = 0; i < 10; i++) {
      clock.advance(10)
      await turn()
    }
    expect(files.writes.length).toBe(2)
    clock.advance(1000)
    await turn()
    expect(files.writes.length).toBe(2)
  })

  it('is written when the log is closed', async () => {
    const files = createDisk()
    const log = await openLog(files)
    createReplica(log, 1).append(entries(1, 1), undefined)
    files.writes = []
    await log.close()
    expect(files.writes.length).toBe(2)
    expect(picture(await openLog(files))).toMatchObject({ 1: { entries: { length: 1 } } })
  })
})

describe('a failing disk', () => {
  it('is reported once, and nothing completes after it', async () => {
    const files = createDisk()
    const failures: string[] = []
    const log = await openLog(files, { onFatal: error => failures.push(error.message) })
    const replica = createReplica(log, 1)
    files.fault = operation => (operation === 'write' ? new Error('EIO') : undefined)
    let done = 0
    replica.append(entries(1, 1), undefined)
    log.flush(() => done++)
    await turn()
    files.fault = () => undefined
    replica.append(entries(2, 2), undefined)
    log.flush(() => done++)
    await turn()
    await log.close()
    expect([failures, done]).toEqual([['EIO'], 0])
  })

  it('that fails to make the next segment is fatal too', async () => {
    const files = createDisk()
    const failures: string[] = []
    const log = await openLog(files, { onFatal: error => failures.push(error.message) })
    const replica = createReplica(log, 1)
    files.fault = operation => (operation === 'create' ? new Error('ENOSPC') : undefined)
    let done = 0
    for (let index = 1; index <= 3; index++) replica.append([entry(index, 1, 'x'.repeat(9000))], undefined)
    log.flush(() => done++)
    await turn()
    await turn()
    expect([failures, done]).toEqual([['ENOSPC'], 0])
  })

  it('fails the opening when it fails then', async () => {
    const files = createDisk()
    await (await openLog(files)).close()
    files.fault = operation => (operation === 'write' ? new Error('EIO') : undefined)
    await expect(tryOpen(files)).rejects.toThrow('EIO')
  })
})

describe('identity', () => {
  it('refuses the log of another node, store or cluster, and accepts one from before it joined', async () => {
    const files = createDisk()
    const unjoined = { nodeId: identity.nodeId, storeId: identity.storeId, clusterId: undefined }
    const first = await openLog(files, { identity: unjoined })
    first.setClusterId(identity.clusterId)
    await first.close()
    await (await openLog(files)).close()
    const others = [
      { ...identity, nodeId: 'n2' },
      { ...identity, storeId: 'd'.repeat(32) },
      { ...identity, clusterId: asClusterId('d'.repeat(32)) },
      unjoined,
    ]
    for (const other of others) expect(await tryOpen(files, { identity: other })).toMatchObject({ kind: 'foreign' })
    await (await openLog(files)).close()
  })
})

describe('the size on disk', () => {
  it('stays bounded under a steady load, while one range idles with a vote and another lags', async () => {
    const files = createDisk()
    let log = await openLog(files)
    createReplica(log, 2).append([], hardState(5, 3))
    const lagging = createReplica(log, 3)
    lagging.append(entries(1, 20), hardState(1))
    createReplica(log, 1)
    await flushed(log)
    log = await reopen(files)
    const busy = createReplica(log, 1)
    let most = 0
    for (let index = 1; index <= 3000; index++) {
      busy.append([entry(index, 1, 'x'.repeat(500))], hardState(1, 1, index - 1))
      await flushed(log)
      if (index % 20 !== 0) continue
      log.engineFlushed(log.flushedNumber, new Map([[busy.rangeId, asIndex(index)]]))
      busy.truncateTo(asIndex(index))
      await turn()
      most = Math.max(most, log.bytesOnDisk)
    }
    expect(most).toBeLessThanOrEqual(8 * 16 * 1024)
    expect(files.paths().length).toBeLessThanOrEqual(8)
    await flushed(log)
    const again = picture(await reopen(files))
    expect(again).toMatchObject({
      1: { hardState: '1 1 2999', truncated: '2980@1', entries: { length: 20 } },
      2: { hardState: '5 3 0' },
      3: { truncated: '0@0', entries: { length: 20 } },
    })
  })

  it('is freed when idle too: the seal carries the promise, then the files go', async () => {
    const files = createDisk()
    const clock = new ManualClock()
    const log = await openLog(files, { clock })
    const replica = createReplica(log, 1)
    for (let index = 1; index <= 10; index++) {
      replica.append([entry(index, 1, 'x'.repeat(8000))], undefined)
      await flushed(log)
    }
    await turn()
    expect(files.paths().length).toBeGreaterThan(5)
    settle(log, { 1: 10 })
    replica.truncateTo(asIndex(10))
    log.engineFlushed(log.flushedNumber, new Map())
    for (let i = 0; i < 4; i++) {
      clock.advance(50)
      await turn()
    }
    expect(files.paths().length).toBeLessThanOrEqual(2)
  })
})

describe('on the real file system', () => {
  it('the log comes back after a restart, rotations and deletions included', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'quorate-log-'))
    try {
      const opening = {
        directory: join(parent, 'log'),
        files: nodeLogFiles,
        identity,
        recordedFlush: 0,
        ceiling: () => 0,
        clock: systemClock,
        segmentBytes: 32 * 1024,
        onFatal: (error: Error): void => {
          throw error
        },
      }
      const first = await openSegmentLog(opening)
      if (first.kind !== 'opened') throw new Error(first.message)
      const replica = createReplica(first.log, 1)
      for (let index = 1; index <= 60; index++) {
        replica.append([entry(index, 1, 'x'.repeat(3000))], hardState(1, 1, index))
        await flushed(first.log)
        if (index % 10 !== 0) continue
        replica.truncateTo(asIndex(index - 5))
        settle(first.log, { 1: index - 5 })
      }
      await first.log.close()
      expect(first.log.bytesOnDisk).toBeLessThanOrEqual(6 * 32 * 1024)
      const second = await openSegmentLog({ ...opening, recordedFlush: first.log.flushedNumber })
      if (second.kind !== 'opened') throw new Error(second.message)
      expect(picture(second.log)[1]).toMatchObject({ hardState: '1 1 60', truncated: '55@1', entries: { length: 5 } })
      await second.log.close()
    } finally {
      await rm(parent, { recursive: true })
    }
  })
})
