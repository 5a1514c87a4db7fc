// The Transport port inside one process, in virtual time: the nodes' end of the simulated network.
//
// It keeps what the port promises: nothing is delivered inside `send`, order holds per (peer, channel) unless
// `reorder` is asked for, clocks are judged and merged before messages are handed over, strangers get nothing.
// A paused process hears of everything when it goes on, a killed one never.

import { assert } from '../../src/base/assert.ts'
import type { ClusterId, NodeId, StoreId } from '../../src/base/ids.ts'
import { ClockGate } from '../../src/transport/clock-gate.ts'
import { createHello, judgeHello } from '../../src/transport/hello.ts'
import { incarnationOf } from '../../src/transport/incarnation.ts'
import {
  type Frame,
  type FrameStats,
  decodeFrame,
  encodeFrame,
  messageBytes,
} from '../../src/transport/message-codec.ts'
import type { PeerContext } from '../../src/transport/peer-context.ts'
import type {
  Channel,
  NodeAddress,
  OutgoingSnapshot,
  PeerHealth,
  RangeMessage,
  Transport,
  TransportHandlers,
} from '../../src/transport/transport.ts'
import { SimClock, type SimScheduler } from '../sim/sim-clock.ts'
import { type Lane, type LaneState, type Link, type LinkFaults, Links } from './memory-network.ts'
import { MemorySnapshot } from './memory-snapshot.ts'

export interface MemoryNetworkOptions {
  readonly scheduler: SimScheduler
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Whether every frame is encoded and decoded: slower, and nothing is shared between nodes. */
  readonly encodes?: boolean
  /** Who is at a peer address; undefined: nobody. Without it each node is wherever it is dialled. */
  readonly nodeAt?: (address: string) => NodeId | undefined
}

/** Its clock is a SimClock. */
export interface MemoryTransportOptions extends PeerContext {
  readonly stats: () => FrameStats
}

export class MemoryNetwork {
  readonly links: Links
  readonly encodes: boolean
  readonly nodeAt: MemoryNetworkOptions['nodeAt']
  readonly #nodes = new Map<NodeId, MemoryTransport>()

  constructor(options: MemoryNetworkOptions) {
    this.encodes = options.encodes ?? false
    this.nodeAt = options.nodeAt
    this.links = new Links(options.scheduler, options.random, {
      broke: (link, lane) => this.#nodes.get(link.from)?.broke(link, lane),
    })
  }

  /** A node that starts again under its name takes the place of the old one. */
  transport(options: MemoryTransportOptions): Transport {
    const transport = new MemoryTransport(this, options)
    this.#nodes.set(transport.node, transport)
    return transport
  }

  find(node: NodeId): MemoryTransport | undefined {
    return this.#nodes.get(node)
  }

