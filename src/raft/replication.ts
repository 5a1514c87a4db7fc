// What a leader sends to one follower. An append is built whole, or not at all: when the log cannot be read, the throw
// leaves the follower's progress as it was, and nothing malformed is ever sent (openraft#1795).

import { assert } from '../base/assert.ts'
import { asIndex, asTerm, type Index, type ReplicaId } from '../base/ids.ts'
import type { CoreState } from './core-state.ts'
import type { Progress } from './progress.ts'
import type { Entry } from './types.ts'

const noEntries: readonly Entry[] = []
/** Appends under way, past which none goes for the commit index alone: on a thin link they would take the place of entries. */
const newsInflightsMax = 16

/** Sends as much as the follower's state and window allow; possibly nothing, and the commit index alone only if it must know of `commitDue`. */
export function sendAppend(state: CoreState, to: ReplicaId, progress: Progress, commitDue: Index): void {
  if (progress.held) return
  switch (progress.state) {
    case 'snapshot':
      return
    case 'probe':
      if (progress.probeSent) return
      // The entries were sent once: they may be late rather than lost, and a thin link must not fill with copies of them.
      pushAppend(state, to, progress, !progress.nudge)
      progress.probeSent = true
      progress.nudge = false
      return
    default:
      pipelineAppends(state, to, progress, commitDue)
  }
}

function pipelineAppends(state: CoreState, to: ReplicaId, progress: Progress, commitDue: Index): void {
  const { log } = state
  let hasSent = false
  while (progress.next <= log.lastIndex && !progress.inflights.isFull) {
    const entries = pushAppend(state, to, progress, true)
    const last = entries.at(-1)
    if (last === undefined) return // a snapshot is asked for instead
    progress.sentTo(last.index, inflightBytes(entries))
    hasSent = true
  }
  // Whoever has so much to take yet learns of the commit by that, or by a heartbeat.
  const isNews = progress.commitSent < commitDue && progress.inflights.count < newsInflightsMax
  if (!hasSent && (progress.nudge || isNews)) pushAppend(state, to, progress, false)
  progress.nudge = false
}

/** One append after next - 1, or, where the log no longer reaches back that far, a request for a snapshot. */
function pushAppend(state: CoreState, to: ReplicaId, progress: Progress, withEntries: boolean): readonly Entry[] {
  const { log, options, id, term } = state
  const previousIndex = asIndex(progress.next - 1)
  const previousTerm = log.term(previousIndex)
  if (previousTerm === undefined) {
    requestSnapshot(state, to, progress)
    return noEntries
  }
  const entries = withEntries ? log.entries(progress.next, options.appendBytesMax) : noEntries
  assert(
    entries.length === 0 || entries[0]?.index === progress.next,
    'the first entry of an append follows previousIndex',
  )
  const { commit } = log
  state.outbox.send({
    kind: 'append-entries',
    from: id,
    to,
    term,
    previousIndex,
    previousTerm,
    commit,
    entries,
  })
  progress.commitSent = commit
  return entries
}

/** The shell fills in what it streams; the snapshot must reach at least to where the log begins. */
function requestSnapshot(state: CoreState, to: ReplicaId, progress: Progress): void {
  // A replica that does not answer would only pin the stream's resources. It is tried again when it does.
  if (!progress.recentActive) return
  progress.becomeSnapshot(sendSnapshot(state, to))
}

/** For a replica that has lost its state and has its log: appends to it go on meanwhile, or it could not help to commit. */
export function maybeSendState(state: CoreState, to: ReplicaId, progress: Progress): void {
  if (progress.maybeBeginRebuild()) sendSnapshot(state, to)
}

function sendSnapshot(state: CoreState, to: ReplicaId): Index {
  const { log, id, term, configuration } = state
  const index: Index = log.truncatedIndex
  const snapshot = { index, term: log.term(index) ?? asTerm(0), configuration }
  state.outbox.send({ kind: 'install-snapshot', from: id, to, term, snapshot })
  return index
}

/** Its commit is never beyond what the follower is known to have: a delayed one may meet a log that has diverged. */
export function sendHeartbeat(state: CoreState, to: ReplicaId, progress: Progress, context: number): void {
  const { log, id, term } = state
  const commit = asIndex(Math.min(progress.match, log.commit))
  state.outbox.send({ kind: 'heartbeat', from: id, to, term, commit, context })
}

export function sendTimeoutNow(state: CoreState, to: ReplicaId): void {
  state.outbox.send({ kind: 'timeout-now', from: state.id, to, term: state.term })
}

/** What an entry costs on its way beside its data: a window of small ones must fit into the link's queue as well. */
const entryOverheadBytes = 32

function inflightBytes(entries: readonly Entry[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entry.data.length + entryOverheadBytes
  return bytes
}
