// Bytes cut off, flipped, zeroed, files swapped, replaced and lost (RAFT-BUGS 35, 53, 68, 69, 70): a start either
// has everything that was acknowledged, or refuses. Only the newest flush may be torn, and only when nobody knows
// that it was synced.

import { describe, expect, it } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import type { FakeLogFiles } from './fake-log-files.ts'
import {
  ManualClock,
  type ReplicaPicture,
  createDisk,
  createReplica,
  entries,
  entry,
  flushed,
  hardState,
  openLog,
  picture,
  replicaOf,
  tryOpen,
  turn,
} from './log-harness.ts'

const segmentBytes = 8 * 1024

const sealBytes = 56 + 40

interface Built {
  readonly files: FakeLogFiles
  /** What was acknowledged, oldest first; the last is everything. */
  readonly states: readonly Record<number, ReplicaPicture>[]
  readonly number: number
}

/** Three segments, the first full, a start before the last; a vote of an idle range in the oldest; the last flush is acknowledged. */
async function build(sealed: boolean): Promise<Built> {
  const files = createDisk()
  let log = await openLog(files, { segmentBytes })
  createReplica(log, 2).append([], hardState(7, 3))
  createReplica(log, 1).append(entries(1, 3), hardState(1, 1))
  await flushed(log)
  const filler = createReplica(log, 3)
  for (const index of [1, 2]) {
    filler.append([entry(index, 1, 'z'.repeat(2500))], undefined)
    await flushed(log)
  }
  await log.close()
  const clock = new ManualClock()
  log = await openLog(files, { segmentBytes, clock })
  const replica = replicaOf(log, 1)
  const states = [picture(log)]
  for (const batch of [[entry(4, 1, 'x'.repeat(400))], [entry(4, 2, 'y'.repeat(400))], [entry(5, 2)]]) {
    replica.append(batch, hardState(2, 2, 2))
    await flushed(log)
    const twin = await openLog(files.copy(), { segmentBytes })
    states.push(picture(twin))
  }
  for (let i = 0; i < 2; i++) {
    clock.advance(sealed ? 45 : 0)
    await turn()
  }
  const number = log.flushedNumber
  files.crash('power')
  return { files, states, number }
}

type Outcome = 'damaged' | 'lost' | 'foreign' | number | 'wrong'

/** Which of the states a start finds, or how it refuses; the same again when the start itself is cut off, twice. */
async function outcomeOf(files: FakeLogFiles, states: Built['states'], recordedFlush: number): Promise<Outcome> {
  for (let writes = 0; writes < 2; writes++) {
    files.hold()
    const opening = tryOpen(files, { segmentBytes, recordedFlush }).catch(() => undefined)
    await turn()
    for (let i = 0; i < writes; i++) files.releaseOne()
    await Promise.race([opening, turn()])
    files.crash(writes === 0 ? 'kill' : 'power')
  }
  const result = await tryOpen(files, { segmentBytes, recordedFlush })
  if (result.kind !== 'opened') {
    expect(result.message).toMatch(/log|belongs/)
    return result.kind
  }
  const found = JSON.stringify(picture(result.log))
  const state = states.findIndex(each => JSON.stringify(each) === found)
  return state === -1 ? 'wrong' : state
}

/** The last bytes of a seal are zeros, too. */
function usedEnd(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

/** Outcomes of `change` at every used byte of every segment that counts, by file. */
async function matrix(
  built: Built,
  recordedFlush: number,
  change: (bytes: Buffer, at: number) => void,
): Promise<Map<string, Map<Outcome, number[]>>> {
  const byFile = new Map<string, Map<Outcome, number[]>>()
  for (const path of built.files.paths()) {
    const outcomes = new Map<Outcome, number[]>()
    byFile.set(path, outcomes)
    const end = Math.min(usedEnd(built.files.contents(path)) + 8, segmentBytes)
    // The header page is one checksum: a sample of it tells as much as all of it.
    for (let at = 0; at < end; at += at >= 130 && at < 4090 ? 97 : 1) {
      const files = built.files.copy()
      files.corrupt(path, bytes => change(bytes, at))
      const outcome = await outcomeOf(files, built.states, recordedFlush)
      outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), at])
    }
  }
  return byFile
}

const flip = (bytes: Buffer, at: number): void => {
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
}
const zeroFrom = (bytes: Buffer, at: number): void => {
  bytes.fill(0, at)
}

function kinds(outcomes: ReadonlyMap<Outcome, number[]> | undefined): Outcome[] {
  return [...(outcomes?.keys() ?? [])].sort((a, b) => (String(a) < String(b) ? -1 : 1))
}

