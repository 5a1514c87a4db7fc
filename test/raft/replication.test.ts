// Log matching, and how fast it is reached, between any two logs that elections can leave behind (paper 5.3).

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import { hostOf, settle } from './cluster.ts'

const raft = { appendBytesMax: 1000 }

const termLists = fc
  .record({
    shared: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }),
    tail: fc.array(fc.integer({ min: 4, max: 9 }), { maxLength: 10 }),
  })
  .map(({ shared, tail }) => ({ shared: shared.sort((a, b) => a - b), tail: tail.sort((a, b) => a - b) }))

test("any follower ends with the leader's log, in one round trip a divergent term", () => {
  fc.assert(
    fc.property(termLists, termLists, (ours, theirs) => {
      // One term has one leader, so an (index, term) in both logs is one entry after one log: odd terms are ours.
      const leaderTerms = [...ours.shared, ...ours.tail.map(term => term * 2 + 1)]
      const followerTerms = [...ours.shared, ...theirs.tail.map(term => term * 2)]
      const leader = hostOf(1, { terms: leaderTerms, term: 30, raft })
      const supporter = hostOf(3, { term: 30, raft })
      const follower = hostOf(2, { terms: followerTerms, term: 30, raft })
      leader.raft.campaign()
      settle(leader, supporter)
      expect(leader.raft.role).toBe('leader')
      for (let i = 0; i < 2; i++) leader.raft.tick()
      const refused = settle(leader, supporter, follower).filter(
        packet => packet.kind === 'append-entries-response' && packet.from === 2 && packet.rejected,
      ).length
      expect(follower.log.lastIndex).toBe(leader.log.lastIndex)
      for (let index = 1; index <= leader.log.lastIndex; index++) {
        expect(follower.log.term(asIndex(index))).toBe(leader.log.term(asIndex(index)))
      }
      expect(follower.image.hash).toBe(leader.image.hash)
      const divergentTerms = new Set([...ours.tail.map(term => -term), ...theirs.tail]).size
      expect(refused).toBeLessThanOrEqual(divergentTerms + 1)
    }),
  )
})
