// What must hold after every step of a simulation, in the words of the paper (figure 3), checked against records that the
// core never sees.

import { strict as assert } from 'node:assert'
import { asIndex, type Index, type ReplicaId } from '../../src/base/ids.ts'
import type { Configuration, Entry } from '../../src/raft/types.ts'
import type { Host, Packet, StateImage } from './host.ts'

interface Committed {
  readonly entry: Entry
  /** The term of whoever was first seen to know. */
  readonly inTerm: number
}

interface Seen {
  raft: unknown
  term: number
  commit: number
  applied: number
  wasLeader: boolean
}

export class Checkers {
  readonly #leaders = new Map<number, ReplicaId>()
  /** What each replica has told others it voted, by term. */
  readonly #votes = new Map<ReplicaId, Map<number, ReplicaId>>()
  /** (index, term) to the entry and the term of the one before it: equal everywhere means that logs match. */
  readonly #entries = new Map<string, { readonly entry: Entry; readonly previousTerm: number }>()
  readonly #committed: Committed[] = []
  readonly #hashes: number[] = []
  readonly #seen = new Map<ReplicaId, Seen>()
  readonly #checkedTo = new Map<ReplicaId, { commit: number }>()
  readonly #start: number
  readonly #hosts: readonly Host[]

  constructor(hosts: readonly Host[], start: Index) {
    this.#hosts = hosts
    this.#start = start
  }

  /** The largest index anyone knows to be committed. */
  get committed(): number {
    return this.#start + this.#committed.length
  }

  get elections(): number {
    return this.#leaders.size
  }

  /** After anything that `host` did. */
  check(host: Host): void {
    const { raft } = host
    const { term, commit, lastIndex, role } = raft
    const applied = host.image.applied
    assert.ok(applied <= commit, `applied <= commit: ${applied} > ${commit}`)
    assert.ok(commit <= lastIndex, `commit <= last: ${commit} > ${lastIndex}`)
    let seen = this.#seen.get(host.id)
    if (seen === undefined || seen.raft !== raft) {
      seen = { raft, term, commit, applied, wasLeader: false }
      this.#seen.set(host.id, seen)
      this.#checkedTo.set(host.id, { commit: this.#start })
    }
    assert.ok(
      term >= seen.term && commit >= seen.commit && applied >= seen.applied,
      'term, commit and applied never go back',
    )
    if (role === 'leader' && seen.wasLeader && commit > seen.commit) {
      const committedTerm = host.log.term(commit)
      assert.equal(committedTerm, term, 'an entry of an older term is never committed by counting')
      this.#checkQuorum(host, commit)
    }
    seen.term = term
    seen.applied = applied
    seen.commit = commit
    if (role === 'leader') {
      const known = this.#leaders.get(term)
      assert.ok(
        known === undefined || known === host.id,
        `election safety: ${known} and ${host.id} lead in term ${term}`,
      )
      this.#leaders.set(term, host.id)
      if (!seen.wasLeader) this.#checkCompleteness(host)
    }
    seen.wasLeader = role === 'leader'
    // A leader never truncates; another's log may show a suffix that the next Ready overwrites: see checkLog.
    if (role === 'leader') this.checkLog(host)
  }