describe('every byte of a sealed log, flipped', () => {
  it('is noticed, or did not matter, when the engine recorded nothing', async () => {
    const built = await build(true)
    const all = built.states.length - 1
    const byFile = await matrix(built, 0, flip)
    expect(byFile.size).toBe(3)
    for (const outcomes of byFile.values()) {
      expect(kinds(outcomes)).toEqual([all, 'damaged'])
      expect(outcomes.get('damaged')?.length).toBeGreaterThan(200)
    }
    // The seal alone may be torn: nothing is behind it.
    const newest = [...byFile.values()].at(-1)
    expect(newest?.get(all)?.length).toBe(sealBytes + 1)
  })

  it('is noticed in the seal, too, when the engine recorded it', async () => {
    const built = await build(true)
    const byFile = await matrix(built, built.number, flip)
    // Behind the end, zeros are expected, and what is there is cut off.
    expect([...byFile.values()].at(-1)?.get(built.states.length - 1)?.length).toBe(1)
    for (const outcomes of byFile.values()) expect(kinds(outcomes)).toEqual([built.states.length - 1, 'damaged'])
  })
})

describe('every byte of a log whose last flush is not sealed, flipped', () => {
  it('leaves everything, or everything but that flush, or is refused', async () => {
    const built = await build(false)
    const all = built.states.length - 1
    const newest = [...(await matrix(built, 0, flip)).values()].at(-1)
    expect(kinds(newest)).toEqual([all - 1, all, 'damaged'])
    expect(newest?.get(all)?.length).toBe(8)
  })

  it('is refused wherever the engine knows that the flush was synced', async () => {
    const built = await build(false)
    for (const outcomes of (await matrix(built, built.number, flip)).values()) {
      expect(kinds(outcomes)).toEqual([built.states.length - 1, 'damaged'])
    }
  })
})

describe('a log that is all zeros from some byte on', () => {
  it('is lost or damaged where the engine knows better', async () => {
    const built = await build(true)
    const all = built.states.length - 1
    for (const outcomes of (await matrix(built, built.number, zeroFrom)).values()) {
      expect(outcomes.has('wrong')).toBe(false)
      for (const outcome of outcomes.keys()) if (typeof outcome === 'number') expect(outcome).toBe(all)
    }
  })

  it('comes back as one of the states that were acknowledged, oldest segments excepted', async () => {
    const built = await build(true)
    const byFile = [...(await matrix(built, 0, zeroFrom)).values()]
    const newest = byFile.pop()
    expect(newest?.has('wrong')).toBe(false)
    for (const older of byFile) expect(kinds(older)).toEqual([built.states.length - 1, 'damaged'])
  })
})

describe('files', () => {
  it('that were cut short are damage, at any length', async () => {
    const built = await build(true)
    for (const path of built.files.paths()) {
      for (let length = 0; length < segmentBytes; length += 61) {
        const files = built.files.copy()
        files.place(path, files.contents(path).subarray(0, length))
        expect(await tryOpen(files, { segmentBytes })).toMatchObject({ kind: 'damaged', file: path })
      }
    }
  })

  it('that are missing are damage, each of them', async () => {
    const built = await build(true)
    for (const path of built.files.paths()) {
      const files = built.files.copy()
      files.lose(path)
      expect(await tryOpen(files, { segmentBytes })).toMatchObject({ kind: 'damaged', file: path })
    }
  })

  it('that are all missing are a lost log, if the engine knows one', async () => {
    expect(await tryOpen(createDisk(), { recordedFlush: 3 })).toMatchObject({ kind: 'lost', found: 0, recorded: 3 })
    expect(await tryOpen(createDisk(), { recordedFlush: 0 })).toMatchObject({ kind: 'opened' })
  })

  it('that were swapped are damage', async () => {
    const { files } = await build(true)
    const [a = '', b = ''] = files.paths()
    const [first, second] = [Buffer.from(files.contents(a)), Buffer.from(files.contents(b))]
    files.place(a, second)
    files.place(b, first)
    expect(await tryOpen(files, { segmentBytes })).toMatchObject({ kind: 'damaged' })
  })

  it('that were replaced by an older copy are a lost log or damage', async () => {
    const files = createDisk()
    const log = await openLog(files, { segmentBytes: 16_384 })
    const replica = createReplica(log, 1)
    replica.append(entries(1, 1), undefined)
    await flushed(log)
    const path = files.paths()[0] ?? ''
    const older = Buffer.from(files.contents(path))
    for (const index of [2, 3]) {
      replica.append(entries(index, index), undefined)
      await flushed(log)
    }
    files.crash('power')
    const recordedFlush = log.flushedNumber
    const lost = files.copy()
    lost.place(path, older)
    expect(await tryOpen(lost, { segmentBytes: 16_384, recordedFlush })).toMatchObject({ kind: 'lost' })
    // The same, once newer segments follow: the old copy does not say that it was continued.
    await openLog(files, { segmentBytes: 16_384 })
    files.place(path, older)
    expect(await tryOpen(files, { segmentBytes: 16_384 })).toMatchObject({ kind: 'damaged', file: path })
  })

  it('of another life of this store do not pass for it: their records are checked against this header', async () => {
    const one = createDisk(1)
    const two = createDisk(2)
    for (const files of [one, two]) {
      const log = await openLog(files)
      createReplica(log, 1).append(entries(1, 3), hardState(1))
      await flushed(log)
      files.crash('power')
    }
    const path = one.paths()[0] ?? ''
    const header = Buffer.from(one.contents(path).subarray(0, 4096))
    one.place(path, Buffer.concat([header, two.contents(path).subarray(4096)]))
    expect(await tryOpen(one, { recordedFlush: 1 })).toMatchObject({ kind: 'damaged' })
  })
})

