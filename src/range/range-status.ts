// What a replica says of its range, for `status`: of other replicas only what the leader's progress tells.

import { quorate } from '../proto/quorate.js'
import type { Configuration, RaftStatus } from '../raft/types.ts'
import type { ReplicaId } from '../base/ids.ts'
import { removedStoreToMessage } from './removed-stores.ts'
import type { Replica } from './replica.ts'
import type { StateComparison } from './state-comparison.ts'

const { ReplicaRole } = quorate.v1

export function rangeStatus(replica: Replica, comparison: StateComparison): quorate.v1.IRangeStatus {
  const { descriptor, state, stopped } = replica
  const health = {
    trouble: stopped !== undefined && 'message' in stopped ? stopped.message : '',
    compared: comparison.comparedIndex,
    comparison: replica.isQuarantined ? 'could not compare: it is quarantined' : comparison.describe(),
  }
  const status = replica.status()
  return {
    id: replica.rangeId,
    start: descriptor.start,
    end: descriptor.end,
    generation: descriptor.generation,
    leader: replica.leaderNode ?? '',
    term: status.term,
    commit: status.commit,
    firstIndex: replica.log.truncatedIndex + 1,
    lastIndex: status.lastIndex,
    applied: state.appliedIndex,
    hash: state.stateHash,
    closed: state.closed,
    keyCount: state.keyCount,
    systemKeyCount: state.systemKeyCount,
    byteCount: state.byteCount,
    ...health,
    removal: descriptor.removed === undefined ? null : { store: removedStoreToMessage(descriptor.removed) },
    replicas: descriptor.replicas.map(member => ({
      node: member.node,
      replicaId: member.replicaId,
      role: roleOf(member.replicaId, status.configuration),
      match: matchOf(member.replicaId, status),
      term: status.term,
      ...(member.replicaId === replica.replicaId
        ? { reachable: true, applied: state.appliedIndex, hash: state.stateHash, ...health }
        : { reachable: false }),
    })),
  }
}

function roleOf(replica: ReplicaId, configuration: Configuration): quorate.v1.ReplicaRole {
  const isIncoming = configuration.voters.includes(replica)
  const isOutgoing = configuration.votersOutgoing.includes(replica)
  if (isIncoming)
    return isOutgoing || configuration.votersOutgoing.length === 0
      ? ReplicaRole.REPLICA_ROLE_VOTER
      : ReplicaRole.REPLICA_ROLE_VOTER_INCOMING
  if (isOutgoing) return ReplicaRole.REPLICA_ROLE_VOTER_OUTGOING
  return ReplicaRole.REPLICA_ROLE_LEARNER
}

function matchOf(replica: ReplicaId, status: RaftStatus): number {
  return status.progress.find(item => item.replica === replica)?.match ?? 0
}
