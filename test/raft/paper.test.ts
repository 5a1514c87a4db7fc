// The core, sentence by sentence: by section of "In Search of an Understandable Consensus Algorithm" (paper) and of
// "Consensus: Bridging Theory and Practice" (dissertation).

import { describe, expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { asIndex, asReplicaId, asTerm } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import { createRaft } from '../../src/raft/raft.ts'
import { answers, appendOf, elect, entriesOf, hostOf, readyOf, settle, tick, voteOf } from './cluster.ts'
import { optionsOf } from './host.ts'
import { MemoryLog } from './memory-log.ts'

const id = asReplicaId

describe('paper 5.1: terms', () => {
  test('a candidate or leader that hears of a later term becomes a follower', () => {
    const host = hostOf(1, { voters: [1] })
    elect(host)
    expect(host.raft.role).toBe('leader')
    host.step(appendOf(2, 1, 5, [0, 0], []))
    expect([host.raft.role, host.raft.term, host.raft.leader]).toEqual(['follower', 5, 2])
  })

  test('a message of an earlier term is refused with the later term', () => {
    const host = hostOf(1, { term: 5 })
    expect(answers(host, appendOf(2, 1, 4, [0, 0], entriesOf(1, 4)))).toMatchObject([
      { kind: 'append-entries-response', term: 5, rejected: true },
    ])
    expect(host.log.lastIndex).toBe(0)
  })
})

describe('paper 5.2: elections', () => {
  test('the vote of a term stands when its candidate steps down', () => {
    const host = hostOf(1)
    answers(host, voteOf(2, 1, 3, [0, 0]))
    // A leader of the same term appears; then somebody asks in that term again.
    host.step(appendOf(2, 1, 3, [0, 0], []))
    expect(answers(host, voteOf(3, 1, 3, [9, 9])).at(-1)).toMatchObject({
      kind: 'request-vote-response',
      granted: false,
    })
    expect(host.raft.status().vote).toBe(2)
  })

  test('a vote survives a restart', () => {
    const host = hostOf(1)
    answers(host, voteOf(2, 1, 3, [0, 0]))
    host.crash()
    host.restart()
    expect(answers(host, voteOf(3, 1, 3, [9, 9])).at(-1)).toMatchObject({ granted: false })
    expect(answers(host, voteOf(2, 1, 3, [0, 0])).at(-1)).toMatchObject({ granted: true })
  })

  test('a candidate does not count its own vote before it is on disk', () => {
    const host = hostOf(1, { voters: [1] })
    host.raft.campaign()
    readyOf(host)
    expect(host.raft.role).toBe('candidate')
    host.flush()
    expect(host.raft.role).toBe('leader')
  })

  test('timeouts are drawn anew from the whole interval for every campaign', () => {
    const draws = [0, 5, 2]
    const log = new MemoryLog()
    const options = optionsOf(id(1), bound => (bound === 6 ? (draws.shift() ?? 0) : 0))
    const raft = createRaft(options, {
      log,
      hardState: { term: asTerm(0), vote: id(0), commit: asIndex(0) },
      configuration: configurationOf([id(1), id(2), id(3)]),
      applied: asIndex(0),
    })
    const campaigns: number[] = []
    for (let ticks = 1; ticks <= 6 + 11 + 8; ticks++) {
      raft.tick()
      if (raft.ready().messagesAfterFlush.length > 0) campaigns.push(ticks)
    }
    // Drawn at the start, at each expiry, and once more when the campaign itself begins.
    expect(campaigns.length).toBeGreaterThanOrEqual(2)
    expect(campaigns[0]).toBe(6)
    expect(draws).toEqual([])
  })

  test('two leaders of one term are a broken invariant', () => {
    const host = hostOf(1)
    host.step(appendOf(2, 1, 3, [0, 0], []))
    expect(() => host.step(appendOf(3, 1, 3, [0, 0], []))).toThrow(AssertionError)
  })
})

describe('paper 5.3: replication', () => {
  test('an append is answered only once its entries are on disk', () => {
    const host = hostOf(1)
    host.step(appendOf(2, 1, 1, [0, 0], entriesOf(1, 1)))
    const ready = readyOf(host)
    expect(ready.messages).toEqual([])
    expect(ready.mustSync).toBe(true)
    expect(ready.messagesAfterFlush).toMatchObject([{ kind: 'append-entries-response', index: 1, rejected: false }])
  })

  test('an append below commit is answered with commit, and truncates nothing', () => {
    const host = hostOf(1, { terms: [1, 1, 1], commit: 3 })
    expect(answers(host, appendOf(2, 1, 2, [0, 0], entriesOf(1, 2)))).toMatchObject([{ index: 3, rejected: false }])
    expect(host.log.term(asIndex(1))).toBe(1)
  })

  test('commit never passes the last entry that an append brought: what follows it here may conflict', () => {
    const host = hostOf(1, { terms: [1, 1, 1] })
    host.step(appendOf(2, 1, 2, [1, 1], [], 3))
    expect(host.raft.commit).toBe(1)
  })

  test('an append with a gap, or with terms that fall, is not touched', () => {
    const host = hostOf(1, { terms: [1] })
    expect(answers(host, appendOf(2, 1, 3, [1, 1], entriesOf(3, 2)))).toEqual([])
    expect(answers(host, appendOf(2, 1, 3, [1, 1], entriesOf(2, 3, 2)))).toEqual([])
    expect(answers(host, appendOf(2, 1, 3, [1, 1], entriesOf(2, 4)))).toEqual([])
    expect(host.raft.lastIndex).toBe(1)
  })

  test('a heartbeat carries no more commit than the follower is known to have', () => {
    const [leader, other, behind] = [hostOf(1), hostOf(2), hostOf(3)]
    elect(leader, other)
    leader.raft.propose(Buffer.from('x'))
    settle(leader, other)
    tick(leader, 2)
    const heartbeats = settle(leader, other).filter(packet => packet.kind === 'heartbeat')
    expect(heartbeats).toMatchObject([
      { to: 2, commit: 2 },
      { to: 3, commit: 0 },
    ])
    for (const heartbeat of heartbeats) behind.step(heartbeat)
    expect(behind.raft.commit).toBe(0)
  })
})

describe('paper 5.4: safety', () => {
  test('5.4.1 a log that ends in a later term, or is longer in the same, is more up-to-date', () => {
    for (const [last, granted] of [
      [[2, 2], true],
      [[3, 2], true],
      [[1, 2], false],
      [[9, 1], false],
      [[1, 3], true],
    ] as const) {
      const host = hostOf(1, { terms: [1, 2], term: 3 })
      expect(answers(host, voteOf(2, 1, 4, last)).at(-1)).toMatchObject({ granted })
    }
  })

  test('5.4.2 an entry of an older term is never committed by counting', () => {
    const [leader, other] = [hostOf(1, { terms: [1, 2], term: 2 }), hostOf(2, { terms: [1, 2], term: 2 })]
    leader.raft.campaign()
    const acknowledgement = {
      kind: 'append-entries-response',
      from: id(2),
      to: id(1),
      rejected: false,
      hintIndex: asIndex(0),
      hintTerm: asTerm(0),
    } as const
    // Votes only: the append of term 3 never arrives.
    leader.onSend = packet => packet.kind === 'request-vote' && votes.push(packet)
    const votes: unknown[] = []
    readyOf(leader)
    leader.step({
      kind: 'request-vote-response',
      from: id(2),
      to: id(1),
      term: asTerm(3),
      preVote: true,
      granted: true,
    })
    readyOf(leader)
    leader.flush()
    leader.step({
      kind: 'request-vote-response',
      from: id(2),
      to: id(1),
      term: asTerm(3),
      preVote: false,
      granted: true,
    })
    readyOf(leader)
    leader.flush()
    expect([leader.raft.role, leader.raft.lastIndex, votes.length]).toEqual(['leader', 3, 4])
    leader.step({ ...acknowledgement, term: asTerm(3), index: asIndex(2) })
    expect(leader.raft.commit).toBe(0)
    leader.step({ ...acknowledgement, term: asTerm(3), index: asIndex(3) })
    expect(leader.raft.commit).toBe(3)
    expect(other.raft.commit).toBe(0)
  })

  test('what is committed is handed out once, in order, and only when it is on this disk', () => {
    const [leader, second, third] = [hostOf(1), hostOf(2), hostOf(3)]
    elect(leader, second, third)
    const appends: Parameters<typeof leader.step>[0][] = []
    leader.onSend = packet => appends.push(packet)
    leader.raft.propose(Buffer.from('x'))
    readyOf(leader)
    for (const follower of [second, third]) {
      follower.onSend = packet => leader.step(packet)
      for (const packet of appends) follower.step(packet)
      readyOf(follower)
      follower.flush()
    }
    expect(leader.raft.commit).toBe(2)
    expect(readyOf(leader).committed).toEqual([])
    leader.flush()
    expect(readyOf(leader).committed.map(entry => entry.index)).toEqual([2])
    expect(readyOf(leader).committed).toEqual([])
    expect(leader.raft.hasReady()).toBe(false)
  })
})

describe('paper 7: snapshots', () => {
  const meta = (index: number, term: number) => ({
    index: asIndex(index),
    term: asTerm(term),
    configuration: configurationOf([id(1), id(2)]),
  })

  test('one of what is here already is dropped, and the leader told what is here', () => {
    const host = hostOf(1, { terms: [1, 1, 1], commit: 2 })
    expect(host.raft.maybeRestore(id(2), asTerm(1), meta(2, 1))).toBe(false)
    expect(readyOf(host).messagesAfterFlush).toMatchObject([
      { kind: 'append-entries-response', index: 2, rejected: false },
    ])
  })

  test('one that matches an entry here only tells that it is committed', () => {
    const host = hostOf(1, { terms: [1, 1, 1], commit: 1 })
    expect(host.raft.maybeRestore(id(2), asTerm(1), meta(3, 1))).toBe(false)
    expect([host.raft.commit, host.raft.lastIndex]).toEqual([3, 3])
  })

  test('one that conflicts replaces the log, and no entry stays', () => {
    const host = hostOf(1, { terms: [1, 1, 1, 1], commit: 1 })
    expect(host.raft.maybeRestore(id(2), asTerm(3), meta(3, 2))).toBe(true)
    expect([host.raft.commit, host.raft.lastIndex]).toEqual([3, 3])
    // Its configuration is in force from the Ready that carries it: until then the shell applies what went before.
    expect(host.raft.status().configuration.voters).toEqual([1, 2, 3])
    const ready = host.raft.ready()
    expect(ready).toMatchObject({ snapshot: { index: 3, term: 2 }, entries: [], committed: [], mustSync: true })
    expect(host.raft.status().configuration.voters).toEqual([1, 2])
  })

  test('one from a leader of the past is dropped', () => {
    const host = hostOf(1, { term: 5 })
    expect(host.raft.maybeRestore(id(2), asTerm(4), meta(3, 2))).toBe(false)
    expect(host.raft.hasReady()).toBe(false)
  })
})

describe('dissertation 3.10 and 4.2.3: leases, and how a transfer passes them', () => {
  test('whoever hears a leader does not vote, nor learn of the later term, unless the leader asked for it', () => {
    const host = hostOf(1)
    host.step(appendOf(2, 1, 1, [0, 0], []))
    expect(answers(host, voteOf(3, 1, 9, [9, 9])).filter(packet => packet.kind === 'request-vote-response')).toEqual([])
    expect(host.raft.term).toBe(1)
    expect(answers(host, voteOf(3, 1, 9, [9, 9], { transfer: true })).at(-1)).toMatchObject({ granted: true, term: 9 })
  })

  test('a learner, or one that is no member, votes when it is asked', () => {
    const learner = hostOf(4, { learners: [4] })
    expect(answers(learner, voteOf(2, 4, 3, [0, 0])).at(-1)).toMatchObject({ granted: true })
  })
})

describe('restarts', () => {
  test('commit begins at what was applied, if that is more', () => {
    const log = new MemoryLog()
    log.append(entriesOf(1, 1, 1, 1))
    const start = { log, configuration: configurationOf([id(1)]), applied: asIndex(2) }
    const hardState = { term: asTerm(1), vote: id(1), commit: asIndex(1) }
    expect(
      createRaft(
        optionsOf(id(1), () => 0),
        { ...start, hardState },
      ).commit,
    ).toBe(2)
  })

  test('a commit index beyond the log means that the log has lost entries: no start', () => {
    const start = { log: new MemoryLog(), configuration: configurationOf([id(1)]), applied: asIndex(0) }
    const hardState = { term: asTerm(1), vote: id(1), commit: asIndex(4) }
    expect(() =>
      createRaft(
        optionsOf(id(1), () => 0),
        { ...start, hardState },
      ),
    ).toThrow(AssertionError)
  })

  test('an answer to a read index asked for before the restart does not pass for one asked for after it', () => {
    const contexts = [1, 2].map(draw => {
      const host = hostOf(2, { raft: { random: bound => (bound > 1000 ? draw : 0) } })
      host.step(appendOf(1, 2, 1, [0, 0], []))
      const result = host.raft.readIndex()
      return result.kind === 'accepted' ? result.context : 0
    })
    expect(contexts[0]).toBeGreaterThan(0)
    expect(contexts[0]).not.toBe(contexts[1])
  })
})

describe('limits', () => {
  test('an entry larger than an append and than the window still goes, alone', () => {
    const raft = { appendBytesMax: 10, inflightBytesMax: 5, proposalBytesMax: 1000 }
    const [leader, other] = [hostOf(1, { voters: [1, 2], raft }), hostOf(2, { voters: [1, 2], raft })]
    elect(leader, other)
    for (let i = 0; i < 3; i++) expect(leader.raft.propose(new Uint8Array(100)).kind).toBe('accepted')
    settle(leader, other)
    expect(other.image.applied).toBe(4)
  })

  test('no more is uncommitted than the limit, but a single proposal always has room', () => {
    const raft = { uncommittedBytesMax: 10, proposalBytesMax: 100 }
    const [leader, other] = [hostOf(1, { voters: [1, 2], raft }), hostOf(2, { voters: [1, 2], raft })]
    elect(leader, other)
    expect(leader.raft.propose(new Uint8Array(101)).kind).toBe('too-large')
    expect(leader.raft.propose(new Uint8Array(100)).kind).toBe('accepted')
    expect(leader.raft.propose(new Uint8Array(1)).kind).toBe('overloaded')
    settle(leader, other)
    expect(leader.raft.propose(new Uint8Array(1)).kind).toBe('accepted')
  })
})
