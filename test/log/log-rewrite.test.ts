// What a range still needs of an old segment is written anew before that segment goes (RAFT-BUGS 54, 71): such a
// copy deletes nothing, undoes nothing, and is on disk before the original is not.

import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import type { ReplicaLog } from '../../src/log/log.ts'
import type { SegmentLog } from '../../src/log/segment-log.ts'
import type { FakeLogFiles } from './fake-log-files.ts'
import {
  createDisk,
  createReplica,
  entries,
  entry,
  flushed,
  hardState,
  openLog,
  picture,
  settle,
  turn,
} from './log-harness.ts'

/** Fills segments with another range's entries, which are settled at once, until `path` is gone. */
async function pushOut(files: FakeLogFiles, log: SegmentLog, filler: ReplicaLog, path: string): Promise<void> {
  for (let i = 0; files.paths().includes(path); i++) {
    if (i > 100) throw new Error(`${path} stays`)
    await pushStep(log, filler)
  }
}

async function begin(): Promise<{ files: FakeLogFiles; log: SegmentLog; filler: ReplicaLog; oldest: string }> {
  const files = createDisk()
  const log = await openLog(files)
  const filler = createReplica(log, 99)
  return { files, log, filler, oldest: files.paths()[0] ?? '' }
}

async function reopened(files: FakeLogFiles): Promise<SegmentLog> {
  files.crash('power')
  return await openLog(files)
}

describe('a copy of what an old segment held', () => {
  it('keeps the entries that stand in newer segments, above and below', async () => {
    const { files, log, filler, oldest } = await begin()
    const replica = createReplica(log, 1)
    replica.append(entries(1, 4), hardState(1, 1))
    await flushed(log)
    filler.append([entry(1, 1, 'f'.repeat(11_000))], undefined)
    await flushed(log)
    replica.append(entries(3, 6, 2), hardState(2, 1))
    await flushed(log)
    await pushOut(files, log, filler, oldest)
    replica.append(entries(7, 7, 2), undefined)
    await flushed(log)
    const found = picture(await reopened(files))[1]
    expect(found?.entries.map(each => each.split(' ')[0])).toEqual(['1@1', '2@1', '3@2', '4@2', '5@2', '6@2', '7@2'])
  })

  it('does not undo a vote that was cast while it was on its way', async () => {
    const { files, log, filler, oldest } = await begin()
    const replica = createReplica(log, 1)
    replica.append([], hardState(4, 1))
    await flushed(log)
    let vote = 4
    for (let i = 0; files.paths().includes(oldest) && i < 100; i++) {
      await pushStep(log, filler)
      replica.append([], hardState(++vote, 2))
      await flushed(log)
      expect(picture(await openLog(files.copy()))[1]?.hardState).toBe(`${vote} 2 0`)
    }
    await pushOut(files, log, filler, oldest)
    expect(picture(await reopened(files))[1]?.hardState).toBe(`${vote} 2 0`)
  })

  it('does not undo a vote that was queued before the copy and not on disk yet', async () => {
    for (let steps = 0; steps < 12; steps++) {
      const { files, log, filler, oldest } = await begin()
      const replica = createReplica(log, 1)
      replica.append([], hardState(4, 1))
      await flushed(log)
      for (let step = 0; step < steps; step++) await pushStep(log, filler)
      files.hold()
      const pushed = pushStep(log, filler)
      await turn()
      replica.append([], hardState(5, 2))
      files.release()
      await pushed
      await flushed(log)
      await pushOut(files, log, filler, oldest)
      expect(picture(await reopened(files))[1]?.hardState).toBe('5 2 0')
    }
  })

  it('keeps the suffix behind a reset that matched, although the entry that matched is gone', async () => {
    const { files, log, filler, oldest } = await begin()
    const replica = createReplica(log, 1)
    replica.append(entries(1, 3), hardState(1))
    await flushed(log)
    filler.append([entry(1, 1, 'f'.repeat(11_000))], undefined)
    await flushed(log)
    replica.append(entries(4, 6), undefined)
    replica.reset(asIndex(2), asTerm(1))
    await flushed(log)
    await pushOut(files, log, filler, oldest)
    expect(picture(await reopened(files))[1]).toMatchObject({ truncated: '2@1', entries: { length: 4 } })
  })

  it('carries the truncation point and its term', async () => {
    const { files, log, filler, oldest } = await begin()
    const replica = createReplica(log, 1)
    replica.append(entries(1, 5, 3), hardState(3))
    await flushed(log)
    settle(log, { 1: 5 })
    replica.truncateTo(asIndex(5))
    await flushed(log)
    await pushOut(files, log, filler, oldest)
    expect(picture(await reopened(files))[1]).toMatchObject({ hardState: '3 0 0', truncated: '5@3', entries: [] })
  })

  it('is copied again, and again, for as long as it is needed', async () => {
    const { files, log: first, oldest } = await begin()
    let log = first
    createReplica(log, 1).append(entries(1, 3), hardState(5, 2))
    await flushed(log)
    const before = picture(await openLog(files.copy()))[1]
    let gone = oldest
    for (let round = 0; round < 4; round++) {
      await pushOut(files, log, createReplica(log, 50 + round), gone)
      log = await reopened(files)
      expect(picture(log)[1]).toEqual(before)
      gone = files.paths().at(-1) ?? ''
    }
  })
})

