// When a leader tells its followers of a commit that no entry has told them of: soon, and not at once. Under load the next
// entries leave before, and a message of its own, with its answer, would cost as much as they do (DESIGN.md 17).

import type { Clock, Timer } from '../time/clock.ts'

/** What a follower's state may lag behind by, beside the way; a round under load takes as long. */
const delayMs = 5

export class CommitNews {
  readonly #clock: Clock
  readonly #tell: () => void
  #timer: Timer | undefined

  constructor(clock: Clock, tell: () => void) {
    this.#clock = clock
    this.#tell = tell
  }

  committed(): void {
    this.#timer ??= this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined
      this.#tell()
    })
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
