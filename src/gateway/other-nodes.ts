// Whom else a gateway may ask when the replica on its own node does not serve: it is quarantined, or there is none.

import { type NodeId, type RangeId, asNodeId } from '../base/ids.ts'
import type { LocalStore } from '../range/local-store.ts'
import type { ClusterView } from './cluster-view.ts'

/** The leader first, where it is known, then whoever is live; none of `asked`. */
export function otherNodes(
  store: LocalStore,
  view: ClusterView,
  rangeId: RangeId,
  asked: ReadonlySet<NodeId>,
): readonly NodeId[] {
  const leader = store.leaderOf(rangeId)
  const live = view.nodes().flatMap(node => (node.live && node.record?.id ? asNodeId(node.record.id) : []))
  const nodes = new Set(leader === undefined ? live : [leader, ...live])
  return [...nodes].filter(node => node !== store.node && !asked.has(node))
}
