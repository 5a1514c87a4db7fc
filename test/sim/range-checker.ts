// What must hold for one range after every event, in the words of the Raft paper (figure 3) and of DESIGN.md 5 to 8. It keeps
// records that no node ever sees: every committed entry, every vote and every acknowledgement that left a node.

import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import { asIndex, type RangeId, type ReplicaId, systemKeyspace } from '../../src/base/ids.ts'
import type { RangeState } from '../../src/command/range-state.ts'
import type { RecoveredReplica } from '../../src/log/log.ts'
import { decodeConfigurationChange } from '../../src/raft/configuration-change.ts'
import type { Configuration, Entry, Message, RaftStatus } from '../../src/raft/types.ts'
import { decodeChangeContext } from '../../src/range/descriptor.ts'
import { decodeRemovedStore, removedStoreKey } from '../../src/range/removed-stores.ts'
import type { Replica } from '../../src/range/replica.ts'
import { Model, name } from './model.ts'
import type { SimOptions } from './options.ts'

interface Seen {
  term: number
  commit: number
  applied: number
  closed: number
  lastIndex: number
  /** Committed and not applied. */
  unappliedBytes: number
  /** Taken in spite of so much, and not handed to the log yet: the first index, and the last one; 0: nothing. */
  takenFrom: number
  takenTo: number
  /** Up to here its own proposals were looked at. */
  logIndex: number
  /** Up to here the entries were compared with those that are committed. */
  checkedTo: number
  isLeader: boolean
  configuration: Configuration
}

/** What a replica has said that it must remember for ever. */
interface Said {
  /** Since its last restart: terms that only heartbeats were answered in need not be durable. */
  term: number
  durableTerm: number
  readonly votes: Map<number, ReplicaId>
  /** Up to where it acknowledged appends as durable, by the term of the leader that it told. */
  readonly acknowledged: Map<number, number>
}

/** No version may ever appear at or below `stamp` in an entry after `index`. */
interface Promised {
  readonly stamp: number
  readonly index: number
}

const entriesBytes = 1 << 20
const lagSlack = 8

export class RangeChecker {
  readonly rangeId: RangeId
  readonly model: Model
  /** Leaders seen, one a term. */
  readonly leaders = new Map<number, ReplicaId>()
  readonly start: number
  /** Replicas whose states are wrong on purpose, until they are rebuilt. */
  readonly spoilt = new Set<Replica>()
  readonly #promoteLagEntries: number
  readonly #committed: Entry[] = []
  readonly #hashes = new Map<number, string>()
  /** All of what the first replica at each index had come to. */
  readonly #states = new Map<number, string>()
  readonly #said = new Map<ReplicaId, Said>()
  readonly #storeOf = new Map<ReplicaId, string>()
  readonly #seen = new WeakMap<Replica, Seen>()
  readonly #unappliedBytesMax: number
  readonly #members = new Map<ReplicaId, string>()
  /** Replicas that a committed change removed. */
  readonly #gone = new Set<ReplicaId>()
  /** Stores that an operator removed, by the replica that each had. */
  readonly #removed = new Map<string, ReplicaId>()
  #promised: Promised = { stamp: 0, index: 0 }

  constructor(rangeId: RangeId, start: number, options: Pick<SimOptions, 'sessionLimits' | 'limits'>) {
    this.rangeId = rangeId
    this.#promoteLagEntries = options.limits.promoteLagEntries
    this.#unappliedBytesMax = options.limits.unappliedBytes
    this.start = start
    this.model = new Model(start, options.sessionLimits)
  }

  /** The largest index that anyone knows to be committed. */
  get committed(): number {
    return this.start + this.#committed.length
  }

  termAt(index: number): number | undefined {
    return this.#committed[index - this.start - 1]?.term
  }