describe('what a start wrote anew', () => {
  it('is not taken for unfinished when it rots, although the original still stands in the segment before', async () => {
    const { files } = await build(false)
    await openLog(files, { segmentBytes })
    const fresh = files.paths().at(-1) ?? ''
    const end = usedEnd(files.contents(fresh)) - sealBytes
    expect(end).toBeGreaterThan(4096 + 100)
    for (let at = 4096; at < end; at++) {
      const twin = files.copy()
      twin.corrupt(fresh, bytes => flip(bytes, at))
      expect(await tryOpen(twin, { segmentBytes })).toMatchObject({ kind: 'damaged', file: fresh, offset: 4096 })
    }
  })
})

describe('what a client writes', () => {
  it('cannot pass for a flush, even when it is a copy of one', async () => {
    const files = createDisk()
    const log = await openLog(files, { segmentBytes: 64 * 1024 })
    const replica = createReplica(log, 1)
    replica.append(entries(1, 1), hardState(1))
    await flushed(log)
    const path = files.paths()[0] ?? ''
    const copied = Buffer.from(files.contents(path).subarray(4096, 5000))
    files.hold()
    replica.append([entry(2, 1, Buffer.concat([Buffer.alloc(5000), copied, copied]))], undefined)
    log.flush(() => undefined)
    await turn()
    const under = files.writes.at(-1)
    files.crash('power')
    // Torn in front of the copy, which did reach the disk.
    files.corrupt(path, bytes => {
      bytes.fill(0, under?.offset)
      under?.data.copy(bytes, (under?.offset ?? 0) + 4096, 4096)
    })
    const again = await openLog(files, { segmentBytes: 64 * 1024 })
    expect(replicaOf(again, 1).lastIndex).toBe(1)
  })
})

describe('a start that is cut off', () => {
  it('leaves the next one what it found, however often, and uses no flush number twice', async () => {
    const { files, states } = await build(false)
    const numbers: number[] = []
    for (let i = 0; i < 6; i++) {
      files.hold()
      void tryOpen(files, { segmentBytes }).catch(() => undefined)
      await turn()
      files.crash(i % 2 === 0 ? 'kill' : 'power')
      const log = await openLog(files.copy(), { segmentBytes })
      expect(states).toContainEqual(picture(log))
      numbers.push(log.flushedNumber)
    }
    expect([...new Set(numbers)].sort((a, b) => a - b)).toEqual(numbers)
  })

  it('does not lose what it read from the page cache alone and has since acknowledged', async () => {
    for (let seed = 0; seed < 60; seed++) {
      const files = createDisk(seed)
      const first = await openLog(files)
      const replica = createReplica(first, 1)
      replica.append(entries(1, 1), undefined)
      await flushed(first)
      files.hold()
      replica.append([entry(2, 1, 'x'.repeat(9000))], undefined)
      first.flush(() => undefined)
      await turn()
      files.crash('kill')
      const found = picture(await openLog(files))
      // Nothing more was written, and the power goes: the pages that were read may never have reached the disk.
      files.crash('power')
      expect(picture(await openLog(files))).toEqual(found)
    }
  })
})

describe('an idle range', () => {
  it('has its newest vote read from the oldest segment, and a start that cannot read it is refused', async () => {
    const files = createDisk()
    const log = await openLog(files)
    createReplica(log, 2).append([], hardState(3, 1))
    createReplica(log, 1)
    await flushed(log)
    const oldest = files.paths()[0] ?? ''
    const vote = hardState(9, 2)
    const idle = createReplica(log, 3)
    idle.append([], vote)
    await flushed(log)
    const at = files.writes.at(-1)?.offset ?? 0
    const busy = createReplica(log, 4)
    for (let index = 1; index <= 4; index++) {
      busy.append([entry(index, 1, 'x'.repeat(9000))], undefined)
      await flushed(log)
    }
    files.crash('power')
    const intact = files.copy()
    expect(picture(await openLog(intact))[3]?.hardState).toBe('9 2 0')
    files.corrupt(oldest, bytes => flip(bytes, at + 60))
    expect(await tryOpen(files)).toMatchObject({ kind: 'damaged', file: oldest, offset: at })
    expect(idle.lastIndex).toBe(asIndex(0))
  })
})
