// A follower's half of log replication (paper 5.3) and of snapshots (paper 7). Every answer to an append is a promise that
// the entries are on disk, so it goes behind the flush.

import { asIndex, asTerm, type Index, type ReplicaId } from '../base/ids.ts'
import { type CoreState, sendOnceTermIsDurable } from './core-state.ts'
import type { AppendEntries, Heartbeat, SnapshotMeta } from './types.ts'

export function handleAppendEntries(state: CoreState, message: AppendEntries): void {
  const { log } = state
  const { from, previousIndex, previousTerm, entries } = message
  // A sender that got its own log wrong must not touch ours: silence is safe, and harms nobody but its range.
  if (!isWellFormed(message)) return
  // The log is about to begin anew; what follows it would have to wait for the reset. The leader sends again.
  if (log.isSnapshotPending) return
  if (previousIndex < log.commit) {
    // Old, or below what was truncated here: what is committed matches, so there is nothing to compare or to truncate.
    accept(state, from, log.commit)
    return
  }
  if (!log.matches(previousIndex, previousTerm)) {
    reject(state, message)
    return
  }
  const conflict = entries.findIndex(entry => !log.matches(entry.index, entry.term))
  if (conflict >= 0 && isHeld(state) && entries.some(entry => entry.kind === 'command')) {
    // All the same it is heard, tells how far it matches, and votes: the leader sees a slow follower, not a dead one. What
    // carries no data is taken: by the first entry of a term reads go on, and by a change of members an operator helps.
    log.commitTo(asIndex(Math.min(message.commit, previousIndex)))
    accept(state, from, previousIndex, true)
    return
  }
  if (conflict >= 0) log.append(conflict === 0 ? entries : entries.slice(conflict))
  const lastNew = asIndex(previousIndex + entries.length)
  // Beyond lastNew our log may hold another leader's leavings: min(leaderCommit, index of last new entry).
  log.commitTo(asIndex(Math.min(message.commit, lastNew)))
  accept(state, from, lastNew)
}

/** It takes no entries: it has more to apply than it may fall behind by, or the shell has no room. */
function isHeld({ log, options, isIntakeHeld }: CoreState): boolean {
  return isIntakeHeld || log.unappliedBytes > options.unappliedBytesMax
}

function isWellFormed({ previousIndex, previousTerm, term, entries }: AppendEntries): boolean {
  let index: number = previousIndex
  let lastTerm: number = previousTerm
  for (const entry of entries) {
    if (entry.index !== index + 1 || entry.term < lastTerm) return false
    index = entry.index
    lastTerm = entry.term
  }
  return lastTerm <= term
}

function accept(state: CoreState, to: ReplicaId, index: Index, held = false): void {
  state.outbox.sendAfterFlush({
    kind: 'append-entries-response',
    from: state.id,
    to,
    term: state.term,
    index,
    rejected: false,
    hintIndex: asIndex(0),
    hintTerm: asTerm(0),
    held,
  })
}

/** The hint skips, in one round trip, every entry of ours whose term the leader's log does not have at or before there. */
function reject(state: CoreState, { from, previousIndex, previousTerm }: AppendEntries): void {
  const { log } = state
  const hintIndex = log.lastIndexOfTermAtMost(asIndex(Math.min(previousIndex, log.lastIndex)), previousTerm)
  state.outbox.sendAfterFlush({
    kind: 'append-entries-response',
    from: state.id,
    to: from,
    term: state.term,
    index: previousIndex,
    rejected: true,
    hintIndex,
    hintTerm: log.term(hintIndex) ?? asTerm(0),
    held: isHeld(state),
  })
}

/** Answers the leader of an older term: our term makes it step down, and a stuck replica with a higher term rejoins. */
export function refuseOldLeader(state: CoreState, message: AppendEntries | Heartbeat): void {
  state.outbox.sendAfterFlush({
    kind: 'append-entries-response',
    from: state.id,
    to: message.from,
    term: state.term,
    index: asIndex(0),
    rejected: true,
    hintIndex: asIndex(0),
    hintTerm: asTerm(0),
  })
}

export function handleHeartbeat(state: CoreState, message: Heartbeat): void {
  state.log.commitTo(message.commit)
  sendOnceTermIsDurable(state, {
    kind: 'heartbeat-response',
    from: state.id,
    to: message.from,
    term: state.term,
    context: message.context,
    held: isHeld(state),
    needsState: state.isStateWanted,
  })
}

/**
 * Whether a state at `snapshot` and this log make a whole: the log goes on from it, or it lies past everything that is
 * known to be committed here. Else entries between the two would be missing, and a newer snapshot must come.
 */
export function mayRebuild({ log }: CoreState, { index, term }: SnapshotMeta): boolean {
  if (index < log.truncatedIndex) return false
  return log.matches(index, term) || index > log.commit
}

/** True: the log and the state begin anew after `snapshot`. False: what it holds is here already. Either way, tell the leader. */
export function maybeRestore(state: CoreState, from: ReplicaId, snapshot: SnapshotMeta): boolean {
  const { log } = state
  if (snapshot.index <= log.commit) {
    accept(state, from, log.commit)
    return false
  }
  if (log.matches(snapshot.index, snapshot.term)) {
    // The entries are all here; they only were not known to be committed.
    log.commitTo(snapshot.index)
    accept(state, from, snapshot.index)
    return false
  }
  // An entry at snapshot.index, if there is one, conflicts: neither it nor what follows may stay (hashicorp/raft#697).
  log.restore(snapshot)
  accept(state, from, snapshot.index)
  return true
}
