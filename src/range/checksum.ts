// `checksum` on request (DESIGN.md 7): the leader puts an entry into the log at which every replica reads all its rows, and says
// of each replica what came of it. Whoever differs quarantines itself, by the same rule as ever.

import type { Index, ReplicaId } from '../base/ids.ts'
import { type ChecksumAnswer, type ReplicaVerdict, transferQueue } from './local-store.ts'
import type { Replica } from './replica.ts'
import { type StateVerdict, judgeStates } from './state-verdict.ts'
import type { Store } from './store.ts'

/** Answers once every replica that may answer has, or at the deadline. `begun`: the one that was begun before. */
export async function takeChecksum(
  store: Store,
  replica: Replica,
  begun: Index | undefined,
  deadlineMs: number,
): Promise<ChecksumAnswer> {
  if (!replica.isLeader) return replica.stopped ?? { kind: 'not-leader', leader: replica.leaderNode }
  const { checksums, digesting } = store.comparisons.of(replica)
  const index = begun ?? digesting ?? (await begin(replica, deadlineMs))
  if (typeof index === 'object') return index
  const quarantined = quarantinedOf(replica)
  const { voters, votersOutgoing, learners } = replica.status().configuration
  const members = [...new Set([...voters, ...votersOutgoing, ...learners])]
  const answers = (): ReadonlyMap<ReplicaId, string> => checksums.answersAt(index)
  const mayAnswer = (member: ReplicaId): boolean => !quarantined.has(member) && !isSilent(replica, member)
  const isOver = (): boolean => members.every(member => answers().has(member) || !mayAnswer(member))
  const isComplete = await store.waitTick(isOver, deadlineMs)
  const verdict = judgeStates(replica.status().configuration, answers())
  const replicas = members
    .map(member => verdictOf(replica, member, verdict, answers(), quarantined))
    .sort((a, b) => (a.node < b.node ? -1 : 1))
  return { kind: 'done', index, isComplete, replicas }
}

/** The index of the entry at which all replicas take their checksums; else why there is none. */
async function begin(replica: Replica, deadlineMs: number): Promise<Index | ChecksumAnswer> {
  const proposed = replica.proposeChecksum()
  if (proposed.kind === 'not-leader') return { kind: 'not-leader', leader: replica.leaderNode }
  if (proposed.kind !== 'accepted')
    return {
      kind: 'overloaded',
      queue: proposed.kind === 'transferring' ? transferQueue : 'proposals',
      retryAfterMs: 200,
    }
  const { index, term } = proposed
  const applied = await replica.waitApplied(() => replica.state.appliedIndex >= index, deadlineMs)
  if (applied && replica.log.term(index) === term) return index
  return { kind: 'unavailable', message: 'the leader was lost before its checksum began; try again' }
}

function isSilent(replica: Replica, member: ReplicaId): boolean {
  return replica.status().progress.some(item => item.replica === member && !item.recentActive)
}

function quarantinedOf(replica: Replica): ReadonlySet<ReplicaId> {
  return new Set(replica.status().progress.flatMap(item => (item.needsState ? item.replica : [])))
}

function verdictOf(
  replica: Replica,
  member: ReplicaId,
  verdict: StateVerdict,
  answers: ReadonlyMap<ReplicaId, string>,
  quarantined: ReadonlySet<ReplicaId>,
): ReplicaVerdict {
  const node = replica.nodeOf(member) ?? ''
  const notCompared = (why: string): ReplicaVerdict => ({
    node,
    replica: member,
    isEqual: false,
    verdict: `could not compare: ${why}`,
  })
  const answer = answers.get(member)
  if (answer === undefined) {
    if (quarantined.has(member)) return notCompared('it is quarantined, and is being rebuilt')
    return notCompared(isSilent(replica, member) ? 'its node does not answer' : 'no checksum has come from it')
  }
  switch (verdict.kind) {
    case 'agreed': {
      const isEqual = answer === verdict.hash
      return { node, replica: member, isEqual, verdict: isEqual ? 'equal' : 'differs: quarantined, is being rebuilt' }
    }
    case 'open':
      return notCompared('too few voters have answered to tell who is right')
    case 'none-agrees':
      return notCompared('no majority of the voters agrees, so nobody can say who is right')
    default:
      return verdict satisfies never
  }
}
