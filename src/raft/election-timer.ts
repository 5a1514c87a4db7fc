// Ticks until a campaign. Knows nothing of why it is restarted.

import type { RaftOptions } from './types.ts'

export class ElectionTimer {
  readonly #options: RaftOptions
  #elapsedTicks = 0
  #timeoutTicks = 0

  constructor(options: RaftOptions) {
    this.#options = options
    this.restart()
  }

  /** The timeout is drawn anew for each wait: two replicas that split a vote must not do so again (paper 5.2). */
  restart(): void {
    const { electionTimeoutTicks, random } = this.#options
    this.#elapsedTicks = 0
    this.#timeoutTicks = electionTimeoutTicks + random(electionTimeoutTicks)
  }

  /** The leader was heard, or a vote was given: the same wait begins again. */
  postpone(): void {
    this.#elapsedTicks = 0
  }

  /** True: the wait is over. */
  tick(): boolean {
    this.#elapsedTicks++
    return this.#elapsedTicks >= this.#timeoutTicks
  }

  /** Less than the shortest timeout has passed: nobody who heard the same can have campaigned. */
  get isEarly(): boolean {
    return this.#elapsedTicks < this.#options.electionTimeoutTicks
  }
}
