// The sockets of the client port, and for each the budget of its Batch streams. gRPC gives a handler no way to cut a
// client that reads nothing: even the status would wait behind the unread data. Its socket does.
//
// Invariant: a connection holds at most its budget, plus the requests that the streams had read when it was reached: what
// answers hold is half of it, whatever those requests ask for.

import type { Socket } from 'node:net'
import { AnswerRoom } from '../base/answer-budget.ts'
import type { Logger } from '../base/logger.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { ServerLimits } from './limits.ts'

interface PausableStream {
  pause(): unknown
  resume(): unknown
}

export class Connection {
  /** What its answers hold: being gathered, or not taken yet. */
  readonly answers: AnswerRoom
  readonly #clock: Clock
  readonly #limits: ServerLimits
  readonly #cut: () => void
  readonly #streams = new Set<PausableStream>()
  #bytes = 0
  #batches = 0
  #unreadBytes = 0
  #isPaused = false
  #progressMs = 0
  #watch: Timer | undefined

  constructor(clock: Clock, limits: ServerLimits, cut: () => void) {
    this.#clock = clock
    this.#limits = limits
    this.#cut = cut
    this.answers = new AnswerRoom(limits.inFlightBytesMax / 2)
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  open(stream: PausableStream): void {
    this.#streams.add(stream)
    if (this.#isPaused) stream.pause()
  }

  close(stream: PausableStream): void {
    this.#streams.delete(stream)
  }

  requestBegun(bytes: number): void {
    this.#batches++
    this.#add(bytes)
  }

  requestDone(bytes: number): void {
    this.#batches--
    this.#remove(bytes)
  }

  responseQueued(bytes: number): void {
    if (this.#unreadBytes === 0) this.#progressMs = this.#clock.monotonicMs()
    this.#unreadBytes += bytes
    this.answers.hold(bytes)
    this.#add(bytes)
    if (this.answers.isFull) this.#watchReader()
  }

  /** The client took it, or its stream is gone. */
  responseDone(bytes: number): void {
    this.#progressMs = this.#clock.monotonicMs()
    this.#unreadBytes -= bytes
    this.answers.release(bytes)
    this.#remove(bytes)
    this.#maybeEndWatch()
  }

  dispose(): void {
    this.#watch?.cancel()
    this.#watch = undefined
  }

  #add(bytes: number): void {
    this.#bytes += bytes
    const { inFlightBytesMax, inFlightBatchesMax } = this.#limits
    if (this.#isPaused || (this.#bytes <= inFlightBytesMax && this.#batches <= inFlightBatchesMax)) return
    this.#isPaused = true
    for (const stream of this.#streams) stream.pause()
    this.#watchReader()
  }

  #remove(bytes: number): void {
    this.#bytes -= bytes
    const { inFlightBytesMax, inFlightBatchesMax } = this.#limits
    // Half: so that reading does not stop and go with every message.
    if (!this.#isPaused || this.#bytes > inFlightBytesMax / 2 || this.#batches > inFlightBatchesMax / 2) return
    this.#isPaused = false
    this.#maybeEndWatch()
    for (const stream of this.#streams) stream.resume()
  }

  /** Its requests, or its answers, have no more room: it must read, or it is cut. */
  #watchReader(): void {
    if (this.#watch === undefined) this.#startWatch(this.#limits.slowReaderMs)
  }

  #maybeEndWatch(): void {
    if (!this.#isPaused && !this.answers.isFull) this.dispose()
  }

  #startWatch(delayMs: number): void {
    this.#watch = this.#clock.setTimer(delayMs, () => {
      this.#maybeEndWatch()
      if (this.#watch === undefined) return
      const idleMs = this.#clock.monotonicMs() - this.#progressMs
      const { slowReaderMs } = this.#limits
      if (this.#unreadBytes > 0 && idleMs >= slowReaderMs) this.#cut()
      else this.#startWatch(this.#unreadBytes > 0 ? slowReaderMs - idleMs : slowReaderMs)
    })
  }
}

export class Connections {
  readonly #clock: Clock
  readonly #limits: ServerLimits
  readonly #logger: Logger
  readonly #byPeer = new Map<string, { readonly connection: Connection; readonly socket: Socket }>()
  #onEmpty: (() => void) | undefined

  constructor(clock: Clock, limits: ServerLimits, logger: Logger) {
    this.#clock = clock
    this.#limits = limits
    this.#logger = logger
  }

  get count(): number {
    return this.#byPeer.size
  }

  add(socket: Socket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`
    const connection = new Connection(this.#clock, this.#limits, () => {
      const { slowReaderMs } = this.#limits
      this.#logger.warn({ peer, slowReaderMs }, 'cut a client that reads nothing')
      socket.destroy()
    })
    this.#byPeer.set(peer, { connection, socket })
    socket.on('error', error => this.#logger.debug({ peer, error }, 'a client connection broke'))
    socket.on('close', () => {
      connection.dispose()
      this.#byPeer.delete(peer)
      if (this.#byPeer.size === 0) this.#onEmpty?.()
    })
  }

  /** By `call.getPeer()`. A socket that has just closed gets a budget that nobody shares. */
  of(peer: string): Connection {
    return this.#byPeer.get(peer)?.connection ?? new Connection(this.#clock, this.#limits, () => {})
  }

  /** Resolves once every connection is closed, or after `graceMs`; then closes the rest. */
  async drain(graceMs: number): Promise<void> {
    if (this.#byPeer.size === 0) return
    await new Promise<void>(resolve => {
      const timer = this.#clock.setTimer(graceMs, resolve)
      this.#onEmpty = () => {
        timer.cancel()
        resolve()
      }
    })
    for (const { socket } of this.#byPeer.values()) socket.destroy()
  }
}
