// How a node without a cluster gets into one, and how a member tells its cluster that it has moved: it asks every address
// it knows, again and again, until a leader has recorded it. Addresses make nobody a member; the cluster's answer does
// (DESIGN.md 5).

import { type ClusterId, asClusterId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { isKvError } from '../base/errors.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock, Timer } from '../time/clock.ts'

/** The pause after the first round. Each is half as long again as the one before, up to the longest. */
const pauseFirstMs = 200
const pauseMaxMs = 2_000
const attemptDeadlineMs = 3_000

export interface JoinerOptions {
  /** Looked up for each round: peers may be found meanwhile. */
  readonly addresses: () => readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  /** Uniform in [0, bound). */
  readonly randomInt: (bound: number) => number
  readonly ask: (address: string, deadlineMs: number) => Promise<quorate.v1.IJoinResponse>
  /** This node leads: it records itself. undefined: it does not lead. */
  readonly askOneself: () => Promise<quorate.v1.IJoinResponse | undefined>
  /** Somebody answered, whatever it was. */
  readonly answered: (response: quorate.v1.IJoinResponse) => void
  /** Makes the cluster id durable, and the peers known, before anything else of that cluster is answered. */
  readonly joined: (clusterId: ClusterId, nodes: readonly quorate.v1.INodeRecord[]) => void
  /** No longer needed: this node is a member under its own address, or was made a cluster of its own. */
  readonly isDone: () => boolean
  /** Begins what is said of a round that did not succeed. */
  readonly whatIsMissing: () => string
}

export class Joiner {
  readonly #options: JoinerOptions
  #timer: Timer | undefined
  #isClosed = false
  #lastMessage = ''
  #pauseMs = pauseFirstMs
  #isAsking = false

  constructor(options: JoinerOptions) {
    this.#options = options
  }

  /** Again, too, when something is missing that was there. */
  start(): void {
    if (this.#isAsking || this.#isClosed) return
    this.#isAsking = true
    this.#pauseMs = pauseFirstMs
    void this.#round()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  async #round(): Promise<void> {
    const isOver = await this.#askAll()
    if (isOver || this.#isOver()) {
      this.#isAsking = false
      return
    }
    const { clock, randomInt } = this.#options
    // Not all at once: after an outage every node of a cluster asks.
    const pauseMs = this.#pauseMs / 2 + randomInt(Math.ceil(this.#pauseMs / 2))
    this.#pauseMs = Math.min(this.#pauseMs * 1.5, pauseMaxMs)
    this.#timer = clock.setTimer(pauseMs, () => void this.#round())
  }

  /** Whether nobody has to be asked any more. */
  async #askAll(): Promise<boolean> {
    if (this.#isOver()) return true
    const { clock, addresses, ask, askOneself } = this.#options
    const own = await askOneself()
    if (own !== undefined && this.#take(own, 'this node')) return true
    const queue = [...addresses()]
    const asked = new Set<string>()
    while (queue.length > 0 && !this.#isOver()) {
      const address = queue.shift()!
      if (asked.has(address)) continue
      asked.add(address)
      try {
        const response = await ask(address, clock.monotonicMs() + attemptDeadlineMs)
        if (this.#take(response, address)) return true
        if (response.leaderPeerAddress) queue.unshift(response.leaderPeerAddress)
      } catch (error) {
        this.#say(address, isKvError(error) ? error.message : String(error))
      }
    }
    return false
  }

  /** Whether nobody else has to be asked any more. */
  #take(response: quorate.v1.IJoinResponse, address: string): boolean {
    if (this.#isOver()) return true
    this.#options.answered(response)
    if (this.#isOver()) return true
    if (response.accepted === true && (response.clusterId?.length ?? 0) > 0) {
      this.#options.joined(asClusterId(Buffer.from(response.clusterId!).toString('hex')), response.nodes ?? [])
      return true
    }
    this.#say(address, response.message ?? '')
    return false
  }

  #isOver(): boolean {
    return this.#isClosed || this.#options.isDone()
  }

  /** Each new reason once, not five times a second. */
  #say(address: string, message: string): void {
    if (message === '' || message === this.#lastMessage) return
    this.#lastMessage = message
    this.#options.logger.info({ address }, `${this.#options.whatIsMissing()}: ${message}`)
  }
}
