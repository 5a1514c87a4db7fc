// The Transport port: messages between nodes, each on a connection that its sender dialled.
//
// Callers owe: messages may be lost, repeated or late, and must tolerate it; nothing waits on `send`.
// Implementers owe: per (peer, channel) order while a stream stands; a bounded queue a peer, the oldest dropped and
// reported through `onUnreachable`; nothing is delivered from a stranger (cluster id, node id, store id).
// Every frame carries the hybrid clock and the raw one; a frame too far ahead is dropped whole and unmerged (DESIGN.md 8).

import type { ClusterId, Index, NodeId, RangeId, ReplicaId, StoreId, Term } from '../base/ids.ts'
import type { Message, SnapshotMeta } from '../raft/types.ts'
import type { Lineage } from './incarnation.ts'

/** Votes, heartbeats and read indexes never wait behind entries. */
export type Channel = 'control' | 'append'

/** On another channel, an append without entries would overtake those with some, be refused, and have them sent again. */
export function channelOf(message: Message): Channel {
  return message.kind === 'append-entries' ? 'append' : 'control'
}

/**
 * What a replica tells the others beside Raft: the hash that its state has come to at `index`; empty: it is damaged there.
 * `isChecksum`: over all its rows as well, because somebody asked for it.
 */
export interface StateHash {
  readonly kind: 'state-hash'
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: Term
  readonly index: Index
  readonly hash: string
  readonly isChecksum: boolean
  /** To such a message of the receiver's: it is not answered again. */
  readonly isAnswer: boolean
}

export interface RangeMessage {
  readonly rangeId: RangeId
  readonly generation: number
  readonly message: Message | StateHash
}

export interface NodeAddress {
  readonly node: NodeId
  readonly storeId: StoreId
  /** host:port of its peer service, where this node should dial it (an override of the operator's wins). */
  readonly peerAddress: string
}

export interface Identity {
  readonly node: NodeId
  readonly storeId: StoreId
  /** undefined until this node is in a cluster. */
  readonly clusterId: ClusterId | undefined
  readonly lineage: Lineage
}

/** A snapshot is judged by its progress: given up by either end when there was none for so long, and by no total time. */
export const snapshotStallMs = 30_000

export interface OutgoingSnapshot {
  readonly rangeId: RangeId
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: Term
  readonly meta: SnapshotMeta
  /** Encoded RangeDescriptor. */
  readonly descriptor: Uint8Array
  /** The state, in chunks of at most 1 MiB; read only as fast as the peer takes them. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** What the peer has said of its work, in bytes received and then installed: it only grows. */
  readonly onProgress: (workBytes: number) => void
}

export interface IncomingSnapshot {
  readonly node: NodeId
  readonly rangeId: RangeId
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: Term
  readonly meta: SnapshotMeta
  readonly descriptor: Uint8Array
  /** Checked chunks. Throws when the stream breaks, a checksum or the total disagrees: then nothing may be kept. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** So much was done of the installation. The sender gives up when it hears of none, nor of chunks that were taken. */
  readonly onInstalling: (bytes: number) => void
}

export interface TransportHandlers {
  onMessages(from: NodeId, messages: readonly RangeMessage[]): void
  /** Resolves true once installed and durable; false or a rejection tells the sender that it was not. */
  onSnapshot(snapshot: IncomingSnapshot): Promise<boolean>
  /** What was queued for the peer was dropped, or its stream broke. */
  onUnreachable(node: NodeId): void
}

/** `low`: no room for more data. `full`: for nothing but what must be. */
export type DiskBand = 'ok' | 'low' | 'full'

export interface PeerHealth {
  readonly node: NodeId
  /** A frame of its arrived within the last election timeout. */
  readonly live: boolean
  /** Of the process that the last frame came from; 0 before the first. */
  readonly incarnation: number
  readonly flushMicros: number
  readonly freeBytes: number
  readonly diskBand: DiskBand
  readonly draining: boolean
}

export interface Transport {
  start(handlers: TransportHandlers): void
  /** Whom to dial. Called again when the registry changes; links to those gone are closed. */
  setPeers(peers: readonly NodeAddress[]): void
  send(to: NodeId, channel: Channel, message: RangeMessage): void
  /** Resolves to whether the peer installed it. Aborts when the signal does, or when nothing of it was acknowledged for `snapshotStallMs`. */
  sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean>
  health(): readonly PeerHealth[]
  close(): Promise<void>
}