  /** A node gave away, with everything up to `index` applied, that nothing appears at or below `stamp` any more. */
  promised(stamp: number, applied: number): void {
    const index = Math.min(applied, this.committed)
    for (const entry of this.#committed.slice(Math.max(0, index - this.start))) this.#checkPromise(entry, stamp)
    if (stamp > this.#promised.stamp) this.#promised = { stamp, index: Math.max(index, this.committed) }
  }

  /** A message leaves the store `storeId`: what it says must be true for ever. */
  sent(storeId: string, replica: Replica, message: Message): void {
    const { from, term, kind } = message
    const owner = this.#storeOf.get(from) ?? storeId
    assert.equal(storeId, owner, `a replica id belongs to one store for ever: ${from}`)
    this.#storeOf.set(from, owner)
    const isPreVote = (kind === 'request-vote' || kind === 'request-vote-response') && message.preVote
    if (isPreVote) return
    const said = this.#saidBy(from)
    assert.ok(term >= said.term, `term never goes back: ${from} speaks in term ${term} after ${said.term}`)
    said.term = term
    switch (kind) {
      case 'request-vote':
        this.#voted(said, from, term, from)
        break
      case 'request-vote-response':
        if (message.granted) this.#voted(said, from, term, message.to)
        break
      case 'append-entries':
        this.#leads(from, term)
        this.#checkAppend(replica, message.previousIndex, message.previousTerm, message.entries)
        break
      case 'heartbeat':
        this.#leads(from, term)
        break
      case 'append-entries-response':
        if (!message.rejected) {
          said.acknowledged.set(term, Math.max(said.acknowledged.get(term) ?? 0, message.index))
          said.durableTerm = Math.max(said.durableTerm, term)
        }
        break
      default:
        break
    }
  }

  /** Before a replica acts after a restart: everything it has told others is still there. */
  recovered({ replicaId, hardState, log }: RecoveredReplica): void {
    const said = this.#said.get(replicaId)
    if (said === undefined) return
    said.term = 0
    assert.ok(
      hardState.term >= said.durableTerm,
      `HardState is durable before a message that depends on it: ${replicaId} spoke in term ${said.durableTerm}, its disk has ${hardState.term}`,
    )
    const vote = said.votes.get(hardState.term)
    assert.ok(
      vote === undefined || hardState.vote === vote,
      `one vote per term, for ever: ${replicaId} voted for ${vote} in term ${hardState.term}, its disk has ${hardState.vote}`,
    )
    // In a later term what was acknowledged may have been overwritten.
    const acknowledged = said.acknowledged.get(hardState.term) ?? 0
    assert.ok(
      log.lastIndex >= acknowledged,
      `match <= what the follower has durable: ${replicaId} acknowledged ${acknowledged}, its log ends at ${log.lastIndex}`,
    )
  }

  /** After anything that its node did. */
  check(replica: Replica, isDiskFull = false): void {
    const { state } = replica
    const status = replica.status()
    const { term, commit, lastIndex, role } = status
    let seen = this.#seen.get(replica)
    if (seen === undefined) {
      seen = {
        term,
        commit,
        applied: -1,
        closed: 0,
        lastIndex: 0,
        unappliedBytes: 0,
        takenFrom: 0,
        takenTo: 0,
        logIndex: replica.log.lastIndex,
        checkedTo: this.start,
        isLeader: false,
        configuration: status.configuration,
      }
      this.#seen.set(replica, seen)
    }
    // While a snapshot is put in place the core is ahead of the state that it waits for.
    const applied = replica.isInstalling ? Math.min(state.appliedIndex, commit) : state.appliedIndex
    assert.ok(applied <= commit, `applied <= commit: ${applied} > ${commit}`)
    assert.ok(commit <= lastIndex, `commit <= last: ${commit} > ${lastIndex}`)
    assert.ok(
      term >= seen.term && commit >= seen.commit && applied >= seen.applied,
      `term, commit and applied never go back: ${term} ${commit} ${applied} after ${seen.term} ${seen.commit} ${seen.applied}`,
    )
    assert.ok(state.closed >= seen.closed, 'the closed timestamp never goes back')
    const isLeader = role === 'leader'
    if (isLeader) {
      this.#leads(replica.replicaId, term)
      if (!seen.isLeader || seen.term !== term) this.#checkCompleteness(replica)
      else assert.ok(lastIndex >= seen.lastIndex, 'a leader never overwrites or deletes entries of its log')
      this.#checkProgress(replica, status)
      this.#checkChanges(replica, status, seen.logIndex)
    }
    // A leader's log is as its core sees it; another's may hold a suffix that its next Ready overwrites.
    const settled = isLeader ? commit : applied
    if (settled > seen.checkedTo && !replica.isInstalling) this.#checkCommitted(replica, seen, settled)
    // What it had heard to be committed before it was elected is not its own count.
    if (isLeader && seen.isLeader && seen.term === term && commit > seen.commit)
      this.#checkQuorum(replica, status, seen.configuration)
    if (applied > seen.applied && !replica.isInstalling && !this.spoilt.has(replica)) this.#checkHash(replica, applied)
    this.#checkIntake(replica, seen, isLeader, lastIndex, isDiskFull)
    seen.term = term
    seen.commit = commit
    seen.applied = applied
    seen.closed = state.closed
    seen.lastIndex = lastIndex
    seen.unappliedBytes = status.unappliedBytes
    seen.logIndex = replica.log.lastIndex
    seen.isLeader = isLeader
    seen.configuration = status.configuration
  }

  /** Memory and log are bounded: a follower that has so much to apply takes no more, but what carries no data. */
  #checkIntake(
    { log, replicaId }: Replica,
    seen: Seen,
    isLeader: boolean,
    lastIndex: number,
    isDiskFull: boolean,
  ): void {
    const isFull = isDiskFull || seen.unappliedBytes > this.#unappliedBytesMax
    if (isFull && !isLeader && !seen.isLeader && seen.lastIndex > 0 && lastIndex > seen.lastIndex) {
      seen.takenFrom = seen.lastIndex + 1
      seen.takenTo = lastIndex
    }
    if (seen.takenTo === 0 || log.lastIndex < seen.takenTo) return
    const { takenFrom, takenTo } = seen
    seen.takenTo = 0
    if (log.truncatedIndex >= takenFrom) return
    const taken = log.entries(asIndex(takenFrom), asIndex(takenTo + 1), entriesBytes)
    assert.ok(
      taken.every(entry => entry.kind !== 'command'),
      `a follower that has too much to apply, or a full disk, takes no more: ${replicaId} took ${takenFrom} to ${takenTo}`,
    )
  }

  #voted(said: Said, voter: ReplicaId, term: number, candidate: ReplicaId): void {
    const before = said.votes.get(term)
    assert.ok(
      before === undefined || before === candidate,
      `one vote per term, for ever: ${voter} voted for ${before} and for ${candidate} in term ${term}`,
    )
    said.votes.set(term, candidate)
    said.durableTerm = Math.max(said.durableTerm, term)
  }

