// A range's descriptor: its span, its replicas and its epoch (DESIGN.md 11). The range's own log is the only authority
// on it; what is elsewhere is a hint.

import {
  type Index,
  type NodeId,
  type RangeId,
  type ReplicaId,
  type StoreId,
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
} from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { Configuration } from '../raft/types.ts'
import { type RemovedStore, removedStoreFromMessage, removedStoreToMessage } from './removed-stores.ts'

const { RangeDescriptor: RangeDescriptorMessage, RaftConfiguration } = quorate.v1

export interface ReplicaDescriptor {
  readonly replicaId: ReplicaId
  readonly node: NodeId
  readonly storeId: StoreId
}

export interface RangeDescriptor {
  readonly rangeId: RangeId
  readonly start: Uint8Array
  /** Exclusive; empty: the end of the keyspace. */
  readonly end: Uint8Array
  /** Bumped by split and merge. */
  readonly generation: number
  /** Bumped by replica changes. */
  readonly configuration: number
  readonly replicas: readonly ReplicaDescriptor[]
  /** Ids are never reused. */
  readonly nextReplicaId: ReplicaId
  /** The last store that an operator removed, until the same node is back; written to the registry before the next change. */
  readonly removed?: RemovedStore | undefined
}

/** A replica of the range that was removed: one that is not there and comes later has a higher id (DESIGN.md 5). */
export function isRemovedReplica(descriptor: RangeDescriptor, replica: ReplicaId): boolean {
  return replica < descriptor.nextReplicaId && !descriptor.replicas.some(item => item.replicaId === replica)
}

export function encodeDescriptor(descriptor: RangeDescriptor): Uint8Array {
  return RangeDescriptorMessage.encode({
    ...descriptor,
    replicas: descriptor.replicas.map(replicaToMessage),
    removed: descriptor.removed === undefined ? null : removedStoreToMessage(descriptor.removed),
  }).finish()
}

export function decodeDescriptor(bytes: Uint8Array): RangeDescriptor {
  const message = RangeDescriptorMessage.decode(bytes)
  return {
    rangeId: asRangeId(message.rangeId),
    start: Uint8Array.from(message.start),
    end: Uint8Array.from(message.end),
    generation: message.generation,
    configuration: message.configuration,
    replicas: message.replicas.map(decodeReplica),
    nextReplicaId: asReplicaId(message.nextReplicaId),
    removed: message.removed ? removedStoreFromMessage(message.removed) : undefined,
  }
}

/** What a configuration change carries of the replica that comes, or of the store that an operator removes with it. */
export interface ChangeContext {
  readonly incoming?: ReplicaDescriptor | undefined
  /** Its index is not known yet. */
  readonly removed?: RemovedStore | undefined
}

export function encodeChangeContext({ incoming, removed }: ChangeContext): Uint8Array {
  return quorate.v1.ChangeContext.encode({
    incoming: incoming === undefined ? null : replicaToMessage(incoming),
    removed: removed === undefined ? null : removedStoreToMessage(removed),
  }).finish()
}

export function decodeChangeContext(bytes: Uint8Array): ChangeContext {
  const { incoming, removed } = quorate.v1.ChangeContext.decode(bytes)
  return {
    incoming: incoming ? decodeReplica(incoming) : undefined,
    removed: removed ? removedStoreFromMessage(removed) : undefined,
  }
}

function replicaToMessage(replica: ReplicaDescriptor): quorate.v1.IReplicaDescriptor {
  return { ...replica, storeId: Buffer.from(replica.storeId, 'hex') }
}

function decodeReplica(message: quorate.v1.IReplicaDescriptor): ReplicaDescriptor {
  return {
    replicaId: asReplicaId(message.replicaId ?? 0),
    node: asNodeId(message.node ?? ''),
    storeId: asStoreId(Buffer.from(message.storeId ?? []).toString('hex')),
  }
}

/** The descriptor after the entry at `index` brought a configuration into force, with the context that it carried. */
export function withConfiguration(
  descriptor: RangeDescriptor,
  configuration: Configuration,
  context: Uint8Array,
  index: Index,
): RangeDescriptor {
  const members = new Set([
    ...configuration.voters,
    ...configuration.votersOutgoing,
    ...configuration.learners,
    ...configuration.learnersNext,
  ])
  const known = new Map(descriptor.replicas.map(replica => [replica.replicaId, replica]))
  let nextReplicaId = descriptor.nextReplicaId
  const { incoming, removed } = decodeChangeContext(context)
  if (incoming !== undefined) {
    known.set(incoming.replicaId, incoming)
    if (incoming.replicaId >= nextReplicaId) nextReplicaId = asReplicaId(incoming.replicaId + 1)
  }
  const former = descriptor.removed?.node === incoming?.node ? undefined : descriptor.removed
  return {
    ...descriptor,
    configuration: descriptor.configuration + 1,
    replicas: [...known.values()]
      .filter(replica => members.has(replica.replicaId))
      .sort((a, b) => a.replicaId - b.replicaId),
    nextReplicaId,
    removed: removed === undefined ? former : { ...removed, index },
  }
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return RaftConfiguration.encode({
    voters: [...configuration.voters],
    votersOutgoing: [...configuration.votersOutgoing],
    learners: [...configuration.learners],
    learnersNext: [...configuration.learnersNext],
    autoLeave: configuration.autoLeave,
  }).finish()
}

export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const message = RaftConfiguration.decode(bytes)
  return {
    voters: message.voters.map(asReplicaId),
    votersOutgoing: message.votersOutgoing.map(asReplicaId),
    learners: message.learners.map(asReplicaId),
    learnersNext: message.learnersNext.map(asReplicaId),
    autoLeave: message.autoLeave,
  }
}
