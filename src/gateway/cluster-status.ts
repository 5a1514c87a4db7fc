// The status of the cluster as one node can tell it: its own ranges, and from every peer that answers in time its
// replica's own applied index and hash. What did not answer is said to be unreachable, never guessed.

import { asNodeId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import type { LocalStore } from '../range/local-store.ts'
import type { Clock } from '../time/clock.ts'
import type { PeerClient } from './cluster-view.ts'

const peerAnswerMs = 500

interface ClusterStatusOptions {
  readonly store: LocalStore
  readonly peers: PeerClient
  readonly clock: Clock
}

/** `isLocal`: asks no peer. */
export async function collectRangeStatus(
  options: ClusterStatusOptions,
  isLocal: boolean,
): Promise<quorate.v1.IRangeStatus[]> {
  const { store } = options
  const own = store.status()
  if (isLocal) return own.map(range => mergeRange(range, new Map([[store.node, own]])))
  const nodes = new Set<string>()
  for (const record of store.nodes()) if (record.id) nodes.add(record.id)
  for (const range of own) for (const replica of range.replicas ?? []) if (replica.node) nodes.add(replica.node)
  nodes.delete(store.node)
  const answers = new Map<string, readonly quorate.v1.IRangeStatus[]>([[store.node, own]])
  await Promise.all(
    [...nodes].map(async node => {
      const ranges = await askPeer(options, node)
      if (ranges !== undefined) answers.set(node, ranges)
    }),
  )
  return freshest(answers).map(range => mergeRange(range, answers))
}

async function askPeer(
  options: ClusterStatusOptions,
  node: string,
): Promise<readonly quorate.v1.IRangeStatus[] | undefined> {
  const { peers, clock } = options
  const answer = peers.peerStatus(asNodeId(node), clock.monotonicMs() + peerAnswerMs).then(
    response => response.ranges ?? [],
    () => undefined,
  )
  // A status is asked for when something is wrong: it must come even if a peer's client breaks its deadline.
  return new Promise(resolve => {
    const timer = clock.setTimer(peerAnswerMs + 100, () => resolve(undefined))
    void answer.then(ranges => {
      timer.cancel()
      resolve(ranges)
    })
  })
}

/** Of each range the view of its leader, else that of the highest term and commit: a cut-off node's is out of date. */
function freshest(answers: ReadonlyMap<string, readonly quorate.v1.IRangeStatus[]>): quorate.v1.IRangeStatus[] {
  const best = new Map<number, { readonly range: quorate.v1.IRangeStatus; readonly isLeader: boolean }>()
  for (const [node, ranges] of answers) {
    for (const range of ranges) {
      const id = range.id ?? 0
      const isLeader = range.leader === node
      const held = best.get(id)
      if (held === undefined || isBetter(range, isLeader, held.range, held.isLeader)) best.set(id, { range, isLeader })
    }
  }
  return [...best.entries()].sort(([a], [b]) => a - b).map(([, { range }]) => range)
}

function isBetter(a: quorate.v1.IRangeStatus, aLeads: boolean, b: quorate.v1.IRangeStatus, bLeads: boolean): boolean {
  if ((a.term ?? 0) !== (b.term ?? 0)) return (a.term ?? 0) > (b.term ?? 0)
  if (aLeads !== bLeads) return aLeads
  return (a.commit ?? 0) > (b.commit ?? 0)
}

function mergeRange(
  range: quorate.v1.IRangeStatus,
  answers: ReadonlyMap<string, readonly quorate.v1.IRangeStatus[]>,
): quorate.v1.IRangeStatus {
  const replicas = (range.replicas ?? []).map((replica): quorate.v1.IReplicaStatus => {
    const own = answers.get(replica.node ?? '')?.find(candidate => candidate.id === range.id)
    if (own === undefined) return { ...replica, reachable: false }
    const { applied = 0, hash = '', term = 0, trouble = '', compared = 0, comparison = '' } = own
    return { ...replica, reachable: true, applied, hash, term, trouble, compared, comparison }
  })
  return { ...range, replicas }
}

/** The answer to a membership call: the replicas as this node now sees them. */
export function replicasOf(store: LocalStore): quorate.v1.IReplicaStatus[] {
  return [...(store.status().find(range => range.id === 1)?.replicas ?? [])]
}
