// What a replica takes in while it applies slowly, or has no room: bounded, and without being taken for dead.

import { describe, expect, test } from 'vitest'
import { asIndex, asReplicaId } from '../../src/base/ids.ts'
import type { Message } from '../../src/raft/types.ts'
import { answers, appendOf, elect, entriesOf, hostOf, settle, tick } from './cluster.ts'
import type { Host } from './host.ts'

const id = (replica: number) => asReplicaId(replica)
/** An entry of these tests counts for this much: two bytes at most, and what every entry costs. */
const entryBytes = 66

/** Delivers among `hosts` what is due; `slow` flushes and applies nothing of its own accord. */
function deliver(hosts: readonly Host[], slow: Host): Message[] {
  const seen: Message[] = []
  for (let round = 0; round < 50; round++) {
    const packets: Message[] = []
    for (const host of hosts) {
      host.onSend = packet => packets.push(packet as Message)
      while (host.raft.hasReady()) host.takeReady()
      host.flush()
      if (host !== slow) host.apply()
    }
    if (packets.length === 0) break
    for (const packet of packets) {
      seen.push(packet)
      hosts.find(host => host.id === packet.to)?.step(packet)
    }
  }
  return seen
}

const entriesTo = (packets: readonly Message[], to: number): number =>
  packets.reduce(
    (sum, packet) => sum + (packet.kind === 'append-entries' && packet.to === to ? packet.entries.length : 0),
    0,
  )

describe('a follower that applies slowly', () => {
  const unappliedBytesMax = 3 * entryBytes
  const raft = { unappliedBytesMax, appendBytesMax: 2, inflightMessagesMax: 2 }
  const create = () => {
    const hosts = [1, 2, 3].map(replica => hostOf(replica, { raft }))
    const [leader, other, slow] = hosts as [Host, Host, Host]
    elect(leader, other, slow)
    return { hosts, leader, other, slow }
  }
  const propose = (host: Host) => host.raft.propose(Buffer.from('x'))
  const beat = (hosts: readonly Host[], leader: Host, slow: Host): Message[] => {
    tick(leader, 2)
    return deliver(hosts, slow)
  }

  test('takes no more than it may fall behind by, stays in the quorum, and gets the rest once it has applied', () => {
    const { hosts, leader, slow } = create()
    const begun = slow.log.lastIndex
    for (let count = 0; count < 40; count++) {
      expect(propose(leader).kind).toBe('accepted')
      deliver(hosts, slow)
      if (count % 4 === 3) beat(hosts, leader, slow)
    }
    expect(leader.raft.commit).toBe(begun + 40)
    // The limit, and what had come before the commit of it was known.
    expect(slow.log.lastIndex - begun).toBeLessThan(10)
    expect(slow.raft.status().unappliedBytes).toBeLessThan(unappliedBytesMax + 3 * entryBytes)
    const progress = leader.raft.status().progress.find(item => item.replica === slow.id)
    expect(progress).toMatchObject({ held: true, recentActive: true })

    // It is asked again with heartbeats alone: nothing is sent for nothing.
    let sent = 0
    for (let beats = 0; beats < 10; beats++) sent += entriesTo(beat(hosts, leader, slow), 3)
    expect(sent).toBe(0)

    for (let beats = 0; beats < 60 && slow.image.applied < leader.image.applied; beats++) {
      slow.apply()
      beat(hosts, leader, slow)
    }
    expect(slow.image.applied).toBe(leader.image.applied)
    expect(slow.image.hash).toBe(leader.image.hash)
  })

  test('takes what is not committed, however much it is, and the entry by which it is committed', () => {
    const terms = Array.from({ length: 20 }, () => 1)
    const [leader, follower] = [2, 3].map(replica => hostOf(replica, { voters: [2, 3], terms, term: 5, raft })) as [
      Host,
      Host,
    ]
    elect(leader, follower)
    expect(leader.raft.commit).toBe(21)
    expect(follower.image.applied).toBe(21)
  })

  test('a leader that applies slowly refuses proposals as overloaded, and takes them again', () => {
    const { hosts, leader } = create()
    let refused: string | undefined
    for (let count = 0; count < 20 && refused === undefined; count++) {
      const result = propose(leader)
      if (result.kind === 'overloaded') refused = result.queue
      deliver(hosts, leader)
    }
    expect(refused).toBe('unapplied')
    leader.apply()
    expect(propose(leader).kind).toBe('accepted')
  })
})

describe('a replica whose shell has no room', () => {
  test('takes no commands, takes what carries no data, and votes', () => {
    const host = hostOf(2, { terms: [1, 1], term: 1 })
    host.raft.holdIntake(true)
    const refused = answers(host, appendOf(1, 2, 1, [2, 1], entriesOf(3, 1), 2))
    expect(refused).toMatchObject([{ kind: 'append-entries-response', index: 2, rejected: false, held: true }])
    expect(host.log.lastIndex).toBe(2)
    expect(host.raft.commit).toBe(2)

    const [entry] = entriesOf(3, 1)
    const empty = { ...(entry as NonNullable<typeof entry>), kind: 'empty' as const }
    expect(answers(host, appendOf(1, 2, 1, [2, 1], [empty], 2))).toMatchObject([{ index: 3, rejected: false }])
    // What it has already is confirmed, and heartbeats tell how it is.
    expect(answers(host, appendOf(1, 2, 1, [2, 1], [empty], 2))).toMatchObject([{ index: 3, held: false }])
    const heartbeat = {
      kind: 'heartbeat',
      from: id(1),
      to: id(2),
      term: host.raft.term,
      commit: asIndex(2),
      context: 7,
    } as const
    expect(answers(host, heartbeat)).toMatchObject([{ kind: 'heartbeat-response', held: true }])

    host.raft.holdIntake(false)
    expect(answers(host, appendOf(1, 2, 1, [3, 1], entriesOf(4, 1), 2))).toMatchObject([{ index: 4, held: false }])
  })

  test('is never handed the leadership', () => {
    const hosts = [1, 2, 3].map(replica => hostOf(replica)) as [Host, Host, Host]
    const [leader, other, full] = hosts
    elect(leader, other, full)
    full.raft.holdIntake(true)
    tick(leader, 2)
    settle(...hosts)
    expect(leader.raft.transferLeadership(id(3))).toMatchObject({ kind: 'refused' })
    expect(leader.raft.transferLeadership(id(2)).kind).toBe('accepted')
  })
})

test('committed entries are handed out by so many bytes at a time; the log has the others', () => {
  const raft = { applyingBytesMax: 10 }
  const terms = Array.from({ length: 100 }, () => 1)
  const host = hostOf(1, { voters: [1], terms, term: 1, commit: 100, raft })
  let most = 0
  for (let turns = 0; turns < 1_000 && host.image.applied < 100; turns++) {
    if (host.raft.hasReady()) host.takeReady()
    most = Math.max(most, host.toApply.length)
    if (!host.raft.hasReady()) host.apply(1)
  }
  expect(host.image.applied).toBe(100)
  expect(most).toBeLessThanOrEqual(10)
})