  /** Leader completeness: whoever is elected has every entry committed in an earlier term. */
  #checkCompleteness(host: Host): void {
    for (const { entry, inTerm } of this.#committed) {
      if (inTerm >= host.raft.term || entry.index <= host.log.truncatedIndex) continue
      assert.equal(host.log.term(entry.index) ?? 'none', entry.term, `leader completeness at ${entry.index}`)
    }
  }

  /** After a Ready was taken: the log is as the core sees it. What is committed is the same everywhere, for ever. */
  checkLog(host: Host): void {
    const checked = this.#checkedTo.get(host.id) as { commit: number }
    const { commit } = host.raft
    if (commit <= checked.commit) return
    for (let index = Math.max(checked.commit, host.log.truncatedIndex) + 1; index <= commit; index++) {
      const entry = host.log.entry(asIndex(index))
      assert.ok(entry !== undefined, 'commit never passes the last index')
      const known = this.#committed[index - this.#start - 1]
      if (known === undefined) {
        assert.equal(index, this.committed + 1, 'entries are committed in order')
        this.#committed.push({ entry, inTerm: host.raft.term })
      } else assert.ok(isSameEntry(known.entry, entry), `state machine safety: two entries are committed at ${index}`)
      checked.commit = index
    }
    checked.commit = Math.max(checked.commit, host.log.truncatedIndex)
  }

  /** What a leader holds to be committed lies on the disks of a quorum, both halves of a joint one. */
  #checkQuorum(host: Host, commit: Index): void {
    const term = host.log.term(commit)
    if (term === undefined) return
    const { configuration } = host.raft.status()
    for (const half of [configuration.voters, configuration.votersOutgoing]) {
      const holders = half.filter(voter => {
        const disk = this.#hosts.find(other => other.id === voter)?.disk.log
        return disk !== undefined && (disk.term(commit) === term || disk.truncatedIndex >= commit)
      })
      assert.ok(
        holders.length > half.length / 2 || half.length === 0,
        `a quorum has entry ${commit} on disk: ${holders} of ${half}`,
      )
    }
  }

  applied(host: Host, entry: Entry, image: StateImage): void {
    assert.equal(host.disk.log.term(entry.index), entry.term, 'what is applied is on disk here')
    const slot = entry.index - this.#start - 1
    const known = this.#committed[slot]
    assert.ok(known !== undefined, `only what is committed is applied: ${entry.index}`)
    assert.ok(isSameEntry(known.entry, entry), `state machine safety: another entry was committed at ${entry.index}`)
    assert.equal(this.#hashes[slot] ?? image.hash, image.hash, `equal state at equal index: ${entry.index}`)
    this.#hashes[slot] = image.hash
  }

  sent(host: Host, packet: Packet): void {
    switch (packet.kind) {
      case 'request-vote':
        if (!packet.preVote) this.#voted(host, packet.term, host.id)
        return
      case 'request-vote-response':
        if (!packet.preVote && packet.granted) this.#voted(host, packet.term, packet.to)
        return
      case 'append-entries': {
        let previousTerm: number = packet.previousTerm
        let index: number = packet.previousIndex
        for (const entry of packet.entries) {
          assert.equal(entry.index, index + 1, 'the entries of an append have no gap')
          this.#logged(entry, previousTerm)
          previousTerm = entry.term
          index = entry.index
        }
        return
      }
      case 'append-entries-response':
        if (packet.rejected) return
        assert.ok(
          host.disk.log.lastIndex >= packet.index || host.disk.hardState.term > packet.term,
          'what is acknowledged is on disk',
        )
        return
      default:
    }
  }

  #voted(host: Host, term: number, candidate: ReplicaId): void {
    const { hardState } = host.disk
    assert.ok(
      hardState.term > term || (hardState.term === term && hardState.vote === candidate),
      `a vote is on disk before it is told: ${host.id} in ${term}`,
    )
    const votes = this.#votes.get(host.id) ?? new Map<number, ReplicaId>()
    this.#votes.set(host.id, votes)
    const known = votes.get(term)
    assert.ok(known === undefined || known === candidate, `one vote per term, for ever: ${host.id} in ${term}`)
    votes.set(term, candidate)
  }

  /** Log matching: the same index and term mean the same entry, after the same log. */
  #logged(entry: Entry, previousTerm: number): void {
    const key = `${entry.index}/${entry.term}`
    const known = this.#entries.get(key)
    if (known === undefined) this.#entries.set(key, { entry, previousTerm })
    else assert.ok(known.previousTerm === previousTerm && isSameEntry(known.entry, entry), `log matching at ${key}`)
  }

  /** What a leader believes of its followers is no more than what they have. */
  checkMatches(host: Host): void {
    const { progress, term } = host.raft.status()
    for (const { replica, match, next } of progress) {
      assert.ok(match < next, 'match < next')
      const other = this.#hosts.find(candidate => candidate.id === replica)
      if (other === undefined || match <= other.disk.log.truncatedIndex || match <= host.log.truncatedIndex) continue
      // One that has moved on to a later term may have been overwritten since.
      if (other.disk.hardState.term > term) continue
      assert.equal(other.disk.log.term(match), host.log.term(match), `match is durable: ${match} of ${replica}`)
    }
  }
}

export function votersOf(configuration: Configuration): ReplicaId[] {
  return [...new Set([...configuration.voters, ...configuration.votersOutgoing])]
}

function isSameEntry(a: Entry, b: Entry): boolean {
  return a.index === b.index && a.term === b.term && a.kind === b.kind && Buffer.compare(a.data, b.data) === 0
}
