// A replica whose state is not to be trusted, as its core sees it: it has its log and its votes, and applies and leads nothing.

import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import { elect, hostOf, settle, tick } from './cluster.ts'
import type { Host, Packet } from './host.ts'

/** The first leads, and everybody has its first entry. */
function createTrio(): [Host, Host, Host] {
  const [a, b, c] = [hostOf(1), hostOf(2), hostOf(3)]
  elect(a, b, c)
  settle(a, b, c)
  return [a, b, c]
}

function propose(host: Host, text: string): void {
  expect(host.raft.propose(Buffer.from(text)).kind).toBe('accepted')
}

const streams = (packets: readonly Packet[]): number[] =>
  packets.filter(packet => packet.kind === 'snapshot-stream').map(packet => packet.to)

const meta = (index: number, term = 1) => ({
  index: asIndex(index),
  term: asTerm(term),
  configuration: hostOf(1).raft.status().configuration,
})

describe('a replica that has lost its state', () => {
  it('hands out nothing to be applied, and counts towards a quorum', () => {
    const [a, b] = createTrio()
    b.raft.loseState()
    propose(a, 'a')
    settle(a, b)
    tick(a, 2)
    settle(a, b)
    expect(a.image.applied).toBe(a.log.lastIndex)
    expect([b.raft.commit, b.image.applied]).toEqual([a.log.lastIndex, a.log.lastIndex - 1])
  })

  it('hands over if it leads, to one that has everything', () => {
    const [a, b, c] = createTrio()
    propose(a, 'a')
    settle(a, b)
    a.raft.loseState()
    settle(a, b, c)
    expect([a, b, c].map(host => host.raft.role)).toEqual(['follower', 'leader', 'follower'])
    expect(a.raft.term).toBe(2)
  })

  it('steps down if nobody takes over within a few election timeouts', () => {
    const [a, b, c] = createTrio()
    a.raft.loseState()
    for (let round = 0; round < 20 && a.raft.role === 'leader'; round++) {
      tick(a, 1)
      // Whatever tells them to take over is lost.
      a.onSend = packet => {
        if (packet.kind === 'heartbeat') [b, c].find(host => host.id === packet.to)?.step(packet)
      }
      for (const host of [b, c]) host.onSend = packet => void (packet.kind === 'heartbeat-response' && a.step(packet))
      for (const host of [a, b, c]) while (host.raft.hasReady() || host.writes.length > 0) flushReady(host)
    }
    expect(a.raft.role).toBe('follower')
    expect(a.raft.term).toBe(1)
  })

  it('never campaigns, asked or not', () => {
    const [a, b, c] = createTrio()
    b.raft.loseState()
    tick(b, 100)
    b.raft.campaign()
    expect([b.raft.role, b.raft.term]).toEqual(['follower', 1])
    expect(a.raft.transferLeadership(b.id).kind).toBe('accepted')
    settle(a, b, c)
    expect([b.raft.role, b.raft.term, a.raft.role]).toEqual(['follower', 1, 'leader'])
  })

  it('is sent a snapshot when it asks, one at a time, while appends go on', () => {
    const [a, b, c] = createTrio()
    const heartbeat = (): number[] => {
      tick(a, 2)
      return streams(settle(a, b, c))
    }
    b.raft.loseState()
    expect(heartbeat()).toEqual([])
    b.raft.askForState(true)
    expect(heartbeat()).toEqual([2])
    expect(heartbeat()).toEqual([])
    propose(a, 'a')
    settle(a, b, c)
    expect(b.log.lastIndex).toBe(a.log.lastIndex)
    const told = a.raft.status().progress.find(item => item.replica === b.id)
    expect(told).toMatchObject({ state: 'replicate', needsState: true })
    a.raft.snapshotReported(b.id, asIndex(1), false)
    // Not at once: whatever was wrong with it may still be.
    expect([heartbeat(), heartbeat()]).toEqual([[], []])
    expect([heartbeat(), heartbeat()].flat()).toEqual([2])
    b.raft.askForState(false)
    heartbeat()
    a.raft.snapshotReported(b.id, asIndex(1), true)
    expect(heartbeat()).toEqual([])
  })

  it('is no successor', () => {
    const [a, b, c] = createTrio()
    b.raft.loseState()
    b.raft.askForState(true)
    tick(a, 2)
    settle(a, b, c)
    expect(a.raft.transferLeadership(b.id)).toMatchObject({ kind: 'refused' })
    a.raft.loseState()
    settle(a, b, c)
    expect([a, b, c].map(host => host.raft.role)).toEqual(['follower', 'follower', 'leader'])
  })

  it('begins anew only from a snapshot that its log goes on from, or that lies past what is committed', () => {
    const [a, b, c] = createTrio()
    for (const text of ['a', 'b', 'c', 'd']) propose(a, text)
    settle(a, b, c)
    tick(a, 2)
    settle(a, b, c)
    expect([b.raft.commit, b.log.lastIndex]).toEqual([5, 5])
    const mayRebuild = (index: number, term = 1): boolean => b.raft.mayRebuild(a.id, asTerm(term), meta(index))
    expect(mayRebuild(3)).toBe(false)
    b.raft.loseState()
    expect(mayRebuild(3)).toBe(false)
    b.raft.askForState(true)
    b.flushEngine()
    b.truncate(3)
    expect([1, 2, 5, 9].map(index => mayRebuild(index))).toEqual([false, true, true, true])
    expect(mayRebuild(9, 0)).toBe(false)
  })
})

function flushReady(host: Host): void {
  if (host.raft.hasReady()) host.takeReady()
  host.flush()
}
