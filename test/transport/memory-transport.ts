// The Transport port inside one process: a network of nodes whose directed links can be cut, slowed and made lossy.
// With a virtual clock and a seeded `random` the same calls give the same deliveries.
//
// It keeps what the port promises: nothing is delivered inside `send`, order holds per (peer, channel) unless
// `reorder` is asked for, clocks are judged and merged before messages are handed over, strangers get nothing.

import { must } from '../../src/base/assert.ts'
import { type NodeId, asStoreId } from '../../src/base/ids.ts'
import { ClockGate } from '../../src/transport/clock-gate.ts'
import { createHello, judgeHello } from '../../src/transport/hello.ts'
import type { FrameStats } from '../../src/transport/message-codec.ts'
import type { PeerContext } from '../../src/transport/peer-context.ts'
import { withDeadline } from '../../src/transport/stall-guard.ts'
import type {
  Channel,
  NodeAddress,
  OutgoingSnapshot,
  PeerHealth,
  RangeMessage,
  Transport,
  TransportHandlers,
} from '../../src/transport/transport.ts'
import type { Clock, Timer } from '../../src/time/clock.ts'

export interface MemoryNetworkOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** What a directed link does to each delivery. */
export interface LinkFaults {
  readonly delayMinMs: number
  readonly delayMaxMs: number
  readonly loss: number
  readonly duplication: number
  readonly reorder: boolean
}

export interface MemoryTransportOptions extends PeerContext {
  readonly stats: () => FrameStats
}

const soundLink: LinkFaults = { delayMinMs: 0, delayMaxMs: 0, loss: 0, duplication: 0, reorder: false }
const snapshotStallMs = 10_000

export class MemoryNetwork {
  readonly clock: Clock
  readonly random: () => number
  readonly #nodes = new Map<NodeId, MemoryTransport>()
  readonly #cuts = new Set<string>()
  readonly #faults = new Map<string, LinkFaults>()
  #faultsOfAll: LinkFaults = soundLink
  readonly #watchers = new Set<() => void>()

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock
    this.random = options.random
  }

  /** A node that starts again under its name takes the place of the old one. */
  transport(options: MemoryTransportOptions): Transport {
    const transport = new MemoryTransport(this, options)
    this.#nodes.set(options.identity().node, transport)
    return transport
  }

  find(node: NodeId): MemoryTransport | undefined {
    return this.#nodes.get(node)
  }

  forget(transport: MemoryTransport): void {
    if (this.#nodes.get(transport.node) === transport) this.#nodes.delete(transport.node)
    this.#changed()
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(linkKey(from, to))
    this.#changed()
  }

  heal(from: NodeId, to: NodeId): void {
    this.#cuts.delete(linkKey(from, to))
  }

  healAll(): void {
    this.#cuts.clear()
    this.#faults.clear()
    this.#faultsOfAll = soundLink
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cuts.has(linkKey(from, to)) || !this.#nodes.has(to)
  }

  setFaults(faults: Partial<LinkFaults>, from?: NodeId, to?: NodeId): void {
    const whole = { ...soundLink, ...faults }
    if (from === undefined || to === undefined) this.#faultsOfAll = whole
    else this.#faults.set(linkKey(from, to), whole)
  }

  faults(from: NodeId, to: NodeId): LinkFaults {
    return this.#faults.get(linkKey(from, to)) ?? this.#faultsOfAll
  }

  /** Called whenever a link is cut or a node is gone. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }
}

interface Outbox {
  messages: RangeMessage[]
  scheduled: boolean
  /** No delivery before this one: order holds. */
  notBeforeMs: number
}

class MemoryTransport implements Transport {
  readonly node: NodeId
  readonly options: MemoryTransportOptions
  readonly #network: MemoryNetwork
  readonly #gate: ClockGate
  readonly #peers = new Map<NodeId, NodeAddress>()
  readonly #outboxes = new Map<string, Outbox>()
  readonly #heard = new Map<NodeId, FrameStats & { readonly atMs: number }>()
  readonly #snapshots = new Map<AbortController, Promise<boolean>>()
  #handlers: TransportHandlers | undefined
  #heartbeat: Timer | undefined
  #closed = false

