// Where new connections come in, a few in each turn of the event loop. Setting one up costs a fraction of a millisecond; when
// a fleet of clients connects at once, doing it for all in one go would keep heartbeats waiting until followers call an
// election, and nobody would be served. Those that wait are bounded by the connections that a node accepts.

import type { Socket } from 'node:net'
import type { Clock } from '../time/clock.ts'

export class Door {
  readonly #clock: Clock
  readonly #perTurn: number
  readonly #admit: (socket: Socket) => void
  #waiting: Socket[] = []
  #isScheduled = false

  constructor(clock: Clock, perTurn: number, admit: (socket: Socket) => void) {
    this.#clock = clock
    this.#perTurn = perTurn
    this.#admit = admit
  }

  open(socket: Socket): void {
    this.#waiting.push(socket)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return
    this.#isScheduled = true
    this.#clock.defer(() => {
      this.#isScheduled = false
      // Whoever has hung up meanwhile costs no more.
      const here = this.#waiting.filter(socket => !socket.destroyed)
      this.#waiting = here.slice(this.#perTurn)
      for (const socket of here.slice(0, this.#perTurn)) this.#admit(socket)
      this.#schedule()
    })
  }
}
