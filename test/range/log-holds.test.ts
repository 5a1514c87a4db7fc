import { describe, expect, it } from 'vitest'
import { asIndex, asReplicaId, asTerm } from '../../src/base/ids.ts'
import type { ProgressStatus, RaftStatus } from '../../src/raft/types.ts'
import { HeldLogBudget } from '../../src/range/held-log-budget.ts'
import { LogHolds } from '../../src/range/log-holds.ts'
import { LogRetention } from '../../src/range/log-retention.ts'

const heldStallMs = 30_000
const nobody = Number.MAX_SAFE_INTEGER
const entryBytes = 64 * 1024
const retainedBytes = 10 * entryBytes
const self = asReplicaId(1)
const follower = asReplicaId(2)

/** A leader's log of entries of 64 KiB, and what it knows of one follower. */
class Leader {
  readonly retention = new LogRetention(retainedBytes)
  readonly holds = new LogHolds(this.retention, heldStallMs)
  readonly log = { truncatedIndex: asIndex(20) }
  last = 20
  nowMs = 0
  progress: Partial<ProgressStatus> = {}

  append(count: number): this {
    for (let at = 0; at < count; at++) {
      const data = new Uint8Array(entryBytes)
      this.retention.appended([{ term: asTerm(1), index: asIndex(++this.last), kind: 'command', data }])
    }
    return this
  }

  status(): RaftStatus {
    const of = (replica: number, match: number): ProgressStatus => ({
      replica: asReplicaId(replica),
      match: asIndex(match),
      next: asIndex(match + 1),
      state: 'replicate',
      recentActive: true,
      learner: false,
      silentTicks: 0,
      needsState: false,
      held: false,
    })
    const progress = [of(self, this.last), { ...of(follower, 20), ...this.progress }]
    return { id: self, role: 'leader', lastIndex: asIndex(this.last), progress } as unknown as RaftStatus
  }

  /** What is needed after a look, `ms` later. */
  look(ms: number, progress: Partial<ProgressStatus> = {}, slowedForBytes = 0): number {
    this.nowMs += ms
    this.progress = { ...this.progress, ...progress }
    this.holds.look(this.status(), this.log.truncatedIndex, this.nowMs, slowedForBytes)
    return this.holds.needed
  }
}

const at = (match: number): Partial<ProgressStatus> => ({ match: asIndex(match), next: asIndex(match + 1) })

describe('a follower that catches up', () => {
  it('holds what it lacks for as long as its log grows, and no longer', () => {
    const leader = new Leader().append(1_000)
    expect(leader.look(0, at(30))).toBe(30)
    for (let turn = 1; turn <= 100; turn++) expect(leader.look(heldStallMs - 1, at(30 + turn))).toBe(30 + turn)
    expect(leader.look(heldStallMs - 1)).toBe(130)
    expect(leader.look(1)).toBe(nobody)
    expect(leader.look(1, at(131))).toBe(131)
  })

  it('holds what comes while nothing was written before, from then on', () => {
    const leader = new Leader().append(10)
    expect(leader.look(0, at(30))).toBe(30)
    leader.look(10 * heldStallMs)
    leader.append(100)
    expect(leader.look(1_000)).toBe(30)
    expect(leader.look(heldStallMs)).toBe(nobody)
  })

  it('holds nothing where a snapshot has to come first', () => {
    expect(new Leader().append(10).look(0, at(19))).toBe(nobody)
  })

  it('holds what comes after its snapshot, from when it is asked for until it is level, while that goes on', () => {
    const leader = new Leader().append(1_000)
    expect(leader.look(0, { state: 'snapshot', recentActive: false, ...at(0), next: asIndex(21) })).toBe(20)
    leader.holds.streamed(follower, asIndex(500), 0)
    for (let turn = 1; turn <= 100; turn++) {
      leader.holds.streamed(follower, asIndex(500), turn)
      expect(leader.look(heldStallMs - 1)).toBe(500)
    }
    leader.holds.streamEnded(follower)
    expect(leader.look(heldStallMs - 1, { state: 'probe', recentActive: true, next: asIndex(501) })).toBe(500)
    expect(leader.look(heldStallMs - 1, { state: 'replicate', ...at(501) })).toBe(501)
  })

  it('holds nothing when its snapshot goes on no further', () => {
    const leader = new Leader().append(1_000)
    leader.holds.streamed(follower, asIndex(500), 7)
    expect(leader.look(0, { state: 'snapshot', next: asIndex(21) })).toBe(500)
    expect(leader.look(heldStallMs)).toBe(nobody)
  })

  it('holds nothing for snapshots that are all in vain, and again for one that is not', () => {
    const leader = new Leader().append(1_000)
    const begin = (index: number): number => {
      leader.holds.streamed(follower, asIndex(index), 0)
      return leader.look(1, { state: 'snapshot', ...at(0), next: asIndex(21) })
    }
    const fail = (): number => {
      leader.holds.streamEnded(follower)
      return leader.look(1, { state: 'probe', next: asIndex(1) })
    }
    expect([begin(100), fail()]).toEqual([100, nobody])
    expect([begin(200), leader.look(heldStallMs), fail(), begin(300)]).toEqual([200, nobody, nobody, nobody])
    leader.holds.streamed(follower, asIndex(300), 5)
    expect(leader.look(1)).toBe(300)
    expect([fail(), leader.look(heldStallMs), begin(400)]).toEqual([nobody, nobody, 400])
  })

  it('has to gain what is asked in that time, and to answer, where writes are slowed for it', () => {
    const entries = 16
    const asked = entries * entryBytes
    const leader = new Leader().append(1_000)
    expect(leader.look(0, at(30), asked)).toBe(30)
    expect(leader.look(heldStallMs - 1, at(30 + entries), asked)).toBe(30 + entries)
    expect(leader.look(heldStallMs, at(29 + 2 * entries), asked)).toBe(nobody)
    expect(leader.look(1, { ...at(500), recentActive: false }, asked)).toBe(nobody)
    expect(leader.look(1, {})).toBe(nobody)
    expect(leader.look(1, { ...at(501), recentActive: true })).toBe(501)
  })
})

