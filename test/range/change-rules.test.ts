// Which changes of members a leader may propose: by who of the voters that would decide answers and keeps up.

import { describe, expect, it } from 'vitest'
import { type ReplicaId, asIndex, asReplicaId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import type { ConfigurationStep, ProgressStatus, RaftStatus } from '../../src/raft/types.ts'
import { changeRefusal } from '../../src/range/change-rules.ts'

const commit = 1_000
const rules = { heardWithinTicks: 3, lagMax: 100, nameOf: (replica: ReplicaId): string => `n${replica}` }
const silent: Partial<ProgressStatus> = { silentTicks: 3 }
const never: Partial<ProgressStatus> = { silentTicks: Number.POSITIVE_INFINITY, match: asIndex(0) }

/** The leader is 1; everybody answers and keeps up but for what is said. */
function refusal(
  voters: readonly number[],
  learners: readonly number[],
  states: Readonly<Record<number, Partial<ProgressStatus>>>,
  ...steps: readonly (readonly [ConfigurationStep['kind'], number])[]
): string | undefined {
  const ids = (numbers: readonly number[]): ReplicaId[] => numbers.map(asReplicaId)
  const progress = [...voters, ...learners].map(replica => ({
    replica: asReplicaId(replica),
    match: asIndex(commit),
    next: asIndex(commit + 1),
    state: 'replicate' as const,
    recentActive: true,
    silentTicks: 0,
    needsState: false,
    learner: learners.includes(replica),
    held: false,
    ...states[replica],
  }))
  const configuration = configurationOf(ids(voters), ids(learners))
  const status: Partial<RaftStatus> = { id: asReplicaId(1), commit: asIndex(commit), configuration, progress }
  const change = steps.map(([kind, replica]) => ({ kind, replica: asReplicaId(replica) }))
  return changeRefusal(
    status as RaftStatus,
    { steps: change, joint: 'auto-if-needed', context: new Uint8Array(0) },
    rules,
  )
}

describe('a removal', () => {
  it('goes on while those who would be left have a majority', () => {
    expect(refusal([1, 2, 3], [], {}, ['remove', 2])).toBeUndefined()
    expect(refusal([1, 2], [], {}, ['remove', 2])).toBeUndefined()
    expect(refusal([1, 2, 3, 4, 5], [], { 2: silent }, ['remove', 3])).toBeUndefined()
  })

  it('of a live voter while another is dead says who is dead, what would be needed, and what to do instead', () => {
    const message = refusal([1, 2, 3], [], { 3: silent }, ['remove', 2])
    expect(message).toContain('of the voters n1, n3 it would need 2, and n3 does not answer')
    expect(message).toMatch(/Start it again, or mend its network, or remove first who is down/)
    expect(refusal([1, 2, 3, 4, 5], [], { 2: silent, 3: never }, ['remove', 4])).toContain('would need 3')
  })

  it('of the dead itself is right while a majority lives', () => {
    expect(refusal([1, 2, 3], [], { 3: silent }, ['remove', 3])).toBeUndefined()
    expect(refusal([1, 2, 3, 4, 5], [], { 4: never, 5: silent }, ['remove', 4])).toBeUndefined()
  })

  it('does not count on a voter that was never heard by this leader, or is far behind', () => {
    expect(refusal([1, 2, 3], [], { 3: never }, ['remove', 2])).toContain('n3 does not answer')
    expect(refusal([1, 2, 3], [], { 3: { match: asIndex(800) } }, ['remove', 2])).toContain('at entry 800 of 1000')
    expect(refusal([1, 2, 3], [], { 3: { state: 'snapshot' } }, ['remove', 2])).toContain('has not caught up')
  })

  it('of a learner is nobody else’s business', () => {
    expect(refusal([1, 2, 3], [4], { 3: silent, 4: never }, ['remove', 4])).toBeUndefined()
  })
})

describe('a promotion', () => {
  it('waits until the learner answers and has caught up', () => {
    expect(refusal([1], [2], {}, ['add-voter', 2])).toBeUndefined()
    expect(refusal([1], [2], { 2: { match: asIndex(commit - 100) } }, ['add-voter', 2])).toBeUndefined()
    expect(refusal([1], [2], { 2: { match: asIndex(commit - 101) } }, ['add-voter', 2])).toBe(
      'n2 cannot vote yet: it has not caught up (at entry 899 of 1000; 100 behind would do). Wait until it has caught up, and try again',
    )
    expect(refusal([1], [2], { 2: silent }, ['add-voter', 2])).toContain('n2 cannot vote yet: it does not answer')
    expect(refusal([1], [2], { 2: never }, ['add-voter', 2])).toBeDefined()
  })

  it('waits until a quarantined learner is rebuilt, which as a voter would stand in the way of nobody', () => {
    const message = refusal([1], [2], { 2: { needsState: true } }, ['add-voter', 2])
    expect(message).toContain('n2 cannot vote yet: it is quarantined, and is being rebuilt from its peers. Wait until')
    expect(refusal([1, 2, 3], [], { 2: { needsState: true } }, ['remove', 3])).toBeUndefined()
  })

  it('is refused where one more voter would take the majority away', () => {
    expect(refusal([1, 2, 3, 4], [5], { 3: silent, 4: silent }, ['add-voter', 5])).toBeUndefined()
    expect(refusal([1, 2, 3], [4, 5], { 2: silent, 3: silent }, ['add-voter', 4])).toContain('would need 3')
  })
})

describe('a demotion or a replacement', () => {
  it('is judged by those who vote after it', () => {
    expect(refusal([1, 2, 3], [], { 3: silent }, ['add-learner', 2])).toContain('n3 does not answer')
    expect(refusal([1, 2, 3], [], { 3: silent }, ['add-learner', 3])).toBeUndefined()
    expect(refusal([1, 2, 3], [4], { 3: silent }, ['add-voter', 4], ['remove', 3])).toBeUndefined()
    expect(refusal([1, 2, 3], [4], { 2: silent, 3: silent }, ['add-voter', 4], ['remove', 3])).toContain(
      'of the voters n1, n2, n3 it would need 2',
    )
  })
})
