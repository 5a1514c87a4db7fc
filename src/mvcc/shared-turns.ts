// Bounds what many readers do together in one turn of the event loop. Each alone does little; hundreds of them, of one message,
// would hold up heartbeats for seconds.

/** Some 10 microseconds each. */
const costMax = 100

export class SharedTurns {
  readonly #yieldNow: () => Promise<void>
  #spent = 0
  #next: Promise<void> | undefined

  constructor(yieldNow: () => Promise<void>) {
    this.#yieldNow = yieldNow
  }

  /** Nobody goes on before `next`, and asks again then: others may have been first. */
  get isOver(): boolean {
    return this.#spent >= costMax
  }

  spend(cost: number): void {
    this.#spent += cost
  }

  next(): Promise<void> {
    this.#next ??= this.#yieldNow().then(() => {
      this.#spent = 0
      this.#next = undefined
    })
    return this.#next
  }
}
