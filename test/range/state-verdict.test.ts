import { describe, expect, it } from 'vitest'
import { type ReplicaId, asReplicaId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import { judgeStates, unreadable } from '../../src/range/state-verdict.ts'

const ids = (...numbers: readonly number[]): ReplicaId[] => numbers.map(asReplicaId)
const answers = (...hashes: readonly string[]): Map<ReplicaId, string> =>
  new Map(hashes.flatMap((hash, at) => (hash === '-' ? [] : [[asReplicaId(at + 1), hash] as const])))
const judge = (voters: number, ...hashes: readonly string[]) => {
  const verdict = judgeStates(
    configurationOf(ids(...Array.from({ length: voters }, (_, at) => at + 1))),
    answers(...hashes),
  )
  return verdict.kind === 'agreed'
    ? [verdict.hash, [...verdict.differing], [...verdict.missing]]
    : verdict.kind === 'open'
      ? [verdict.isHalved ? 'open, most have answered' : 'open', [...verdict.missing]]
      : verdict.kind
}

describe('what hashes at one index say', () => {
  it('by a majority of all voters, not of those that answer', () => {
    expect(judge(3, 'a', 'a', 'a')).toEqual(['a', [], []])
    expect(judge(3, 'a', 'a', 'b')).toEqual(['a', [3], []])
    expect(judge(3, 'a', 'a', '-')).toEqual(['a', [], [3]])
    expect(judge(5, 'a', 'a', '-', '-', '-')).toEqual(['open', [3, 4, 5]])
    expect(judge(5, 'a', 'a', 'b', '-', '-')).toEqual(['open, most have answered', [4, 5]])
    expect(judge(5, 'a', 'a', 'b', 'a', '-')).toEqual(['a', [3], [5]])
    expect(judge(2, 'a', '-')).toEqual(['open', [2]])
    expect(judge(1, 'a')).toEqual(['a', [], []])
  })

  it('and where none can come about, nobody is right', () => {
    expect(judge(3, 'a', 'b', 'c')).toBe('none-agrees')
    expect(judge(3, 'a', 'b', '-')).toEqual(['open, most have answered', [3]])
    expect(judge(4, 'a', 'a', 'b', 'b')).toBe('none-agrees')
    expect(judge(5, 'a', 'b', 'c', 'd', '-')).toBe('none-agrees')
    expect(judge(2, 'a', 'b')).toBe('none-agrees')
  })

  it('a damaged state agrees with nobody, not with another damaged one', () => {
    expect(judge(3, 'a', 'a', unreadable)).toEqual(['a', [3], []])
    expect(judge(3, 'a', unreadable, unreadable)).toBe('none-agrees')
  })

  it('learners are judged, and do not judge', () => {
    const configuration = configurationOf(ids(1, 2, 3), ids(4, 5))
    expect(judgeStates(configuration, answers('a', '-', '-', 'a', 'a')).kind).toBe('open')
    expect(judgeStates(configuration, answers('a', 'a', 'a', 'b', 'a'))).toMatchObject({ differing: [4], missing: [] })
  })

  it('in a joint configuration each half has its majority', () => {
    const joint = { ...configurationOf(ids(1, 2, 3)), votersOutgoing: ids(3, 4, 5) }
    expect(judgeStates(joint, answers('a', 'a', 'a', '-', '-')).kind).toBe('open')
    expect(judgeStates(joint, answers('a', 'a', 'a', 'a', '-')).kind).toBe('agreed')
    expect(judgeStates(joint, answers('a', 'a', 'b', 'b', 'b')).kind).toBe('none-agrees')
  })
})
