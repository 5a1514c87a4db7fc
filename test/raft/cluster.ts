// A few hosts and the messages between them, for tests that need no script: everything due is done at once.

import { asIndex, asReplicaId, asTerm, noReplica } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import type { Entry, Message, RaftOptions, Ready } from '../../src/raft/types.ts'
import { emptyImage, Host, optionsOf, type Packet } from './host.ts'

export interface HostOptions {
  readonly voters?: readonly number[]
  readonly learners?: readonly number[]
  readonly terms?: readonly number[]
  readonly term?: number
  readonly vote?: number
  readonly commit?: number
  readonly raft?: Partial<RaftOptions>
}

export function hostOf(id: number, options: HostOptions = {}): Host {
  const { voters = [1, 2, 3], learners = [], terms = [], vote = 0, commit = 0 } = options
  return new Host(
    optionsOf(asReplicaId(id), () => 0, options.raft),
    {
      image: { ...emptyImage, configuration: configurationOf(voters.map(asReplicaId), learners.map(asReplicaId)) },
      entries: entriesOf(1, ...terms),
      hardState: {
        term: asTerm(options.term ?? terms.at(-1) ?? 0),
        vote: vote === 0 ? noReplica : asReplicaId(vote),
        commit: asIndex(commit),
      },
    },
  )
}

export function entriesOf(first: number, ...terms: readonly number[]): Entry[] {
  return terms.map((term, i) => {
    return { term: asTerm(term), index: asIndex(first + i), kind: 'command', data: Buffer.from(`${term}`) }
  })
}

/** Flushes, applies and delivers among `hosts` until nothing is left to do; answers what was delivered or lost. */
export function settle(...hosts: readonly Host[]): Packet[] {
  const seen: Packet[] = []
  let packets: Packet[] = []
  for (const host of hosts) host.onSend = packet => packets.push(packet)
  for (let isQuiet = false; !isQuiet; ) {
    isQuiet = true
    for (const host of hosts) {
      while (host.raft.hasReady() || host.writes.length > 0 || host.toApply.length > 0) {
        isQuiet = false
        if (host.raft.hasReady()) host.takeReady()
        host.flush()
        host.apply()
      }
    }
    const due = packets
    packets = []
    for (const packet of due) {
      isQuiet = false
      seen.push(packet)
      hosts.find(host => host.id === packet.to)?.step(packet)
    }
  }
  return seen
}

export function elect(leader: Host, ...others: readonly Host[]): void {
  leader.raft.campaign()
  settle(leader, ...others)
}

export function tick(host: Host, count: number): void {
  for (let i = 0; i < count; i++) host.raft.tick()
}

/** What `host` answers to `message`, once its writes are on disk. */
export function answers(host: Host, message: Message): Packet[] {
  const sent: Packet[] = []
  host.onSend = packet => sent.push(packet)
  host.step(message)
  while (host.raft.hasReady()) host.takeReady()
  host.flush()
  return sent
}

export function readyOf(host: Host): Ready {
  return host.takeReady()
}

export function appendOf(
  from: number,
  to: number,
  term: number,
  previous: readonly [number, number],
  entries: readonly Entry[],
  commit = 0,
): Message {
  return {
    kind: 'append-entries',
    from: asReplicaId(from),
    to: asReplicaId(to),
    term: asTerm(term),
    previousIndex: asIndex(previous[0]),
    previousTerm: asTerm(previous[1]),
    commit: asIndex(commit),
    entries,
  }
}

export function voteOf(
  from: number,
  to: number,
  term: number,
  last: readonly [number, number],
  more: { preVote?: boolean; transfer?: boolean } = {},
): Message {
  return {
    kind: 'request-vote',
    from: asReplicaId(from),
    to: asReplicaId(to),
    term: asTerm(term),
    preVote: more.preVote ?? false,
    lastIndex: asIndex(last[0]),
    lastTerm: asTerm(last[1]),
    transfer: more.transfer ?? false,
  }
}
