// What a node is composed from: the outside world as ports. src/node.ts hands in the adapters; whoever hands in others
// has the same node on another clock, network and disk.

import type { Logger } from './base/logger.ts'
import type { ClusterId, NodeId } from './base/ids.ts'
import type { SessionLimits } from './command/sessions.ts'
import type { Engine } from './engine/engine.ts'
import type { LogFiles } from './log/log-files.ts'
import type { quorate } from './proto/quorate.js'
import type { NodeDisk } from './range/disk-room.ts'
import type { Clock } from './time/clock.ts'
import type { ForwardOptions } from './transport/forward-server.ts'
import type { FrameStats } from './transport/message-codec.ts'
import type { PeerCalls } from './transport/peer-calls.ts'
import type { PeerContext } from './transport/peer-context.ts'
import type { Identity, Transport } from './transport/transport.ts'

/** By the names of nodes. */
export type PeerAddresses = Readonly<Record<NodeId, string>>

/** Whose data these are. All changes are durable when they return. */
export interface NodeDirectory {
  readonly identity: Identity
  readonly logPath: string
  /** Where peers were told to dial this node, the last time that they were told; empty: never. */
  readonly peerAddress: string
  /** `peers`: those who were said to be in it. */
  joinCluster(clusterId: ClusterId, peers?: PeerAddresses): void
  /** Where its peers were, as far as this node knew: whom it asks when nothing else says who they are. */
  readonly peers: PeerAddresses
  rememberPeers(peers: PeerAddresses): void
  /** The node is about to run at this place. At another one than before, its store takes a new incarnation. */
  settle(place: string, randomInt: (bound: number) => number): void
  /** From now on peers are told to dial this node there. */
  announce(peerAddress: string): void
  /** The registry has the incarnation: those before it are over. */
  confirmIncarnation(): void
  /** Only while the node is in no cluster: it has promised nothing (DESIGN.md 5). */
  discardLog(): void
}

/** What other nodes ask of this one, behind the peer listener. */
export interface PeerHandlers {
  forward(request: quorate.v1.IBatchRequest, options?: ForwardOptions): Promise<quorate.v1.IBatchResponse>
  join(request: quorate.v1.IJoinRequest): Promise<quorate.v1.IJoinResponse>
  peerStatus(): Promise<quorate.v1.IPeerStatusResponse>
}

export interface NodeAddresses {
  readonly peer: string
  readonly client: string
  readonly http: string
}

export interface NodePorts {
  readonly clock: Clock
  /** Uniform bytes: ids, nonces, the seeds of jitter. */
  readonly randomBytes: (length: number) => Uint8Array
  /** Uniform in [0, bound). */
  readonly randomInt: (bound: number) => number
  readonly directory: NodeDirectory
  /** Opened, and locked against a second process; the node closes it. */
  readonly engine: Engine
  readonly logFiles: LogFiles
  readonly createTransport: (context: PeerContext & { readonly stats: () => FrameStats }) => Transport
  readonly createPeers: (context: PeerContext) => PeerCalls
  /** Tells apart where the node runs: the machine, what it listens on and what it advertises. */
  readonly place: string
  /** What others are told to dial; asked again whenever it is told. */
  readonly addresses: () => NodeAddresses
  /** Of the data directory. */
  readonly disk: NodeDisk
  /** Of the cluster that `init` makes here; undefined: the default. Nobody but the simulator has others. */
  readonly sessionLimits?: SessionLimits
  readonly logger: Logger
  /** The node has halted: nothing more is sent, answered or written. The process must end. */
  readonly onFatal: (error: unknown) => void
}