describe('a segment', () => {
  it('stays while committed entries above the settled applied index are in it, and their reader reads them', async () => {
    const { files, log, filler } = await begin()
    const replica = createReplica(log, 1)
    replica.append(entries(1, 8), hardState(1, 0, 8))
    await flushed(log)
    replica.truncateTo(asIndex(8))
    log.engineFlushed(log.flushedNumber, new Map([[replica.rangeId, asIndex(8)]]))
    expect(replica.truncatedIndex).toBe(0)
    for (let i = 0; i < 20; i++) {
      await pushStep(log, filler, false)
      expect(replica.entries(asIndex(1), asIndex(9), 1e9)).toEqual(entries(1, 8))
    }
    expect(picture(await reopened(files))[1]?.entries.length).toBe(8)
  })

  it('is not unlinked before the copies, and the promise that it is not needed, are synced', async () => {
    const { files, log, filler, oldest } = await begin()
    createReplica(log, 1).append(entries(1, 3), hardState(5, 2))
    await flushed(log)
    const before = picture(await openLog(files.copy()))[1]
    for (let i = 0; files.paths().includes(oldest) && i < 100; i++) {
      await pushStep(log, filler)
      // Whatever is under way now: the power goes, on a twin of this disk.
      expect(picture(await openLog(files.copy()))[1]).toEqual(before)
    }
    expect(files.paths()).not.toContain(oldest)
  })

  it('is not called unneeded before the records that say why are synced, at any point of a full segment and a large flush', async () => {
    const { files, log, filler } = await begin()
    const replica = createReplica(log, 1)
    for (let index = 1; index <= 3; index++) {
      replica.append([entry(index, 1, 'x'.repeat(9000))], hardState(1))
      await flushed(log)
    }
    replica.append([entry(4)], hardState(2))
    await flushed(log)
    await turn()
    files.hold()
    // More than one flush takes: the truncation that frees the oldest segment stands behind it in the queue.
    filler.append([entry(1, 1, Buffer.alloc(9_000_000))], undefined)
    replica.truncateTo(asIndex(3))
    settle(log, { 1: 3 })
    let done = false
    log.flush(() => {
      done = true
    })
    for (let i = 0; i < 20 && !done; i++) {
      await turn()
      const found = picture(await openLog(files.copy()))[1]
      expect(['0@0', '3@1']).toContain(found?.truncated)
      files.releaseOne()
    }
    expect(done).toBe(true)
    expect(picture(await openLog(files.copy()))[1]).toMatchObject({ hardState: '2 0 0', truncated: '3@1' })
  })

  it('that cannot be read when it should be copied ends the node, and says which it is', async () => {
    const files = createDisk()
    const failures: string[] = []
    const log = await openLog(files, { cacheBytes: 0, onFatal: error => failures.push(error.message) })
    const filler = createReplica(log, 99)
    createReplica(log, 1).append([entry(1, 1, 'needed')], hardState(1))
    await flushed(log)
    const oldest = files.paths()[0] ?? ''
    files.corrupt(oldest, bytes => bytes.fill('X', bytes.indexOf('needed'), bytes.indexOf('needed') + 1))
    for (let i = 0; i < 40 && failures.length === 0; i++) {
      const index = filler.lastIndex + 1
      filler.append([entry(index, 1, 'f'.repeat(6000))], undefined)
      log.flush(() => undefined)
      await turn()
      settle(log, { 99: index })
      filler.truncateTo(asIndex(index))
    }
    expect(failures).toEqual([expect.stringContaining(oldest)])
  })
})

async function pushStep(log: SegmentLog, filler: ReplicaLog, settled = true): Promise<void> {
  const index = filler.lastIndex + 1
  filler.append([entry(index, 1, 'f'.repeat(6000))], undefined)
  await flushed(log)
  if (settled) settle(log, { [filler.rangeId]: index })
  if (settled) filler.truncateTo(asIndex(index))
  await turn()
}
