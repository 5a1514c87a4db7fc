// How a node without a cluster gets into one: it asks the addresses it was given, again and again, until a leader has
// made it a learner. Addresses make nobody a member; the cluster's answer does (DESIGN.md 5).

import { type ClusterId, asClusterId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { isKvError } from '../base/errors.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock, Timer } from '../time/clock.ts'

const attemptEveryMs = 200
const attemptDeadlineMs = 3_000

export interface JoinerOptions {
  readonly addresses: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  readonly ask: (address: string, deadlineMs: number) => Promise<quorate.v1.IJoinResponse>
  /** Makes the cluster id durable, and the peers known, before anything else of that cluster is answered. */
  readonly joined: (clusterId: ClusterId, nodes: readonly quorate.v1.INodeRecord[]) => void
  /** No longer needed: this node is a member, or was made a cluster of its own. */
  readonly isDone: () => boolean
}

export class Joiner {
  readonly #options: JoinerOptions
  #timer: Timer | undefined
  #isClosed = false
  #lastMessage = ''

  constructor(options: JoinerOptions) {
    this.#options = options
  }

  start(): void {
    void this.#round()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  async #round(): Promise<void> {
    const queue = [...this.#options.addresses]
    const asked = new Set<string>()
    while (queue.length > 0 && !this.#isOver()) {
      const address = queue.shift()!
      if (asked.has(address)) continue
      asked.add(address)
      try {
        const response = await this.#options.ask(address, this.#options.clock.monotonicMs() + attemptDeadlineMs)
        if (this.#isOver()) return
        if (response.accepted === true && (response.clusterId?.length ?? 0) > 0) {
          this.#options.joined(asClusterId(Buffer.from(response.clusterId!).toString('hex')), response.nodes ?? [])
          return
        }
        if (response.leaderPeerAddress) queue.unshift(response.leaderPeerAddress)
        this.#say(address, response.message ?? '')
      } catch (error) {
        this.#say(address, isKvError(error) ? error.message : String(error))
      }
    }
    if (this.#isOver()) return
    this.#timer = this.#options.clock.setTimer(attemptEveryMs, () => void this.#round())
  }

  #isOver(): boolean {
    return this.#isClosed || this.#options.isDone()
  }

  /** Each new reason once, not five times a second. */
  #say(address: string, message: string): void {
    if (message === '' || message === this.#lastMessage) return
    this.#lastMessage = message
    this.#options.logger.info({ address }, `not in a cluster yet: ${message}`)
  }
}
