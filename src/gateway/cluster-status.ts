// The status of the cluster as one node can tell it: its own ranges, and from every peer that answers in time its
// replica's own applied index and hash. What did not answer is said to be unreachable, never guessed.

import { type NodeId, asNodeId } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { LocalStore } from '../range/local-store.ts'
import type { Clock } from '../time/clock.ts'
import type { PeerClient } from './cluster-view.ts'

const peerAnswerMs = 500
const removalPollMs = 50

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
  const removal = range.removal ? spreadOf(range.removal, replicas) : null
  return { ...range, replicas, removal }
}

const { ReplicaRole } = quorate.v1

/** As long as no majority has applied the configuration without it, an election may still count on the one that was removed. */
function spreadOf({ store }: quorate.v1.IRemoval, replicas: readonly quorate.v1.IReplicaStatus[]): quorate.v1.IRemoval {
  const voters = replicas.filter(
    ({ role }) => role === ReplicaRole.REPLICA_ROLE_VOTER || role === ReplicaRole.REPLICA_ROLE_VOTER_INCOMING,
  )
  const appliedBy = voters.filter(({ reachable, applied }) => reachable && (applied ?? 0) >= (store?.index ?? 0)).length
  return { store: store ?? null, appliedBy, voters: voters.length, mayBeTakenAway: appliedBy * 2 > voters.length }
}

/** Of a node that was just removed: once a majority has applied that, or at the deadline, with how far it is. */
export async function removalOf(
  options: ClusterStatusOptions,
  node: NodeId,
  deadlineMs: number,
): Promise<quorate.v1.IRemoval | undefined> {
  const { clock } = options
  for (;;) {
    const ranges = await collectRangeStatus(options, false)
    const removal = ranges.find(range => range.id === 1)?.removal
    if (!removal || removal.store?.node !== node) return undefined
    if (removal.mayBeTakenAway || clock.monotonicMs() >= deadlineMs) return removal
    await new Promise<void>(resolve => clock.setTimer(removalPollMs, resolve))
  }
}

/** The answer to a membership call: the replicas as this node now sees them. */
export function replicasOf(store: LocalStore): quorate.v1.IReplicaStatus[] {
  return [...(store.status().find(range => range.id === 1)?.replicas ?? [])]
}
