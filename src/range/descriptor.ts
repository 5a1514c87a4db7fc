// A range's descriptor: its span, its replicas and its epoch (DESIGN.md 11). The range's own log is the only authority
// on it; what is elsewhere is a hint.

import {
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
}

export function encodeDescriptor(descriptor: RangeDescriptor): Uint8Array {
  return RangeDescriptorMessage.encode({
    ...descriptor,
    replicas: descriptor.replicas.map(replica => ({ ...replica, storeId: Buffer.from(replica.storeId, 'hex') })),
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
  }
}

/** What a configuration change carries of the replica that comes. */
export function encodeReplica(replica: ReplicaDescriptor): Uint8Array {
  return quorate.v1.ReplicaDescriptor.encode({ ...replica, storeId: Buffer.from(replica.storeId, 'hex') }).finish()
}

export function decodeReplicaBytes(bytes: Uint8Array): ReplicaDescriptor {
  return decodeReplica(quorate.v1.ReplicaDescriptor.decode(bytes))
}

function decodeReplica(message: quorate.v1.IReplicaDescriptor): ReplicaDescriptor {
  return {
    replicaId: asReplicaId(message.replicaId ?? 0),
    node: asNodeId(message.node ?? ''),
    storeId: asStoreId(Buffer.from(message.storeId ?? []).toString('hex')),
  }
}

/** The descriptor after a configuration came into force; `incoming` is the change's context, empty when none comes. */
export function withConfiguration(
  descriptor: RangeDescriptor,
  configuration: Configuration,
  incoming: Uint8Array,
): RangeDescriptor {
  const members = new Set([
    ...configuration.voters,
    ...configuration.votersOutgoing,
    ...configuration.learners,
    ...configuration.learnersNext,
  ])
  const known = new Map(descriptor.replicas.map(replica => [replica.replicaId, replica]))
  let nextReplicaId = descriptor.nextReplicaId
  if (incoming.length > 0) {
    const replica = decodeReplicaBytes(incoming)
    known.set(replica.replicaId, replica)
    if (replica.replicaId >= nextReplicaId) nextReplicaId = asReplicaId(replica.replicaId + 1)
  }
  return {
    ...descriptor,
    configuration: descriptor.configuration + 1,
    replicas: [...known.values()]
      .filter(replica => members.has(replica.replicaId))
      .sort((a, b) => a.replicaId - b.replicaId),
    nextReplicaId,
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
