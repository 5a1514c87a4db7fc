import { describe, expect, it } from 'vitest'
import { asIndex, asReplicaId, asTerm } from '../../src/base/ids.ts'
import type { ProgressStatus, RaftStatus } from '../../src/raft/types.ts'
import { LogRetention, neededByFollowers } from '../../src/range/log-retention.ts'

const nobody = asIndex(Number.MAX_SAFE_INTEGER)

describe('log retention', () => {
  it('lets go of what lies more than the retained bytes behind, and nothing nearer', () => {
    const retention = new LogRetention(100, 1_000)
    expect(retention.flushed(asIndex(10), 50, nobody)).toBeUndefined()
    expect(retention.flushed(asIndex(20), 100, nobody)).toBeUndefined()
    expect(retention.flushed(asIndex(30), 149, nobody)).toBeUndefined()
    expect(retention.flushed(asIndex(31), 150, nobody)).toBe(10)
    expect(retention.flushed(asIndex(90), 1_000, nobody)).toBe(31)
  })

  it('keeps what a follower needs that is catching up, but not for ever', () => {
    const retention = new LogRetention(100, 1_000)
    expect(retention.flushed(asIndex(10), 100, asIndex(5))).toBeUndefined()
    expect(retention.flushed(asIndex(20), 500, asIndex(5))).toBeUndefined()
    expect(retention.flushed(asIndex(30), 1_050, asIndex(15))).toBe(10)
    expect(retention.flushed(asIndex(40), 1_500, asIndex(15))).toBe(20)
  })
})

describe('what followers need', () => {
  const member = (replica: number, changes: Partial<ProgressStatus> = {}): ProgressStatus => ({
    held: false,
    replica: asReplicaId(replica),
    match: asIndex(50),
    next: asIndex(60),
    state: 'replicate',
    recentActive: true,
    silentTicks: 0,
    learner: false,
    ...changes,
  })
  const needed = (...progress: ProgressStatus[]): number => {
    const status: Partial<RaftStatus> = { id: asReplicaId(1), term: asTerm(1), progress }
    return neededByFollowers(status as RaftStatus, asIndex(20))
  }

  it('is what they have not acknowledged, as long as they answer', () => {
    expect(needed(member(1, { match: asIndex(5) }), member(2), member(3, { match: asIndex(40) }))).toBe(40)
    expect(needed(member(2, { match: asIndex(40), recentActive: false }))).toBe(nobody)
  })

  it('is what comes after a snapshot, from when it is sent until they answer again', () => {
    const [match, next] = [asIndex(0), asIndex(31)]
    expect(needed(member(2, { state: 'snapshot', match, next, recentActive: false }))).toBe(30)
    expect(needed(member(2, { state: 'probe', match, next }))).toBe(30)
  })

  it('is nothing where a snapshot has to come first', () => {
    expect(needed(member(2, { state: 'probe', match: asIndex(0), next: asIndex(1) }))).toBe(nobody)
  })
})
