// The network between simulated nodes: directed links that lose, delay, reorder, hold and break, in virtual time. Whatever
// crosses a link crosses it here; it knows no message. The same calls and the same `random` give the same deliveries.

import type { NodeId } from '../../src/base/ids.ts'
import type { Channel } from '../../src/transport/transport.ts'
import type { SimScheduler } from '../sim/sim-clock.ts'

/** What a directed link does to each delivery. */
export interface LinkFaults {
  readonly delayMinMs: number
  readonly delayMaxMs: number
  readonly loss: number
  readonly duplication: number
  readonly reorder: boolean
  /** Lanes that do not go as fast as their link: so they overtake each other. */
  readonly lanes?: LaneTraitsByLane
}

/** One stream each; snapshots have theirs as long as they last. */
export type Lane = Channel | 'snapshot'

/** How fast a lane is. */
export interface LaneTraits {
  readonly delayMinMs: number
  readonly delayMaxMs: number
  /** What it carries, one delivery after the other; the others wait at its sender. */
  readonly bytesPerMs: number
  /** What may wait; past it the oldest goes, and the sender is told. */
  readonly waitingBytesMax: number
}

/** `calls`: those that are answered (sim-peers.ts), which have a delay alone. */
export type LaneTraitsByLane = Readonly<Partial<Record<Lane | 'calls', LaneTraits>>>

const lanes: readonly Lane[] = ['control', 'append', 'snapshot']
const soundLink: LinkFaults = { delayMinMs: 0, delayMaxMs: 0, loss: 0, duplication: 0, reorder: false }
/** What a clogged lane holds; beyond it the oldest goes. */
const heldMax = 1_000
/** A chunk is many packets that are sent again: a link's loss seldom ends its stream. */
const snapshotLossShare = 0.25

export interface Delivery {
  readonly lane: LaneState
  readonly bytes: number
  /** The stream it travels on; when another one stands by then, it is lost. */
  readonly stream: number
  readonly deliver: () => void
}

export interface LaneState {
  readonly lane: Lane
  readonly link: Link
  stream: number
  /** No delivery before this: order holds. */
  notBeforeMs: number
  /** Behind the one that the lane takes now. */
  waiting: Delivery[]
  waitingBytes: number
  isTaking: boolean
  /** All that it ever took. */
  takenBytes: number
}

export interface Link {
  readonly from: NodeId
  readonly to: NodeId
  readonly lanes: Readonly<Record<Lane, LaneState>>
  isCut: boolean
  isClogged: boolean
  /** In their order: held back while the link is clogged, then let go one by one. */
  readonly held: Delivery[]
  faults: LinkFaults | undefined
}

/** What ends at a link is told of its breaks. */
export interface LinkListener {
  /** The stream of `from` to `to` broke: all that was on its way is lost. */
  broke(link: Link, lane: Lane): void
}

export class Links {
  readonly scheduler: SimScheduler
  readonly random: () => number
  readonly #links = new Map<NodeId, Map<NodeId, Link>>()
  readonly #listener: LinkListener
  #faultsOfAll = soundLink

  constructor(scheduler: SimScheduler, random: () => number, listener: LinkListener) {
    this.scheduler = scheduler
    this.random = random
    this.#listener = listener
  }

  link(from: NodeId, to: NodeId): Link {
    let row = this.#links.get(from)
    if (row === undefined) {
      row = new Map()
      this.#links.set(from, row)
    }
    let link = row.get(to)
    if (link === undefined) {
      link = createLink(from, to)
      row.set(to, link)
    }
    return link
  }

