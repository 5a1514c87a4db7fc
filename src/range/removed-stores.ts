// Stores that an operator removed, as they are written down: with the change that removes one, in the range's descriptor, and then
// for ever in the system keyspace. By store id: the same node with an empty data directory is somebody else.

import { type NodeId, type ReplicaId, type StoreId, asNodeId, asReplicaId, asStoreId } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'

export interface RemovedStore {
  readonly node: NodeId
  readonly storeId: StoreId
  /** Its replica's; 0: it had none. What was removed once is not removed again under the same number. */
  readonly replicaId: ReplicaId
  /** By the clock of the leader that removed it. */
  readonly atMs: number
  /** Of the entry that removed it; 0: there was none. */
  readonly index: number
  /** An operator let it back in since. */
  readonly readmitted: boolean
}

const prefix = 'removed/'
export const removedStoresSpan = { start: Buffer.from(prefix), end: Buffer.from('removed0') }

export function removedStoreKey(storeId: StoreId): Uint8Array {
  return Buffer.from(prefix + storeId, 'latin1')
}

export function isRemovedStoreKey(key: Uint8Array): boolean {
  return Buffer.from(key).toString('latin1').startsWith(prefix)
}

export function removedStoreToMessage(store: RemovedStore): quorate.v1.IRemovedStore {
  return { ...store, storeId: Buffer.from(store.storeId, 'hex') }
}

export function removedStoreFromMessage(message: quorate.v1.IRemovedStore): RemovedStore {
  return {
    node: asNodeId(message.node ?? ''),
    storeId: asStoreId(Buffer.from(message.storeId ?? []).toString('hex')),
    replicaId: asReplicaId(message.replicaId ?? 0),
    atMs: message.atMs ?? 0,
    index: message.index ?? 0,
    readmitted: message.readmitted ?? false,
  }
}

export function encodeRemovedStore(store: RemovedStore): Uint8Array {
  return quorate.v1.RemovedStore.encode(removedStoreToMessage(store)).finish()
}

export function decodeRemovedStore(bytes: Uint8Array): RemovedStore {
  return removedStoreFromMessage(quorate.v1.RemovedStore.decode(bytes))
}

/** What the store is told that asks to be let in. */
export function removedMessage({ node, storeId, atMs }: RemovedStore): string {
  return `store ${storeId} of ${node} was removed from this cluster by an operator, on ${new Date(atMs).toISOString()}: \`quorate member add ${node}\` on the cluster lets it back in, or empty its data directory, of which the other members have copies, so that it joins as a new store`
}
