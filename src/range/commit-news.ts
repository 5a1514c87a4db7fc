// When a leader tells its followers of a commit that no entry has told them of: soon, and not at once. Under load the next
// entries leave before, and a message of its own, with its answer, would cost as much as they do (DESIGN.md 17).

import { asIndex, type Index } from '../base/ids.ts'
import type { Clock, Timer } from '../time/clock.ts'

/** What a follower's state may lag behind by, or twice as much, beside the way; a round under load takes as long. */
const delayMs = 5

export class CommitNews {
  readonly #clock: Clock
  readonly #tell: (commit: Index) => void
  #timer: Timer | undefined
  #newest = asIndex(0)

  /** `tell`: of what was committed up to there, whoever has not heard of it. What came later has time until the next. */
  constructor(clock: Clock, tell: (commit: Index) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  committed(commit: Index): void {
    this.#newest = commit
    if (this.#timer === undefined) this.#wait(commit)
  }

  #wait(commit: Index): void {
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined
      // Before, so that whoever closes it then leaves no timer behind.
      if (this.#newest > commit) this.#wait(this.#newest)
      this.#tell(commit)
    })
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
