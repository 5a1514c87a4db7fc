// The answering side of a Control or Append stream: judges the Hello and the clocks, hands messages over, answers pings.
// Whatever arrives, the process stands: what is no frame ends its own stream.

import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import type { NodeId } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { ClockGate } from './clock-gate.ts'
import { type Speaker, createHello, judgeHello } from './hello.ts'
import { incarnationOf } from './incarnation.ts'
import { type Frame, type FrameStats, decodeFrame } from './message-codec.ts'
import type { LogLimit, PeerContext } from './peer-context.ts'
import { widenReceiveWindow } from './receive-window.ts'
import type { Channel, RangeMessage } from './transport.ts'

export type FrameStream = ServerDuplexStream<Uint8Array, Uint8Array>

export interface FrameReceiverOptions {
  readonly context: PeerContext
  readonly gate: ClockGate
  readonly refusals: LogLimit
  /** A frame has come that was not dropped. */
  readonly onFrame: (from: NodeId, incarnation: number, stats: FrameStats) => void
  readonly onMessages: (from: NodeId, messages: readonly RangeMessage[]) => void
}

/** A stream that has not introduced itself by then is closed. */
const helloTimeoutMs = 2_000
/** While messages flow, an answer so often shows the sender that they arrive. */
const noticeIntervalMs = 100
const clockNoticeIntervalMs = 1_000

const emptyNotice = quorate.v1.PeerNotice.encode({}).finish()

interface NewestStream {
  readonly stream: FrameStream
  readonly incarnation: number
  /** When it last brought a frame. */
  heardMs: number
}

export class FrameReceiver {
  readonly #options: FrameReceiverOptions
  readonly #open = new Set<FrameStream>()
  /** The newest stream of each node and channel: what comes late on an older one is dropped, so order holds. */
  readonly #newest = new Map<string, NewestStream>()

  constructor(options: FrameReceiverOptions) {
    this.#options = options
  }

  serve(channel: Channel, stream: FrameStream): void {
    const { clock } = this.#options.context
    let speaker: Speaker | undefined
    let noticeMs = Number.NEGATIVE_INFINITY
    let clockNoticeMs = Number.NEGATIVE_INFINITY
    this.#open.add(stream)
    if (channel === 'append') widenReceiveWindow(stream)
    const helloTimer = clock.setTimer(helloTimeoutMs, () =>
      this.#refuse(stream, status.DEADLINE_EXCEEDED, 'no Hello: this is the port where nodes of a cluster speak'),
    )
    stream.on('close', () => {
      helloTimer.cancel()
      this.#open.delete(stream)
      if (speaker === undefined) return
      const key = `${speaker.node} ${channel}`
      if (this.#newest.get(key)?.stream === stream) this.#newest.delete(key)
    })
    stream.on('error', () => {})
    stream.on('end', () => stream.end())
    stream.on('data', (bytes: Uint8Array) => {
      if (!this.#open.has(stream)) return
      let frame: Frame
      try {
        frame = decodeFrame(bytes)
      } catch (error) {
        this.#refuse(stream, status.INVALID_ARGUMENT, error instanceof Error ? error.message : 'not a frame')
        return
      }
      if (speaker === undefined) {
        speaker = this.#judge(channel, stream, frame)
        helloTimer.cancel()
        if (speaker === undefined) return
      }
      const { node } = speaker
      const newest = this.#newest.get(`${node} ${channel}`)
      if (newest?.stream !== stream) return
      const now = clock.monotonicMs()
      newest.heardMs = now
      if (!this.#options.gate.admit(node, frame.clock, frame.rawClock)) {
        if (now - clockNoticeMs < clockNoticeIntervalMs) {
          answer(stream, emptyNotice)
        } else {
          clockNoticeMs = now
          answer(stream, encodeRefusal('clock-ahead', this.#options.gate.refusal(node)))
        }
        return
      }
      if (frame.hello === undefined && (frame.messages.length === 0 || now - noticeMs >= noticeIntervalMs)) {
        noticeMs = now
        answer(stream, emptyNotice)
      }
      this.#options.onFrame(node, newest.incarnation, frame)
      // Outside every try: a failed assertion of the core must reach the process.
      if (frame.messages.length > 0) this.#options.onMessages(node, frame.messages)
    })
  }

  close(): void {
    for (const stream of this.#open) stream.end()
    this.#open.clear()
    this.#newest.clear()
  }

  #judge(channel: Channel, stream: FrameStream, frame: Frame): Speaker | undefined {
    const { context } = this.#options
    if (frame.hello === undefined) {
      this.#refuse(stream, status.INVALID_ARGUMENT, 'the first frame carries no Hello')
      return undefined
    }
    const verdict = judgeHello(frame.hello, context)
    if (verdict.kind === 'refused') {
      this.#turnAway(channel, stream, frame.hello.node ?? '', verdict.code, verdict.refusal)
      return undefined
    }
    const { node, lineage } = verdict.speaker
    if (this.#isSpokenFor(node, incarnationOf(lineage))) {
      const reason = `another process with the data of ${node} is connected: a copy of them takes over nothing. When that one has ended, this one is let in`
      this.#turnAway(channel, stream, node, 'unavailable', reason)
      return undefined
    }
    const key = `${node} ${channel}`
    const older = this.#newest.get(key)?.stream
    this.#newest.set(key, { stream, incarnation: incarnationOf(lineage), heardMs: context.clock.monotonicMs() })
    older?.end()
    // Without an address it cannot be dialled, and there is nothing to tell.
    if (frame.hello.record?.peerAddress) context.heard?.(frame.hello.record, lineage)
    answer(stream, quorate.v1.PeerNotice.encode({ hello: createHello(context) }).finish())
    return verdict.speaker
  }

  /** By another incarnation that was heard lately: whether it has moved or runs twice, a second one cuts nobody off. */
  #isSpokenFor(node: NodeId, incarnation: number): boolean {
    const { clock, electionTimeoutMs } = this.#options.context
    const now = clock.monotonicMs()
    return (['control', 'append'] as const).some(channel => {
      const newest = this.#newest.get(`${node} ${channel}`)
      return newest !== undefined && newest.incarnation !== incarnation && now - newest.heardMs <= electionTimeoutMs
    })
  }

  #turnAway(channel: Channel, stream: FrameStream, node: string, code: string, refusal: string): void {
    const { context, refusals } = this.#options
    if (refusals.allow(`in ${stream.getPeer().replace(/:\d+$/, '')} ${node} ${code}`))
      context.logger.warn({ peer: node, channel, code }, `refused a peer: ${refusal}`)
    answer(stream, encodeRefusal(code, refusal))
    this.#open.delete(stream)
    stream.end()
  }

  #refuse(stream: FrameStream, code: status, details: string): void {
    if (!this.#open.delete(stream) || stream.destroyed) return
    stream.emit('error', { code, details })
  }
}

/** A dialler that reads nothing gets no more answers, and so finds out by its own watchdog. */
function answer(stream: FrameStream, notice: Uint8Array): void {
  if (!stream.writableNeedDrain && !stream.writableEnded && !stream.destroyed) stream.write(notice)
}

function encodeRefusal(code: string, refusal: string): Uint8Array {
  return quorate.v1.PeerNotice.encode({ code, refusal }).finish()
}