  #leads(replica: ReplicaId, term: number): void {
    const known = this.leaders.get(term)
    assert.ok(known === undefined || known === replica, `election safety: ${known} and ${replica} lead in term ${term}`)
    this.leaders.set(term, replica)
  }

  /** Log matching rests on it: entries follow the one before them without a gap. */
  #checkAppend(replica: Replica, previousIndex: number, previousTerm: number, entries: readonly Entry[]): void {
    entries.forEach((entry, at) =>
      assert.equal(entry.index, previousIndex + 1 + at, 'entries of an append follow one another'),
    )
    const known = this.termAt(previousIndex)
    if (known !== undefined && previousIndex <= replica.status().commit)
      assert.equal(previousTerm, known, `an append names the term of the entry before it, at ${previousIndex}`)
  }

  /** Leader completeness: whoever is elected has every entry committed in an earlier term; log matching says that the last suffices. */
  #checkCompleteness(replica: Replica): void {
    const last = this.#committed.at(-1)
    if (last === undefined || last.term >= replica.term) return
    if (last.index <= replica.log.truncatedIndex) return
    assert.equal(replica.log.term(last.index) ?? 'none', last.term, `leader completeness at ${last.index}`)
  }

  #checkProgress(replica: Replica, status: RaftStatus): void {
    for (const { replica: peer, match, next } of status.progress) {
      assert.ok(match < next, `match < next: ${match}, ${next}`)
      if (peer === replica.replicaId || match === 0) continue
      const acknowledged = this.#saidBy(peer).acknowledged.get(status.term) ?? 0
      assert.ok(
        match <= acknowledged,
        `match <= what the follower has durable: ${match} for ${peer}, which acknowledged ${acknowledged} in term ${status.term}`,
      )
    }
    this.#checkConfigurations(replica, status)
  }

  /** One configuration change at a time: not two that are appended and not applied. */
  #checkConfigurations(replica: Replica, status: RaftStatus): void {
    const { log } = replica
    const from = Math.max(status.applied, log.truncatedIndex) + 1
    if (log.lastIndex < from || replica.isInstalling) return
    const unapplied = log
      .entries(asIndex(from), asIndex(log.lastIndex + 1), entriesBytes)
      .filter(entry => entry.kind === 'configuration')
    assert.ok(unapplied.length <= 1, `one unapplied configuration at a time: ${unapplied.map(entry => entry.index)}`)
  }

  /** The range is never left to voters of whom no majority lives, nor to a newcomer that lacks much of the log (DESIGN.md 5). */
  #checkChanges(replica: Replica, status: RaftStatus, from: number): void {
    const { log } = replica
    const after = Math.max(from, log.truncatedIndex)
    if (after >= log.lastIndex || replica.isInstalling) return
    for (const entry of log.entries(asIndex(after + 1), asIndex(log.lastIndex + 1), entriesBytes)) {
      if (entry.kind !== 'configuration' || entry.term !== status.term || entry.index <= status.applied) continue
      const { steps } = decodeConfigurationChange(entry.data)
      if (steps.length === 0) continue
      const voters = new Set(status.configuration.voters)
      for (const { kind, replica: changed } of steps) {
        if (kind === 'add-voter') voters.add(changed)
        else voters.delete(changed)
      }
      const live = [...voters].filter(voter => isLive(status, voter))
      // By the same voters as now it is committed in any case, or never.
      const isSame = String([...voters].sort((a, b) => a - b)) === String(status.configuration.voters)
      assert.ok(
        isSame || live.length * 2 > voters.size,
        `a change leaves voters with a live majority: ${entry.index} leaves ${[...voters]}, of whom ${live} live`,
      )
      for (const { kind, replica: promoted } of steps) {
        if (kind !== 'add-voter') continue
        const match = status.progress.find(item => item.replica === promoted)?.match ?? 0
        // Since it was judged a little more may have been committed.
        const lagMax = 2 * this.#promoteLagEntries + lagSlack
        assert.ok(
          match > 0 && match + lagMax >= status.commit,
          `who is promoted has caught up: ${promoted} is at ${match} of ${status.commit}`,
        )
      }
    }
  }

  /** State machine safety: what is committed is the same everywhere, for ever. */
  #checkCommitted({ log }: Replica, seen: Seen, commit: number): void {
    const from = Math.max(seen.checkedTo, log.truncatedIndex) + 1
    for (let at = from; at <= commit; ) {
      const entries = log.entries(asIndex(at), asIndex(commit + 1), entriesBytes)
      for (const entry of entries) this.#checkEntry(entry)
      at += entries.length
    }
    seen.checkedTo = Math.max(seen.checkedTo, commit)
  }

  #checkEntry(entry: Entry): void {
    const known = this.#committed[entry.index - this.start - 1]
    if (known !== undefined) {
      const isSame =
        known === entry ||
        (known.term === entry.term &&
          known.kind === entry.kind &&
          (known.data === entry.data || Buffer.compare(known.data, entry.data) === 0))
      assert.ok(isSame, `state machine safety: two entries are committed at ${entry.index}`)
      return
    }
    assert.equal(entry.index, this.committed + 1, 'entries are committed in order, and none is lost')
    this.#committed.push(entry)
    this.model.apply(entry)
    if (entry.kind === 'configuration') this.#membersChanged(entry)
    if (entry.index > this.#promised.index) this.#checkPromise(entry, this.#promised.stamp)
  }

  #checkPromise(entry: Entry, stamp: number): void {
    if (entry.kind !== 'command') return
    assert.ok(
      this.model.stampAt(entry.index) > stamp,
      `an instant given away as a promise holds against all later commits: ${entry.index} is stamped at or below ${stamp}`,
    )
  }

  /** By what is committed: who is in, who was removed, and that nobody comes back whom an operator removed. */
  #membersChanged(entry: Entry): void {
    const { steps, context } = decodeConfigurationChange(entry.data)
    const { incoming, removed } = decodeChangeContext(context)
    for (const { kind, replica } of steps) if (kind === 'remove') this.#gone.add(replica)
    if (removed !== undefined) this.#removed.set(removed.storeId, removed.replicaId)
    if (incoming === undefined) return
    this.#members.set(incoming.replicaId, incoming.storeId)
    const former = this.#removed.get(incoming.storeId)
    if (former === undefined) return
    const known = this.model.atIndex(name(systemKeyspace, removedStoreKey(incoming.storeId)), entry.index)
    const record = known && decodeRemovedStore(Uint8Array.from(known.value ?? []))
    assert.ok(
      record?.readmitted === true && record.replicaId >= former,
      `a store that an operator removed stays out until an operator lets it in: ${incoming.storeId} at ${entry.index}`,
    )
    this.#removed.delete(incoming.storeId)
  }

  /** A node ended because the cluster says that its store was removed. */
  toldRemoved(storeId: string): void {
    const isMember = [...this.#members].some(([replica, store]) => store === storeId && !this.#gone.has(replica))
    assert.ok(!isMember, `only who was removed is told so: ${storeId} is a member`)
  }

  /** A node has dropped this replica. */
  left(replica: Replica): void {
    assert.ok(this.#gone.has(replica.replicaId), `only a replica that was removed goes: ${replica.replicaId}`)
  }

  /** What a leader holds to be committed was acknowledged as durable by a quorum, by both halves of a joint one. */
  #checkQuorum(replica: Replica, status: RaftStatus, before: Configuration): void {
    const { commit, term, configuration } = status
    const entryTerm = replica.log.term(asIndex(commit))
    assert.equal(entryTerm, term, 'an entry of an older term is never committed by counting')
    const leader = replica.replicaId
    const hasAcknowledged = (voter: ReplicaId): boolean => (this.#saidBy(voter).acknowledged.get(term) ?? 0) >= commit
    // Counted by the configuration before this event; applying what was committed may have brought the next one.
    const isQuorum = (isCounted: (voter: ReplicaId) => boolean): boolean =>
      [before, configuration].some(one => hasMajority(one, isCounted))
    if (isQuorum(voter => voter !== leader && hasAcknowledged(voter))) return
    assert.ok(
      isQuorum(voter => voter === leader || hasAcknowledged(voter)),
      `commit only with a quorum of the configuration: ${commit} in term ${term}`,
    )
    // Without it there is no quorum, whichever of the two was counted: it counted itself, and what it counted must be on its disk.
    const { acknowledged } = this.#saidBy(leader)
    acknowledged.set(term, Math.max(acknowledged.get(term) ?? 0, commit))
  }

  #checkHash(replica: Replica, applied: number): void {
    const { state } = replica
    const hash = state.stateHash
    const known = this.#hashes.get(applied)
    if (known === undefined) this.#hashes.set(applied, hash)
    else assert.equal(hash, known, `equal state hash at equal index: ${applied}`)
    if (!state.isBetweenEntries) return
    const whole = `${state.wholeHash()} of ${wholeState(state)}`
    const first = this.#states.get(applied)
    if (first === undefined) this.#states.set(applied, whole)
    else assert.equal(whole, first, `equal replicated state at equal index: ${applied}`)
  }

  #saidBy(replica: ReplicaId): Said {
    let said = this.#said.get(replica)
    if (said === undefined) {
      said = { term: 0, durableTerm: 0, votes: new Map(), acknowledged: new Map() }
      this.#said.set(replica, said)
    }
    return said
  }
}

/** It answered this leader, and within an election timeout or so. */
function isLive(status: RaftStatus, voter: ReplicaId): boolean {
  if (voter === status.id) return true
  const progress = status.progress.find(item => item.replica === voter)
  return progress?.recentActive === true && Number.isFinite(progress.silentTicks)
}

function hasMajority({ voters, votersOutgoing }: Configuration, isCounted: (voter: ReplicaId) => boolean): boolean {
  return [voters, votersOutgoing].every(half => half.length === 0 || half.filter(isCounted).length * 2 > half.length)
}

/** All that must be the same on every replica, told without the hash that they compare themselves. */
function wholeState(state: RangeState): string {
  const { lastStamp, threshold, keyCount, byteCount, generation, sessions } = state
  const table = [...sessions.encoded()].sort(([a], [b]) => (a < b ? -1 : 1))
  const bytes = [
    state.descriptor,
    state.configuration,
    ...table.flatMap(([id, value]) => [Buffer.from(id, 'latin1'), value]),
  ]
  let crc = 0
  for (const part of bytes) crc = crc32(part, crc)
  return `${[lastStamp, threshold, keyCount, byteCount, generation, table.length, JSON.stringify(sessions.limits)]} ${crc}`
}
