// Leadership of a range goes to another voter: to one that was named, or to the best of those that answer.

import type { NodeId } from '../base/ids.ts'
import type { AdminAnswer } from './local-store.ts'
import type { Replica } from './replica.ts'
import type { Store } from './store.ts'

/** Resolves once the range has another leader, or with the reason why it has not. */
export async function handOver(store: Store, replica: Replica, node: NodeId | undefined): Promise<AdminAnswer> {
  if (!replica.isLeader) return { kind: 'not-leader', leader: replica.leaderNode }
  const status = replica.status()
  const target =
    node === undefined
      ? status.progress
          .filter(item => !item.learner && !item.needsState && item.recentActive && item.replica !== replica.replicaId)
          .sort((a, b) => b.match - a.match)[0]?.replica
      : replica.descriptor.replicas.find(item => item.node === node)?.replicaId
  if (target === undefined)
    return {
      kind: 'not-found',
      message: node === undefined ? 'no other voter answers' : `no replica on node ${node}`,
    }
  if (target === replica.replicaId) return { kind: 'done' }
  const refused = replica.transferLeadership(target)
  if (refused !== undefined) return { kind: 'conflict', message: refused }
  const deadlineMs = store.clock.monotonicMs() + store.electionTimeoutMs * 2
  const moved = await store.waitTick(() => !replica.isLeader && replica.leaderNode !== undefined, deadlineMs)
  return moved
    ? { kind: 'done' }
    : { kind: 'conflict', message: 'the target did not take over within an election timeout; leadership stays' }
}
