// One Batch stream to one node: requests with ids out, answers in any order back. It notices what never answers, and says
// early when a node that was asked as the leader has gone silent. It knows neither sessions nor retries.
//
// A stream that stands keeps its process alive, so its owner closes it while there is nothing to ask.
//
// Invariant: the callback of every request that was sent runs exactly once, never inside `send`; only after 'no answer' it may
// run once more, with an answer that came late.

import type { ClientDuplexStream } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { closedError } from './call-errors.ts'
import { type Connection, type Dial, bidiStream } from './connection.ts'
import { decodeCallError } from './error-decoding.ts'
import type { Pace } from './pace.ts'
import { type BatchRequest, type BatchResponse, batchMethod } from './wire.ts'

/** `response` may still carry an error of its own; `error` is the connection's. One of them is there. */
export type BatchCallback = (error: KvError | undefined, response: BatchResponse | undefined) => void

interface Waiting {
  readonly callback: BatchCallback
  timer: Timer
  readonly sentMs: number
  leader: string | undefined
  /** The caller was told that there is no answer; it still takes a good one. */
  isLate: boolean
}

export interface SendOptions {
  /** No answer by then: the caller hears so. What becomes of the connection is for the connection to judge. */
  readonly timeoutMs: number
  /**
   * The node's name when it is asked because it leads: should it fall silent, the question is who leads now. Undefined when
   * it is asked for another reason: one that passes a request on to the leader may well have to wait.
   */
  readonly leader: string | undefined
}

/**
 * A leader that answers nothing for so long may have been replaced: less than the election timeouts in use, so that its
 * successor is asked as soon as there is one; more than a healthy cluster takes to commit.
 */
const silenceMs = 250
/** On a stream that has brought no answer yet: where many connect at once, first answers are slow. */
const firstSilenceMs = 1000
/** An answer that is later than this is not taken. */
const lateMs = 15_000
/** Between looks at a leader that stays silent: each costs a call to another node, so they become rarer. */
const inspectMsMin = 100
const inspectMsMax = 2000
const inspectGrowth = 2

type Duplex = ClientDuplexStream<BatchRequest, BatchResponse>

export class BatchStream {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #pace: Pace
  /** Called again and again while a request to the leader waits in silence. */
  readonly #onSilence: (stream: BatchStream) => void
  readonly #waiting = new Map<number, Waiting>()
  #open: { readonly call: Duplex; readonly dial: Dial } | undefined
  #nextId = 1
  #heardMs = 0
  #inspection: Timer | undefined
  #inspectMs = inspectMsMin

  constructor(connection: Connection, clock: Clock, pace: Pace, onSilence: (stream: BatchStream) => void) {
    this.#connection = connection
    this.#clock = clock
    this.#pace = pace
    this.#onSilence = onSilence
  }

  /** A request to the leader has waited so long, and nothing was heard meanwhile, that it may lead no more. */
  get isSilent(): boolean {
    return this.#silentLeader() !== undefined
  }

  /** Whether what waits in silence was sent while another than `leader` was thought to lead. */
  isSilentSinceBefore(leader: string): boolean {
    const before = this.#silentLeader()
    return before !== undefined && before !== leader
  }

  get #silenceMs(): number {
    return this.#pace.patienceMs(this.#heardMs > 0 ? silenceMs : firstSilenceMs)
  }

  /** Who was thought to lead when what waits in silence was sent. */
  #silentLeader(): string | undefined {
    const nowMs = this.#clock.monotonicMs()
    for (const { leader, sentMs } of this.#waiting.values()) {
      if (leader === undefined) continue
      return nowMs - Math.max(sentMs, this.#heardMs) >= this.#silenceMs ? leader : undefined
    }
    return undefined
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0
  }

  /** Whatever waits may have been applied or not. */
  abandon(reason: string): void {
    this.#end(new KvError('unknown-outcome', `${this.#connection.address}: ${reason}`))
  }

  /** `request.id` is set here. */
  send(request: BatchRequest, { timeoutMs, leader }: SendOptions, callback: BatchCallback): void {
    const id = this.#nextId++
    request.id = id
    const timer = this.#clock.setTimer(timeoutMs, () => this.#unanswered(id, timeoutMs))
    this.#waiting.set(id, { callback, timer, sentMs: this.#clock.monotonicMs(), leader, isLate: false })
    if (leader !== undefined) this.#inspection ??= this.#clock.setTimer(this.#silenceMs, () => this.#inspect())
    this.#open ??= this.#openCall()
    this.#connection.asked()
    this.#open.call.write(request)
  }

  /** Ends the stream; the next request opens another. */
  close(): void {
    this.#end(closedError())
  }

  #openCall(): { readonly call: Duplex; readonly dial: Dial } {
    const dial = this.#connection.open()
    const call = bidiStream(dial, batchMethod)
    call.on('data', (response: BatchResponse) => {
      this.#heardMs = this.#clock.monotonicMs()
      this.#connection.heard()
      const waiting = this.#waiting.get(response.id)
      if (waiting === undefined) return
      this.#waiting.delete(response.id)
      this.#pace.took(this.#heardMs - waiting.sentMs)
      waiting.timer.cancel()
      // Of a refusal nobody waits any more: the request went elsewhere.
      if (waiting.isLate && response.error) return
      waiting.callback(undefined, response)
    })
    call.on('error', error => {
      if (this.#open?.call === call) this.#fail(decodeCallError(error, this.#connection.address))
    })
    call.on('end', () => {
      if (this.#open?.call !== call) return
      call.end()
      // After 'end' comes an error if the status says so; it names a better reason than this one.
      this.#clock.defer(() => {
        if (this.#open?.call === call)
          this.#fail(new KvError('unknown-outcome', `${this.#connection.address} ended the stream`))
      })
    })
    return { call, dial }
  }

  #unanswered(id: number, timeoutMs: number): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined || this.#open === undefined) return
    const { dial } = this.#open
    const { address } = this.#connection
    if (!dial.wasReady) {
      // Nothing has left yet, and nothing may leave later. The attempt at a connection goes on, for whoever asks next.
      this.#end(new KvError('unavailable', `no connection to ${address} within ${Math.round(timeoutMs)} ms`))
      return
    }
    const error = new KvError('unknown-outcome', `no answer from ${address} within ${Math.round(timeoutMs)} ms`)
    waiting.isLate = true
    waiting.leader = undefined
    waiting.timer = this.#clock.setTimer(lateMs, () => this.#waiting.delete(id))
    this.#connection.unanswered(dial)
    if (!this.#connection.uses(dial)) this.#end(error)
    waiting.callback(error, undefined)
  }

  #inspect(): void {
    this.#inspection = undefined
    if (this.#waiting.size === 0) return
    const isSilent = this.isSilent
    this.#inspectMs = isSilent ? Math.min(inspectMsMax, this.#inspectMs * inspectGrowth) : inspectMsMin
    this.#inspection = this.#clock.setTimer(this.#inspectMs, () => this.#inspect())
    if (isSilent) this.#onSilence(this)
  }

  #stopInspecting(): void {
    this.#inspection?.cancel()
    this.#inspection = undefined
    this.#inspectMs = inspectMsMin
  }

  /** Also what was written and has not left: it never will. */
  #end(error: KvError): void {
    const call = this.#open?.call
    this.#fail(error)
    call?.cancel()
  }

  #fail(error: KvError): void {
    this.#open = undefined
    this.#stopInspecting()
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { callback, timer, isLate } of waiting) {
      timer.cancel()
      if (!isLate) callback(error, undefined)
    }
  }
}
