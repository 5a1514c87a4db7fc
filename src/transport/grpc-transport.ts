// The Transport port over grpc-js: two links to every peer, what peers say to us, and who was heard of lately.

import { assert } from '../base/assert.ts'
import type { NodeId } from '../base/ids.ts'
import { ClockGate } from './clock-gate.ts'
import { FrameReceiver, type FrameStream } from './frame-receiver.ts'
import type { FrameStats } from './message-codec.ts'
import { LogLimit, type PeerContext } from './peer-context.ts'
import { PeerLink } from './peer-link.ts'
import { type SnapshotStream, SnapshotReceiver } from './snapshot-receiver.ts'
import { SnapshotSender } from './snapshot-sender.ts'
import {
  type Channel,
  type NodeAddress,
  type OutgoingSnapshot,
  type PeerHealth,
  type RangeMessage,
  type Transport,
  type TransportHandlers,
  snapshotStallMs,
} from './transport.ts'

export interface GrpcTransportOptions extends PeerContext {
  /** The operator's own address for a peer: it wins over the registry's. */
  readonly overrides: ReadonlyMap<NodeId, string>
  /** What this node tells of itself with every frame. */
  readonly stats: () => FrameStats
  /** How long a snapshot may stand still. */
  readonly snapshotStallMs?: number
}

/** What peers call; handed to createPeerServer. */
export interface PeerInbound {
  readonly control: (stream: FrameStream) => void
  readonly append: (stream: FrameStream) => void
  readonly snapshot: (stream: SnapshotStream) => Promise<Uint8Array>
}

export interface TransportMetrics {
  readonly framesSent: number
  readonly messagesSent: number
  readonly messagesDropped: number
  readonly dials: number
  readonly framesReceived: number
  readonly messagesReceived: number
  readonly framesClockAhead: number
}

export interface GrpcTransport extends Transport {
  readonly inbound: PeerInbound
  /** Where a peer is dialled; undefined when setPeers does not have it. */
  addressOf(node: NodeId): NodeAddress | undefined
  metrics(): TransportMetrics
}

const refusalLogIntervalMs = 60_000

interface Peer {
  readonly address: NodeAddress
  readonly control: PeerLink
  readonly append: PeerLink
}

interface Heard extends FrameStats {
  readonly atMs: number
  readonly incarnation: number
}

export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  return new GrpcTransportAdapter(options)
}

class GrpcTransportAdapter implements GrpcTransport {
  readonly inbound: PeerInbound
  readonly #options: GrpcTransportOptions
  readonly #gate: ClockGate
  readonly #refusals: LogLimit
  readonly #receiver: FrameReceiver
  readonly #snapshotSender: SnapshotSender
  readonly #peers = new Map<NodeId, Peer>()
  readonly #heard = new Map<NodeId, Heard>()
  #handlers: TransportHandlers | undefined
  #framesReceived = 0
  #messagesReceived = 0
  /** Counts of links that are gone. */
  #past = { framesSent: 0, messagesSent: 0, messagesDropped: 0, dials: 0 }
  #closed = false

