// Who is speaking to whom: the first thing said on every stream, and the judgement of it. Values only.
//
// A node's identity is its name, the store id born with its data directory, and the cluster's id. All that the speaker
// claims and all that it expects of us must fit; else nothing of its stream is handed over.

import type { ErrorCode } from '../base/errors.ts'
import { type ClusterId, type NodeId, type StoreId, asClusterId, asNodeId, asStoreId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import { type Lineage, incarnationOf, standingOf } from './incarnation.ts'
import type { PeerContext } from './peer-context.ts'

export const protocolMin = 2
export const protocolMax = 2

export interface Speaker {
  readonly node: NodeId
  readonly storeId: StoreId
  readonly clusterId: ClusterId | undefined
  readonly lineage: Lineage
}

export interface HelloRefusal {
  readonly kind: 'refused'
  readonly code: ErrorCode
  /** What is wrong and what to do about it. */
  readonly refusal: string
}

export type HelloVerdict = { readonly kind: 'welcome'; readonly speaker: Speaker } | HelloRefusal

/** What a stream is for. A `join` may come from a stranger: that is what it is for. */
export type HelloPurpose = 'member' | 'join'

export function idBytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

export function idHex(bytes: Uint8Array | null | undefined): string {
  return bytes === null || bytes === undefined ? '' : Buffer.from(bytes).toString('hex')
}

/** Our Hello to `to`; without it, to whoever answers. */
export function createHello(
  context: Pick<PeerContext, 'identity' | 'record'>,
  to?: { readonly node: NodeId; readonly storeId: StoreId },
): quorate.v1.IHello {
  const identity = context.identity()
  return {
    protocolMin,
    protocolMax,
    clusterId: idBytes(identity.clusterId ?? ''),
    node: identity.node,
    storeId: idBytes(identity.storeId),
    toNode: to?.node ?? '',
    toStoreId: idBytes(to?.storeId ?? ''),
    record: context.record(),
    lineage: [...identity.lineage],
  }
}

export function judgeHello(
  hello: quorate.v1.IHello,
  context: Pick<PeerContext, 'identity' | 'knownStore' | 'knownIncarnation'>,
  purpose: HelloPurpose = 'member',
): HelloVerdict {
  const self = context.identity()
  const theirMin = hello.protocolMin ?? 0
  const theirMax = hello.protocolMax ?? 0
  if (theirMin > protocolMax || theirMax < protocolMin) {
    return refused(
      'invalid-argument',
      `${self.node} speaks peer protocol ${protocolMin} to ${protocolMax}, the caller ${theirMin} to ${theirMax}: upgrade the older of the two, one version at a time`,
    )
  }
  const node = hello.node ?? ''
  const storeHex = idHex(hello.storeId)
  const clusterHex = idHex(hello.clusterId)
  if (!/^[a-z0-9-]{1,63}$/.test(node)) {
    return refused('invalid-argument', `a Hello to ${self.node} names no valid node: names are 1 to 63 of [a-z0-9-]`)
  }
  if (storeHex.length !== 32 || (clusterHex.length !== 0 && clusterHex.length !== 32)) {
    return refused('invalid-argument', `the Hello of ${node} carries a store or cluster id that is not 16 bytes long`)
  }
  const lineage = hello.lineage ?? []
  if (lineage.length === 0) {
    return refused('invalid-argument', `the Hello of ${node} names no incarnation of its store`)
  }
  const { record } = hello
  if (record && (record.id !== node || idHex(record.storeId) !== storeHex)) {
    return refused(
      'invalid-argument',
      `the Hello of ${node} (store ${storeHex}) carries the record of ${record.id} (store ${idHex(record.storeId)}): a node introduces itself, and nobody else`,
    )
  }
  const storeId = asStoreId(storeHex)
  const toNode = hello.toNode ?? ''
  const toStore = idHex(hello.toStoreId)
  if (toNode !== '' && toNode !== self.node) {
    return refused(
      'wrong-cluster',
      `${node} means to reach ${toNode} here, but this is ${self.node}: check the peer address of ${toNode} that ${node} was given`,
    )
  }
  if (toStore !== '' && toStore !== self.storeId) {
    return refused(
      'wrong-cluster',
      `${node} means to reach store ${toStore} of ${self.node}, but the data directory here is store ${self.storeId}: ${self.node} was wiped or moved, and joins anew before it is spoken to`,
    )
  }
  if (node === self.node && storeId !== self.storeId) {
    return refused(
      'wrong-cluster',
      `${self.node} (store ${self.storeId}) was called by another node of the same name (store ${storeId}): give every node a name of its own`,
    )
  }
  const clusterId = clusterHex === '' ? undefined : asClusterId(clusterHex)
  if (clusterId !== undefined && self.clusterId !== undefined && clusterId !== self.clusterId) {
    return refused(
      'wrong-cluster',
      `${node} belongs to cluster ${clusterId}, ${self.node} to cluster ${self.clusterId}: check the addresses, or start ${node} with an empty data directory to join`,
    )
  }
  const speaker: Speaker = { node: asNodeId(node), storeId, clusterId, lineage }
  if (purpose === 'join') return { kind: 'welcome', speaker }
  if (clusterId === undefined) {
    return refused(
      'not-initialised',
      `${node} is in no cluster yet: it has to join before it may speak to ${self.node}`,
    )
  }
  if (self.clusterId === undefined && (toNode !== self.node || toStore !== self.storeId)) {
    // We asked to join, so a leader may speak to us first; it proves that it means us by naming our store.
    return refused('not-initialised', `${self.node} is in no cluster yet, and ${node} did not name its store`)
  }
  const registered = context.knownStore(speaker.node)
  // Whoever names our store was told of it by the cluster: it may have joined anew while we slept, and be the only one that
  // can tell us. That it does not speak for its former self is seen to by replica ids, which belong to one store each.
  if (registered !== undefined && registered !== storeId && toStore !== self.storeId) {
    return refused(
      'wrong-cluster',
      `${node} is registered with store ${registered}, but speaks as store ${storeId}: a wiped node joins anew and never speaks for its former self; if two nodes are named ${node}, rename one`,
    )
  }
  const recorded = context.knownIncarnation?.(speaker.node, storeId)
  if (recorded !== undefined && standingOf(lineage, recorded) === 'superseded')
    return refused('superseded', supersededMessage(speaker, recorded))
  return { kind: 'welcome', speaker }
}

export function supersededMessage({ node, storeId, lineage }: Omit<Speaker, 'clusterId'>, recorded: number): string {
  return (
    `${node} (store ${storeId}) speaks as incarnation ${incarnationOf(lineage)}, and the cluster has recorded ` +
    `${recorded} since: a copy of its data directory was started elsewhere and has taken its place. Run that copy and ` +
    `leave this one stopped; to use this machine as well, give it an empty data directory and a name of its own`
  )
}

function refused(code: ErrorCode, refusal: string): HelloRefusal {
  return { kind: 'refused', code, refusal }
}