describe('the budget of what followers hold', () => {
  const budgetBytes = 100 * entryBytes

  function createNode() {
    const leader = new Leader()
    const warned: string[] = []
    const logger = { warn: (_fields: object, message: string) => void warned.push(message) }
    const budget = new HeldLogBudget(budgetBytes, { monotonicMs: () => leader.nowMs }, logger as never)
    /** A second of writes of `count` entries, of which the budget lets some through; how many. */
    const writeFor1s = (count: number, match: number): number => {
      let written = 0
      for (let turn = 0; turn < count; turn++) {
        leader.nowMs += 1_000 / count
        if (budget.admit(leader, entryBytes) === undefined) written++
      }
      leader.append(written)
      leader.progress = at(match)
      budget.tick([leader])
      return written
    }
    return { leader, warned, budget, writeFor1s }
  }

  it('lets all writes through while less than half of it is used, beside what is kept anyway', () => {
    const { budget, warned, writeFor1s } = createNode()
    expect(writeFor1s(59, 20)).toBe(59)
    expect(writeFor1s(1, 20)).toBe(1)
    expect(warned).toEqual([])
    expect(budget.admit({ holds: new LogHolds(new LogRetention(1), heldStallMs) }, entryBytes)).toBeUndefined()
  })

  it('slows writes to the pace of the follower that catches up, and never uses itself up', () => {
    const { leader, budget, warned, writeFor1s } = createNode()
    let match = 20
    const written: number[] = []
    // It takes two entries a second; thirty are to be written.
    for (let second = 0; second < 400; second++) {
      match = Math.min(leader.last, match + 2)
      written.push(writeFor1s(30, match))
      expect(leader.retention.bytesAbove(asIndex(match)) - retainedBytes).toBeLessThanOrEqual(budgetBytes)
    }
    expect(written.slice(0, 2)).toEqual([30, 30])
    const last = written.slice(-60).reduce((sum, count) => sum + count, 0)
    expect(last).toBeGreaterThan(50)
    expect(last).toBeLessThan(150)
    expect(warned).toHaveLength(1)
    expect(budget.admit(leader, 1 << 20)).toBeUndefined()
    expect(budget.admit(leader, 1)).toMatchObject({ kind: 'overloaded', queue: expect.stringContaining('log held') })
  })

  it('is free again once the follower makes no progress: then it needs another snapshot', () => {
    const { leader, budget, writeFor1s } = createNode()
    writeFor1s(90, 20)
    expect(budget.admit(leader, entryBytes)).toBeUndefined()
    expect(budget.admit(leader, entryBytes)).toBeDefined()
    leader.nowMs += heldStallMs
    budget.tick([leader])
    expect(budget.admit(leader, entryBytes)).toBeUndefined()
    expect(budget.admit(leader, entryBytes)).toBeUndefined()
    expect(leader.holds.needed).toBe(nobody)
  })
})
