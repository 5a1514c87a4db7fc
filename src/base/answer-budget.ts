// How much an answer may come to: a request of a few kilobytes can ask for gigabytes. Whoever gathers an answer takes from its
// budget as it reads, and ends early once that is spent: what is left is asked for again.
//
// Invariants: an empty answer is never ended by its budget, so every request makes some progress; whoever holds bytes never
// waits for room, so the room of a consumer that reads empties.

/** What the answers on their way to one consumer hold together: those being gathered, and those it has not taken yet. */
export class AnswerRoom {
  readonly #bytesMax: number
  #bytes = 0
  #waiters: (() => void)[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get isFull(): boolean {
    return this.#bytes >= this.#bytesMax
  }

  hold(bytes: number): void {
    this.#bytes += bytes
  }

  release(bytes: number): void {
    this.#bytes -= bytes
    if (this.isFull || this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  /** Called once, when there may be room: look again, others were told as well. */
  onRoom(wake: () => void): void {
    this.#waiters.push(wake)
  }
}

/** Beside the bytes of keys and values: what an item takes until it is encoded. */
const itemBytes = 32

/** Of one request. */
export class AnswerBudget {
  readonly #bytesMax: number
  readonly #room: AnswerRoom | undefined
  #bytes = 0

  constructor(bytesMax: number, room?: AnswerRoom) {
    this.#bytesMax = bytesMax
    this.#room = room
  }

  /** Nothing more may be read for this answer. */
  get isSpent(): boolean {
    return this.#bytes >= this.#bytesMax || (this.#bytes > 0 && this.#room?.isFull === true)
  }

  /** Nothing was read, and nothing may be before there is room: see `onRoom`. */
  get mustWait(): boolean {
    return this.#bytes === 0 && this.#room?.isFull === true
  }

  /** An item was read, with so many bytes of key and value. */
  take(bytes: number): void {
    this.#bytes += bytes + itemBytes
    this.#room?.hold(bytes + itemBytes)
  }

  onRoom(wake: () => void): void {
    if (this.mustWait) this.#room?.onRoom(wake)
    else wake()
  }

  /** The answer was handed over, or given up. */
  release(): void {
    this.#room?.release(this.#bytes)
    this.#bytes = 0
  }
}