  constructor(network: MemoryNetwork, options: MemoryTransportOptions) {
    this.#network = network
    this.options = options
    this.node = options.identity().node
    this.#gate = new ClockGate(options)
  }

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers
    this.#beat()
  }

  setPeers(peers: readonly NodeAddress[]): void {
    this.#peers.clear()
    for (const peer of peers) if (peer.node !== this.node) this.#peers.set(peer.node, peer)
  }

  send(to: NodeId, channel: Channel, message: RangeMessage): void {
    if (this.#closed) return
    const outbox = this.#outbox(to, channel)
    outbox.messages.push(message)
    if (outbox.scheduled) return
    outbox.scheduled = true
    this.#network.clock.defer(() => {
      outbox.scheduled = false
      const messages = outbox.messages
      outbox.messages = []
      this.#dispatch(to, outbox, messages)
    })
  }

  sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const controller = new AbortController()
    const abort = AbortSignal.any([signal, controller.signal])
    const stopWatching = this.#network.watch(() => {
      if (this.#network.isCut(this.node, to)) controller.abort()
    })
    const sent = this.#sendSnapshot(to, snapshot, abort).finally(() => {
      stopWatching()
      this.#snapshots.delete(controller)
    })
    this.#snapshots.set(controller, sent)
    return sent
  }

  health(): readonly PeerHealth[] {
    const now = this.#network.clock.monotonicMs()
    return [...this.#peers.keys()].map(node => {
      const heard = this.#heard.get(node)
      return {
        node,
        live: heard !== undefined && now - heard.atMs <= this.options.electionTimeoutMs,
        flushMicros: heard?.flushMicros ?? 0,
        freeBytes: heard?.freeBytes ?? 0,
        draining: heard?.draining ?? false,
      }
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#heartbeat?.cancel()
    this.#network.forget(this)
    for (const controller of this.#snapshots.keys()) controller.abort()
    await Promise.all(this.#snapshots.values())
  }

  /** A frame from `from`, on its way since some time ago. */
  receive(from: MemoryTransport, clock: number, rawClock: number, messages: readonly RangeMessage[]): void {
    if (this.#closed || this.#handlers === undefined) return
    if (!this.#gate.admit(from.node, clock, rawClock)) return
    this.#heard.set(from.node, { ...from.options.stats(), atMs: this.#network.clock.monotonicMs() })
    if (messages.length > 0) this.#handlers.onMessages(from.node, messages)
  }

  #outbox(to: NodeId, channel: Channel): Outbox {
    const key = `${to} ${channel}`
    let outbox = this.#outboxes.get(key)
    if (outbox === undefined) {
      outbox = { messages: [], scheduled: false, notBeforeMs: 0 }
      this.#outboxes.set(key, outbox)
    }
    return outbox
  }

  /** The target, when it is there and both sides would accept each other. */
  #reach(to: NodeId): MemoryTransport | undefined {
    const address = this.#peers.get(to)
    const target = this.#network.find(to)
    if (address === undefined || target === undefined || this.#network.isCut(this.node, to)) return undefined
    const hello = createHello(this.options, { node: to, storeId: asStoreId(address.storeId) })
    const verdict = judgeHello(hello, target.options.identity(), target.options.knownStore)
    return verdict.kind === 'welcome' ? target : undefined
  }

  #dispatch(to: NodeId, outbox: Outbox, messages: readonly RangeMessage[]): void {
    if (this.#closed) return
    const { clock, random } = this.#network
    if (this.#reach(to) === undefined) {
      if (messages.length > 0) this.#handlers?.onUnreachable(to)
      return
    }
    const faults = this.#network.faults(this.node, to)
    const { hybridClock } = this.options
    const stamp = hybridClock.acknowledged()
    const rawStamp = hybridClock.raw()
    const copies = random() < faults.loss ? 0 : random() < faults.duplication ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const now = clock.monotonicMs()
      const delayMs = faults.delayMinMs + random() * (faults.delayMaxMs - faults.delayMinMs)
      const atMs = faults.reorder ? now + delayMs : Math.max(now + delayMs, outbox.notBeforeMs)
      outbox.notBeforeMs = Math.max(outbox.notBeforeMs, atMs)
      // Looked up again on arrival: the link may have been cut, or the node restarted, meanwhile.
      const arrive = (): void => {
        if (!this.#closed) this.#reach(to)?.receive(this, stamp, rawStamp, messages)
      }
      if (atMs <= now) clock.defer(arrive)
      else clock.setTimer(atMs - now, arrive)
    }
  }

  #beat(): void {
    if (this.#closed) return
    for (const to of this.#peers.keys()) this.#dispatch(to, this.#outbox(to, 'control'), [])
    this.#heartbeat = this.#network.clock.setTimer(this.options.electionTimeoutMs / 3, () => this.#beat())
  }

  async #sendSnapshot(to: NodeId, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const target = this.#reach(to)
    if (target === undefined || signal.aborted) return false
    let whole = false
    const { clock } = this.#network
    const faults = this.#network.faults(this.node, to)
    async function* checked(): AsyncGenerator<Uint8Array, undefined> {
      const iterator = snapshot.chunks[Symbol.asyncIterator]()
      for (;;) {
        const next = await withDeadline(clock, iterator.next(), snapshotStallMs, 'receiving a snapshot', signal)
        if (next.done === true) break
        const { promise: arrived, resolve } = Promise.withResolvers<void>()
        clock.setTimer(faults.delayMaxMs, resolve)
        await withDeadline(clock, arrived, snapshotStallMs + faults.delayMaxMs, 'receiving a snapshot', signal)
        yield next.value
      }
      whole = true
      return undefined
    }
    const { chunks: _, ...header } = snapshot
    try {
      const handlers = must(target.#handlers)
      const installed = handlers.onSnapshot({ ...header, node: this.node, chunks: checked() })
      return (await withDeadline(clock, installed, snapshotStallMs, 'installing a snapshot', signal)) && whole
    } catch {
      return false
    }
  }
}

function linkKey(from: NodeId, to: NodeId): string {
  return `${from}>${to}`
}
