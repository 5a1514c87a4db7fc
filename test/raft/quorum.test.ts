// Quorums against definitions so plain that they cannot be wrong.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asReplicaId, type ReplicaId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import { quorumAcked, voteResult } from '../../src/raft/quorum.ts'
import type { Configuration } from '../../src/raft/types.ts'

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(asReplicaId), { maxLength: 7 })
const someIds = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(asReplicaId), { minLength: 1, maxLength: 7 })
const configurations: fc.Arbitrary<Configuration> = fc
  .record({ voters: someIds, votersOutgoing: ids, learners: ids })
  .map(({ voters, votersOutgoing, learners }) => ({
    ...configurationOf(
      voters,
      learners.filter(id => !voters.includes(id)),
    ),
    votersOutgoing,
  }))

/** More than half of each half that is not empty satisfies it. */
function isQuorum(configuration: Configuration, holds: (id: ReplicaId) => boolean): boolean {
  const halves = [configuration.voters, configuration.votersOutgoing].filter(half => half.length > 0)
  return halves.every(half => half.filter(holds).length * 2 > half.length)
}

describe('the acknowledged index of a quorum', () => {
  test('is the largest that a majority of each half has reached', () => {
    fc.assert(
      fc.property(configurations, fc.array(fc.nat(20), { minLength: 10, maxLength: 10 }), (configuration, acks) => {
        const ackOf = (id: ReplicaId): number => acks[id] ?? 0
        let expected = 0
        for (let index = 0; index <= 20; index++)
          if (isQuorum(configuration, id => ackOf(id) >= index)) expected = index
        expect(quorumAcked(configuration, ackOf)).toBe(expected)
      }),
    )
  })

  test('is 0 where nobody votes', () => {
    expect(quorumAcked(configurationOf([]), () => 7)).toBe(0)
  })

  test('does not ask learners', () => {
    const configuration = configurationOf([1, 2, 3].map(asReplicaId), [4, 5].map(asReplicaId))
    expect(quorumAcked(configuration, id => (id >= 4 || id === 1 ? 9 : 2))).toBe(2)
  })
})

describe('the result of a vote', () => {
  test('is decided exactly when the answers still to come cannot change it', () => {
    const answers = fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 })
    fc.assert(
      fc.property(configurations, answers, (configuration, votes) => {
        const isWonAtBest = isQuorum(configuration, id => votes[id] !== false)
        const isWonAtWorst = isQuorum(configuration, id => votes[id] === true)
        const expected = isWonAtWorst ? 'won' : isWonAtBest ? 'pending' : 'lost'
        expect(voteResult(configuration, id => votes[id])).toBe(expected)
      }),
    )
  })

  test('two quorums of one configuration meet', () => {
    const pair = fc.array(fc.tuple(fc.boolean(), fc.boolean()), { minLength: 10, maxLength: 10 })
    fc.assert(
      fc.property(configurations, pair, (configuration, sides) => {
        const left = voteResult(configuration, id => sides[id]?.[0])
        const right = voteResult(configuration, id => sides[id]?.[1])
        fc.pre(left === 'won' && right === 'won')
        expect(configuration.voters.some(id => sides[id]?.[0] && sides[id]?.[1])).toBe(true)
      }),
    )
  })
})
