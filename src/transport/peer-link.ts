// What this node has to say to one peer on one channel: a bounded queue, sent a frame a tick. It decides what is
// dropped; DialedStream decides when there is a stream.
//
// Raft tolerates loss and not staleness: what was queued for a stream that broke is dropped, and said to be.

import { must } from '../base/assert.ts'
import type { quorate as proto } from '../proto/quorate.js'
import { quorate } from '../proto/quorate.js'
import { DialedStream } from './dialed-stream.ts'
import { createHello, idHex, judgeHello } from './hello.ts'
import { type FrameStats, encodeFrame, messageBytes } from './message-codec.ts'
import type { LogLimit, PeerContext } from './peer-context.ts'
import { frameBytesMax, peerMethods } from './peer-service.ts'
import type { Channel, NodeAddress, RangeMessage } from './transport.ts'

export interface PeerLinkOptions {
  readonly context: PeerContext
  readonly peer: NodeAddress
  readonly channel: Channel
  readonly stats: () => FrameStats
  readonly refusals: LogLimit
  readonly onUnreachable: () => void
  /** The peer drops what we say: our clock is too far ahead of its own. */
  readonly onClockAhead: () => void
  readonly onDown: (wasReady: boolean) => void
}

export interface PeerLinkCounters {
  framesSent: number
  messagesSent: number
  messagesDropped: number
  dials: number
}

const budgetBytes: Readonly<Record<Channel, number>> = {
  control: 1 << 20,
  append: 16 << 20,
}
const outstandingBytesMax: Readonly<Record<Channel, number>> = {
  control: 256 << 10,
  append: 2 << 20,
}
/** Appends may have to queue behind a slow link; that the peer is lost is for the control channel to notice. */
const appendSilenceMs = 10_000

export class PeerLink {
  readonly counters: PeerLinkCounters = {
    framesSent: 0,
    messagesSent: 0,
    messagesDropped: 0,
    dials: 0,
  }
  readonly #options: PeerLinkOptions
  readonly #stream: DialedStream
  #queue: RangeMessage[] = []
  #queuedBytes = 0
  #flushScheduled = false
  #unreachable = false
  #closed = false