  *all(): Generator<Link, undefined> {
    for (const row of this.#links.values()) yield* row.values()
    return undefined
  }

  faults(link: Link): LinkFaults {
    return link.faults ?? this.#faultsOfAll
  }

  setFaults(faults: Partial<LinkFaults> | undefined, from?: NodeId, to?: NodeId): void {
    const whole = faults && { ...soundLink, ...faults }
    if (from === undefined || to === undefined) this.#faultsOfAll = whole ?? soundLink
    else this.link(from, to).faults = whole
  }

  clog(from: NodeId, to: NodeId): void {
    this.link(from, to).isClogged = true
  }

  unclog(from: NodeId, to: NodeId): void {
    const link = this.link(from, to)
    if (!link.isClogged) return
    link.isClogged = false
    this.#letGo(link)
  }

  /** All that is on its way is lost, and the sender is told. */
  break(link: Link, only?: Lane): void {
    for (const lane of lanes) {
      if (only !== undefined && lane !== only) continue
      const state = link.lanes[lane]
      state.stream++
      state.waiting = []
      state.waitingBytes = 0
      this.#listener.broke(link, lane)
    }
  }

  healAll(): void {
    this.#faultsOfAll = soundLink
    for (const link of this.all()) {
      link.isCut = false
      link.faults = undefined
      this.unclog(link.from, link.to)
    }
  }

  /** How long a packet of a call takes now; undefined: it is lost. */
  travelMs(link: Link): number | undefined {
    const faults = this.faults(link)
    if (link.isCut || link.isClogged || (faults.loss > 0 && this.random() < faults.loss)) return undefined
    return this.#delayMs(faults.lanes?.calls ?? faults)
  }

  /** Takes a frame across, once, twice or not at all. */
  carry(lane: LaneState, bytes: number, deliver: () => void): void {
    const faults = this.faults(lane.link)
    if (faults.loss > 0 && this.random() < faults.loss) return
    this.#depart({ lane, bytes, stream: lane.stream, deliver }, faults)
    if (faults.duplication > 0 && this.random() < faults.duplication)
      this.#depart({ lane, bytes, stream: lane.stream, deliver }, faults)
  }

  /** Takes across what must not be missing. False: it would be lost, and the stream has broken. */
  carryWhole(lane: LaneState, bytes: number, deliver: () => void): boolean {
    const faults = this.faults(lane.link)
    if (faults.loss > 0 && this.random() < faults.loss * snapshotLossShare) {
      this.break(lane.link, lane.lane)
      return false
    }
    this.#depart({ lane, bytes, stream: lane.stream, deliver }, faults)
    return true
  }

  #depart(delivery: Delivery, faults: LinkFaults): void {
    const { lane } = delivery
    lane.takenBytes += delivery.bytes
    const traits = faults.lanes?.[lane.lane]
    if (traits === undefined && !lane.isTaking) {
      this.#travel(delivery, faults)
      return
    }
    lane.waiting.push(delivery)
    lane.waitingBytes += delivery.bytes
    this.#takeNext(lane)
    if (traits !== undefined && lane.waitingBytes > traits.waitingBytesMax) this.#dropOldest(lane, traits)
  }

  /** As a link does it (src/transport/peer-link.ts): the newest stays, and a quarter goes at once. */
  #dropOldest(lane: LaneState, { waitingBytesMax }: LaneTraits): void {
    const before = lane.waiting.length
    while (lane.waiting.length > 1 && lane.waitingBytes > waitingBytesMax * 0.75)
      lane.waitingBytes -= lane.waiting.shift()?.bytes ?? 0
    if (lane.waiting.length < before) this.#listener.broke(lane.link, lane.lane)
  }

  /** How fast it goes is looked up for each: what waits in a thin lane leaves at once when that is thin no more. */
  #takeNext(lane: LaneState): void {
    if (lane.isTaking) return
    const next = lane.waiting.shift()
    if (next === undefined) return
    lane.waitingBytes -= next.bytes
    lane.isTaking = true
    const traits = this.faults(lane.link).lanes?.[lane.lane]
    this.scheduler.after(traits === undefined ? 0 : next.bytes / traits.bytesPerMs, () => {
      lane.isTaking = false
      this.#travel(next, this.faults(lane.link))
      this.#takeNext(lane)
    })
  }

  #travel(delivery: Delivery, faults: LinkFaults): void {
    const { lane } = delivery
    let atMs = this.scheduler.nowMs + this.#delayMs(faults.lanes?.[lane.lane] ?? faults)
    if (!faults.reorder || lane.lane === 'snapshot') {
      if (atMs < lane.notBeforeMs) atMs = lane.notBeforeMs
      lane.notBeforeMs = atMs
    }
    this.scheduler.schedule(atMs, () => this.#arrive(delivery))
  }

  #arrive(delivery: Delivery): void {
    const { link } = delivery.lane
    if (!link.isClogged && link.held.length === 0) {
      deliver(delivery)
      return
    }
    link.held.push(delivery)
    if (link.held.length <= heldMax) return
    const dropped = link.held.shift()
    if (dropped !== undefined && isStanding(dropped)) this.#listener.broke(link, dropped.lane.lane)
  }

  /** One an event: what a delivery makes ready happens before the next. */
  #letGo(link: Link): void {
    this.scheduler.after(0, () => {
      if (link.isClogged) return
      const first = link.held.shift()
      if (first === undefined) return
      if (link.held.length > 0) this.#letGo(link)
      deliver(first)
    })
  }

  #delayMs({ delayMinMs, delayMaxMs }: Pick<LinkFaults, 'delayMinMs' | 'delayMaxMs'>): number {
    return delayMaxMs > delayMinMs ? delayMinMs + this.random() * (delayMaxMs - delayMinMs) : delayMinMs
  }
}

function isStanding({ lane, stream }: Delivery): boolean {
  return stream === lane.stream && !lane.link.isCut
}

function deliver(delivery: Delivery): void {
  if (isStanding(delivery)) delivery.deliver()
}

function createLink(from: NodeId, to: NodeId): Link {
  const states: Partial<Record<Lane, LaneState>> = {}
  const link: Link = {
    from,
    to,
    lanes: states as Record<Lane, LaneState>,
    isCut: false,
    isClogged: false,
    held: [],
    faults: undefined,
  }
  for (const lane of lanes)
    states[lane] = {
      lane,
      link,
      stream: 0,
      notBeforeMs: 0,
      waiting: [],
      waitingBytes: 0,
      isTaking: false,
      takenBytes: 0,
    }
  return link
}