  /** Its process was killed: the streams of others to it break now, of which they may hear, and its own may be drained. */
  kill(transport: Transport): void {
    assert(transport instanceof MemoryTransport, 'it is of this network')
    const { node } = transport
    if (this.#nodes.get(node) !== transport) return
    this.forget(transport)
    for (const link of this.links.all()) {
      if (link.to === node) this.links.break(link)
      else if (link.from === node && this.links.random() < 0.5) this.links.break(link)
    }
  }

  forget(transport: MemoryTransport): void {
    transport.end()
    if (this.#nodes.get(transport.node) !== transport) return
    this.#nodes.delete(transport.node)
    for (const other of this.#nodes.values()) other.lost(transport)
  }

  cut(from: NodeId, to: NodeId): void {
    const link = this.links.link(from, to)
    link.isCut = true
    this.#nodes.get(from)?.breakSnapshots(to)
    this.#nodes.get(to)?.breakSnapshots(from)
  }

  heal(from: NodeId, to: NodeId): void {
    this.links.link(from, to).isCut = false
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.links.link(from, to).isCut
  }

  /** No cut, clog or fault any more. */
  healAll(): void {
    this.links.healAll()
  }

  /** Of one link, or of all that have none of their own; undefined: none of its own any more. */
  setFaults(faults: Partial<LinkFaults> | undefined, from?: NodeId, to?: NodeId): void {
    this.links.setFaults(faults, from, to)
  }

  /** Holds what arrives, in order, until `unclog`; far too much of it, and the oldest is dropped. */
  clog(from: NodeId, to: NodeId): void {
    this.links.clog(from, to)
  }

  unclog(from: NodeId, to: NodeId): void {
    this.links.unclog(from, to)
  }

  /** A stream breaks midway: everything on its way is lost, and its sender learns of it. Without a lane, all of them. */
  breakStream(from: NodeId, to: NodeId, lane?: Lane): void {
    this.links.break(this.links.link(from, to), lane)
  }

  /** All that was ever sent on it. */
  bytesOf(from: NodeId, to: NodeId, lane: Lane): number {
    return this.links.link(from, to).lanes[lane].takenBytes
  }

  /** How long a packet takes now; undefined: it is lost. */
  travelMs(from: NodeId, to: NodeId): number | undefined {
    return this.links.travelMs(this.links.link(from, to))
  }
}

interface Outbox {
  readonly lane: LaneState
  messages: RangeMessage[]
  isScheduled: boolean
}

interface Peer {
  readonly node: NodeId
  readonly link: Link
  address: NodeAddress | undefined
  readonly control: Outbox
  readonly append: Outbox
  verdict: Verdict | undefined
}

/** A judgement and what it rests on. */
interface Verdict {
  /** The process that judged: the next one under its name has heard of nobody. */
  readonly judge: MemoryTransport
  readonly source: ClusterId | undefined
  readonly target: ClusterId | undefined
  readonly targetStore: StoreId
  readonly meantStore: StoreId
  readonly knownStore: StoreId | undefined
  readonly knownIncarnation: number | undefined
  readonly isWelcome: boolean
}

/** What a frame has beside its messages. */
const frameBytes = 64

class MemoryTransport implements Transport {
  readonly node: NodeId
  readonly options: MemoryTransportOptions
  readonly clock: SimClock
  readonly #network: MemoryNetwork
  readonly #gate: ClockGate
  readonly #peers = new Map<NodeId, Peer>()
  readonly #heard = new Map<NodeId, FrameStats & { readonly atMs: number; readonly incarnation: number }>()
  /** Under way from here, each with whom it is for. */
  readonly #snapshots = new Map<MemorySnapshot, { readonly target: MemoryTransport; readonly sent: Promise<boolean> }>()
  #handlers: TransportHandlers | undefined
  #isClosed = false

  constructor(network: MemoryNetwork, options: MemoryTransportOptions) {
    assert(options.clock instanceof SimClock, 'the network is in virtual time')
    this.clock = options.clock
    this.#network = network
    this.options = options
    this.node = options.identity().node
    this.#gate = new ClockGate(options)
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers
    this.#beat()
  }

  setPeers(addresses: readonly NodeAddress[]): void {
    for (const peer of this.#peers.values()) peer.address = undefined
    for (const address of addresses) if (address.node !== this.node) this.#peer(address.node).address = address
  }

  send(to: NodeId, channel: Channel, message: RangeMessage): void {
    if (this.#isClosed) return
    const peer = this.#peer(to)
    const outbox = peer[channel]
    outbox.messages.push(message)
    if (outbox.isScheduled) return
    outbox.isScheduled = true
    this.clock.defer(() => {
      outbox.isScheduled = false
      const { messages } = outbox
      outbox.messages = []
      if (!this.#dispatch(peer, outbox.lane, messages)) this.#handlers?.onUnreachable(to)
    })
  }

  async sendSnapshot(to: NodeId, outgoing: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const peer = this.#peer(to)
    const target = this.#reach(peer)
    const { links } = this.#network
    const { hybridClock } = this.options
    if (this.#isClosed || target === undefined || signal.aborted) return false
    const [clock, rawClock] = [hybridClock.acknowledged(), hybridClock.raw()]
    const { snapshot: there } = peer.link.lanes
    const { snapshot: back } = links.link(to, this.node).lanes
    const snapshot: MemorySnapshot = new MemorySnapshot({
      from: this.node,
      sourceClock: this.clock,
      targetClock: target.clock,
      // Both ends notice, also when it is the opening of the stream that is lost, or the answer at its end.
      there: (bytes, deliver) => {
        if (!links.carryWhole(there, bytes, () => target.clock.arrive(deliver))) snapshot.break()
      },
      back: deliver => {
        if (!links.carryWhole(back, 0, () => this.clock.arrive(deliver))) snapshot.break()
      },
      receive: async incoming => {
        const handlers = target.#handlers
        if (handlers === undefined || target.#isClosed || !target.#gate.admit(this.node, clock, rawClock)) return false
        return await handlers.onSnapshot(incoming)
      },
    })
    const sent = snapshot.send(outgoing, signal)
    this.#snapshots.set(snapshot, { target, sent })
    try {
      return await sent
    } finally {
      this.#snapshots.delete(snapshot)
    }
  }

  health(): readonly PeerHealth[] {
    const now = this.clock.monotonicMs()
    const health: PeerHealth[] = []
    for (const { node, address } of this.#peers.values()) {
      if (address === undefined) continue
      const heard = this.#heard.get(node)
      const live = heard !== undefined && now - heard.atMs <= this.options.electionTimeoutMs
      const { incarnation = 0, flushMicros = 0, freeBytes = 0, diskBand = 'ok', draining = false } = heard ?? {}
      health.push({ node, live, incarnation, flushMicros, freeBytes, diskBand, draining })
    }
    return health
  }

  async close(): Promise<void> {
    this.#network.forget(this)
    await Promise.all([...this.#snapshots.values()].map(({ sent }) => sent))
  }

  /** Nothing more is said or heard; what is on its way may arrive. */
  end(): void {
    this.#isClosed = true
    this.#breakSnapshots(() => true)
  }

  /** The other transport is gone. */
  lost(other: MemoryTransport): void {
    this.#breakSnapshots(target => target === other)
  }

  breakSnapshots(to: NodeId): void {
    this.#breakSnapshots(target => target.node === to)
  }

  broke(link: Link, lane: Lane): void {
    if (lane === 'snapshot') this.breakSnapshots(link.to)
    else this.clock.arriveAfter(0, () => this.#isClosed || this.#handlers?.onUnreachable(link.to))
  }

  #breakSnapshots(isMeant: (target: MemoryTransport) => boolean): void {
    for (const [snapshot, { target }] of this.#snapshots) if (isMeant(target)) snapshot.break()
  }

  #receive(from: NodeId, incarnation: number, frame: Frame): void {
    if (this.#isClosed || this.#handlers === undefined) return
    if (!this.#gate.admit(from, frame.clock, frame.rawClock)) return
    const { flushMicros, freeBytes, diskBand, draining, messages } = frame
    this.#heard.set(from, { incarnation, flushMicros, freeBytes, diskBand, draining, atMs: this.clock.monotonicMs() })
    if (messages.length > 0) this.#handlers.onMessages(from, messages)
  }

  #peer(node: NodeId): Peer {
    let peer = this.#peers.get(node)
    if (peer === undefined) {
      const link = this.#network.links.link(this.node, node)
      const outbox = (lane: Lane): Outbox => ({ lane: link.lanes[lane], messages: [], isScheduled: false })
      const [control, append] = [outbox('control'), outbox('append')]
      peer = { node, link, address: undefined, control, append, verdict: undefined }
      this.#peers.set(node, peer)
    }
    return peer
  }

  /** The target, when it is there and both sides would accept each other. */
  #reach(peer: Peer): MemoryTransport | undefined {
    const target = this.#network.find(peer.node)
    if (peer.address === undefined || target === undefined || peer.link.isCut) return undefined
    const { nodeAt } = this.#network
    if (nodeAt !== undefined && nodeAt(peer.address.peerAddress) !== peer.node) return undefined
    return this.#isWelcome(peer, peer.address, target) ? target : undefined
  }

  #isWelcome(peer: Peer, address: NodeAddress, target: MemoryTransport): boolean {
    const source = this.options.identity().clusterId
    const self = target.options.identity()
    const knownStore = target.options.knownStore(this.node)
    const knownIncarnation = target.options.knownIncarnation?.(this.node, this.options.identity().storeId)
    let { verdict } = peer
    if (
      verdict === undefined ||
      verdict.judge !== target ||
      verdict.source !== source ||
      verdict.target !== self.clusterId ||
      verdict.targetStore !== self.storeId ||
      verdict.meantStore !== address.storeId ||
      verdict.knownStore !== knownStore ||
      verdict.knownIncarnation !== knownIncarnation
    ) {
      const hello = createHello(this.options, { node: peer.node, storeId: address.storeId })
      const { lineage } = this.options.identity()
      const judged = judgeHello(hello, target.options)
      const isWelcome = judged.kind === 'welcome'
      if (isWelcome) target.options.heard?.(this.options.record(), lineage)
      else if (judged.code === 'superseded') this.options.superseded?.(judged.refusal)
      const rest = { target: self.clusterId, targetStore: self.storeId, meantStore: address.storeId }
      verdict = { judge: target, source, ...rest, knownStore, knownIncarnation, isWelcome }
      peer.verdict = verdict
    }
    return verdict.isWelcome
  }

  /** False when nobody would hear it. */
  #dispatch(peer: Peer, lane: LaneState, messages: readonly RangeMessage[]): boolean {
    if (this.#isClosed) return true
    if (this.#reach(peer) === undefined) return false
    const { hybridClock, stats } = this.options
    const incarnation = incarnationOf(this.options.identity().lineage)
    const frame: Frame = {
      ...stats(),
      hello: undefined,
      clock: hybridClock.acknowledged(),
      rawClock: hybridClock.raw(),
      messages,
    }
    const bytes = this.#network.encodes ? encodeFrame(frame) : undefined
    let size = frameBytes
    for (const { message } of messages) size += messageBytes(message)
    this.#network.links.carry(lane, size, () => {
      // Looked up again on arrival: the node may have restarted meanwhile, on another disk.
      const target = this.#network.find(peer.node)
      if (target === undefined || target.options.identity().storeId !== peer.verdict?.targetStore) return
      target.clock.arrive(() =>
        target.#receive(this.node, incarnation, bytes === undefined ? frame : decodeFrame(bytes)),
      )
    })
    return true
  }

  #beat(): void {
    if (this.#isClosed) return
    for (const peer of this.#peers.values()) if (peer.address !== undefined) this.#dispatch(peer, peer.control.lane, [])
    this.clock.setTimer(this.options.electionTimeoutMs / 3, () => this.#beat())
  }
}