  constructor(options: GrpcTransportOptions) {
    this.#options = options
    this.#gate = new ClockGate(options)
    this.#refusals = new LogLimit(options.clock, refusalLogIntervalMs)
    this.#receiver = new FrameReceiver({
      context: options,
      gate: this.#gate,
      refusals: this.#refusals,
      onFrame: (from, incarnation, { flushMicros, freeBytes, diskBand, draining }) => {
        this.#framesReceived += 1
        this.#heard.set(from, {
          atMs: options.clock.monotonicMs(),
          incarnation,
          flushMicros,
          freeBytes,
          diskBand,
          draining,
        })
      },
      onMessages: (from, messages) => {
        this.#messagesReceived += messages.length
        this.#handlers?.onMessages(from, messages)
      },
    })
    const stallMs = options.snapshotStallMs ?? snapshotStallMs
    this.#snapshotSender = new SnapshotSender(options, stallMs)
    const snapshots = new SnapshotReceiver(options, this.#gate, stallMs)
    this.inbound = {
      control: stream => this.#receiver.serve('control', stream),
      append: stream => this.#receiver.serve('append', stream),
      snapshot: stream =>
        snapshots.serve(stream, async incoming => (await this.#handlers?.onSnapshot(incoming)) ?? false),
    }
  }

  start(handlers: TransportHandlers): void {
    assert(this.#handlers === undefined, 'the transport is started once')
    this.#handlers = handlers
  }

  setPeers(peers: readonly NodeAddress[]): void {
    if (this.#closed) return
    const self = this.#options.identity().node
    const wanted = new Map(peers.filter(peer => peer.node !== self).map(peer => [peer.node, this.#resolve(peer)]))
    for (const [node, peer] of this.#peers) {
      const address = wanted.get(node)
      if (address?.peerAddress === peer.address.peerAddress && address.storeId === peer.address.storeId) {
        wanted.delete(node)
      } else {
        this.#closePeer(node, peer)
      }
    }
    for (const [node, address] of wanted) this.#peers.set(node, this.#openPeer(address))
  }

  send(to: NodeId, channel: Channel, message: RangeMessage): void {
    if (this.#closed) return
    const peer = this.#peers.get(to)
    if (peer !== undefined) peer[channel].send(message)
    else this.#options.clock.defer(() => this.#reportUnreachable(to))
  }

  sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const peer = this.#peers.get(to)
    if (peer === undefined || this.#closed) return Promise.resolve(false)
    return this.#snapshotSender.send(peer.address, snapshot, signal)
  }

  health(): readonly PeerHealth[] {
    const now = this.#options.clock.monotonicMs()
    return [...this.#peers.keys()].map(node => {
      const heard = this.#heard.get(node)
      return {
        node,
        live: heard !== undefined && now - heard.atMs <= this.#options.electionTimeoutMs,
        incarnation: heard?.incarnation ?? 0,
        flushMicros: heard?.flushMicros ?? 0,
        freeBytes: heard?.freeBytes ?? 0,
        diskBand: heard?.diskBand ?? 'ok',
        draining: heard?.draining ?? false,
      }
    })
  }

  addressOf(node: NodeId): NodeAddress | undefined {
    return this.#peers.get(node)?.address
  }

  metrics(): TransportMetrics {
    const sum = { ...this.#past }
    for (const peer of this.#peers.values()) addCounters(sum, peer)
    return {
      ...sum,
      framesReceived: this.#framesReceived,
      messagesReceived: this.#messagesReceived,
      framesClockAhead: this.#gate.dropped,
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const [node, peer] of this.#peers) this.#closePeer(node, peer)
    this.#receiver.close()
    await this.#snapshotSender.close()
  }

  #resolve(peer: NodeAddress): NodeAddress {
    return {
      ...peer,
      peerAddress: this.#options.overrides.get(peer.node) ?? peer.peerAddress,
    }
  }

  #openPeer(address: NodeAddress): Peer {
    const open = (channel: Channel): PeerLink =>
      new PeerLink({
        context: this.#options,
        peer: address,
        channel,
        stats: this.#options.stats,
        refusals: this.#refusals,
        onUnreachable: () => this.#reportUnreachable(address.node),
        onClockAhead: () => this.#gate.refusedBy(address.node, this.#reachable()),
        onDown: wasReady => {
          // Whatever cut the fast channel has cut the slow one, which would notice much later; but where both share a thin
          // link, it is the fast one that is late, and what is on its way on the other arrives.
          if (channel === 'control' && wasReady)
            this.#peers.get(address.node)?.append.abandon('the control stream broke', this.#options.electionTimeoutMs)
        },
      })
    return { address, control: open('control'), append: open('append') }
  }

  #closePeer(node: NodeId, peer: Peer): void {
    peer.control.close()
    peer.append.close()
    addCounters(this.#past, peer)
    this.#peers.delete(node)
  }

  #reachable(): NodeId[] {
    return [...this.#peers.values()].filter(peer => peer.control.ready).map(peer => peer.address.node)
  }

  #reportUnreachable(node: NodeId): void {
    if (!this.#closed) this.#handlers?.onUnreachable(node)
  }
}

function addCounters(
  sum: {
    framesSent: number
    messagesSent: number
    messagesDropped: number
    dials: number
  },
  peer: Peer,
): void {
  for (const { counters } of [peer.control, peer.append]) {
    sum.framesSent += counters.framesSent
    sum.messagesSent += counters.messagesSent
    sum.messagesDropped += counters.messagesDropped
    sum.dials += counters.dials
  }
}