  constructor(options: PeerLinkOptions) {
    this.#options = options
    const { context, channel } = options
    const timeoutMs = context.electionTimeoutMs
    this.#stream = new DialedStream({
      clock: context.clock,
      address: options.peer.peerAddress,
      method: channel === 'control' ? peerMethods.Control : peerMethods.Append,
      hello: () => {
        this.counters.dials += 1
        return this.#encode([], createHello(context, options.peer))
      },
      ping: () => this.#encode([]),
      pingIntervalMs: timeoutMs / 3,
      connectTimeoutMs: timeoutMs,
      silenceMs: channel === 'control' ? timeoutMs * 1.5 : Math.max(appendSilenceMs, timeoutMs * 1.5),
      outstandingBytesMax: outstandingBytesMax[channel],
      onMessage: bytes => this.#handleNotice(bytes),
      onReady: () => this.#flush(),
      onDrain: () => this.#flush(),
      onDown: (reason, wasReady) => this.#handleDown(reason, wasReady),
    })
  }

  get ready(): boolean {
    return this.#stream.ready
  }

  send(message: RangeMessage): void {
    this.#queue.push(message)
    this.#queuedBytes += messageBytes(message.message)
    if (this.#queuedBytes > budgetBytes[this.#options.channel]) this.#dropOldest()
    this.#scheduleFlush()
  }

  /** Unless the peer was heard on it less than `silentMs` ago. */
  abandon(reason: string, silentMs: number): void {
    this.#stream.abandon(reason, silentMs)
  }

  close(): void {
    this.#closed = true
    this.#stream.close()
    this.#queue = []
    this.#queuedBytes = 0
  }

  /** The oldest go, the newest stays whatever its size. A quarter at once, so that a full queue does not cost a copy a message. */
  #dropOldest(): void {
    const keepBytes = budgetBytes[this.#options.channel] * 0.75
    let dropped = 0
    while (dropped < this.#queue.length - 1 && this.#queuedBytes > keepBytes) {
      this.#queuedBytes -= messageBytes(must(this.#queue[dropped]).message)
      dropped += 1
    }
    if (dropped === 0) return
    this.#queue.splice(0, dropped)
    this.counters.messagesDropped += dropped
    this.#unreachable = true
  }

  /** One frame for all that is said in this tick. Reports are made here too: never inside the caller's own `send`. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#closed) return
    this.#flushScheduled = true
    this.#options.context.clock.defer(() => {
      this.#flushScheduled = false
      if (this.#closed) return
      this.#flush()
      if (!this.#unreachable) return
      this.#unreachable = false
      this.#options.onUnreachable()
    })
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#stream.writable) {
      let count = 0
      let bytes = 0
      while (count < this.#queue.length) {
        const next = messageBytes(must(this.#queue[count]).message)
        if (count > 0 && bytes + next > frameBytesMax) break
        bytes += next
        count += 1
      }
      const all = count === this.#queue.length
      const messages = all ? this.#queue : this.#queue.splice(0, count)
      if (all) this.#queue = []
      this.#queuedBytes -= bytes
      this.counters.framesSent += 1
      this.counters.messagesSent += count
      this.#stream.write(this.#encode(messages))
    }
  }

  #encode(messages: readonly RangeMessage[], hello?: proto.v1.IHello): Uint8Array {
    const { hybridClock } = this.#options.context
    const { flushMicros, freeBytes, diskBand, draining } = this.#options.stats()
    const clock = hybridClock.acknowledged()
    const rawClock = hybridClock.raw()
    return encodeFrame({
      hello,
      clock,
      rawClock,
      messages,
      flushMicros,
      freeBytes,
      diskBand,
      draining,
    })
  }

  #handleNotice(bytes: Uint8Array): 'welcome' | 'heard' | { refused: string } {
    let notice: proto.v1.IPeerNotice
    try {
      notice = quorate.v1.PeerNotice.decode(bytes)
    } catch {
      return { refused: 'it answered with something that is no PeerNotice' }
    }
    if (notice.code === 'clock-ahead') {
      this.#options.onClockAhead()
      return 'heard'
    }
    if (notice.refusal) {
      if (notice.code === 'superseded') this.#options.context.superseded?.(notice.refusal)
      this.#logRefusal(`refused by ${this.#options.peer.node}: ${notice.refusal}`, notice.code ?? '')
      return { refused: notice.refusal }
    }
    if (!notice.hello) return 'heard'
    const reason = this.#judgeWelcome(notice.hello)
    if (reason === undefined) return 'welcome'
    this.#logRefusal(reason, 'wrong-cluster')
    return { refused: reason }
  }

  /** The address may lead to another node than the one meant; an old peer may not look at `to_node`. */
  #judgeWelcome(hello: proto.v1.IHello): string | undefined {
    const { peer, context } = this.#options
    if (hello.node !== peer.node) {
      return `${peer.peerAddress} is node ${hello.node}, not ${peer.node}: check the peer address of ${peer.node}`
    }
    if (peer.storeId !== '' && idHex(hello.storeId) !== peer.storeId) {
      return `${peer.node} at ${peer.peerAddress} is store ${idHex(hello.storeId)}, not the registered ${peer.storeId}: it was wiped, and joins anew`
    }
    // Not in a cluster yet: it asked to join, and learns from us which one.
    if ((hello.clusterId?.length ?? 0) === 0) return undefined
    const verdict = judgeHello(hello, context)
    return verdict.kind === 'refused' ? verdict.refusal : undefined
  }

  #logRefusal(reason: string, code: string): void {
    const { peer, channel, refusals, context } = this.#options
    if (!refusals.allow(`${peer.node} ${code}`)) return
    context.logger.warn({ peer: peer.node, address: peer.peerAddress, channel, code }, reason)
  }

  #handleDown(reason: string, wasReady: boolean): void {
    const { peer, channel, context } = this.#options
    const fields = {
      peer: peer.node,
      address: peer.peerAddress,
      channel,
      reason,
    }
    if (wasReady) context.logger.info(fields, 'a peer stream broke; dialling again')
    else context.logger.debug(fields, 'a peer could not be reached; dialling again')
    const dropped = this.#queue.length
    this.#queue = []
    this.#queuedBytes = 0
    this.counters.messagesDropped += dropped
    if (dropped > 0 || wasReady) {
      this.#unreachable = true
      this.#scheduleFlush()
    }
    this.#options.onDown(wasReady)
  }
}
