// The order in which a replica applies: one entry after another, in turns, giving way to heartbeats in between, and
// without a promise where an entry needs none. It knows nothing of what applying means.

import type { Entry } from '../raft/types.ts'
import type { ApplyTurn } from './apply-turn.ts'

export interface ApplyLoopOptions {
  readonly turn: ApplyTurn
  /** More is dirty than the engine should hold: go on when `resume` is called. */
  readonly isHeld: () => boolean
  readonly applyOne: (entry: Entry) => Promise<void> | undefined
  /** Nothing is applied after it. */
  readonly onPoisoned: (error: unknown) => void
}

export class ApplyLoop {
  readonly #options: ApplyLoopOptions
  #waiting: Entry[] = []
  #isBusy = false
  #isResumeDue = false
  #isStopped = false
  #isPaused = false
  #idleWaiters: (() => void)[] = []

  constructor(options: ApplyLoopOptions) {
    this.#options = options
  }

  push(entries: readonly Entry[]): void {
    for (const entry of entries) this.#waiting.push(entry)
    this.resume()
  }

  /** What waits is void: a snapshot takes its place. */
  clear(): void {
    this.#waiting = []
  }

  stop(): void {
    this.#isStopped = true
    this.#waiting = []
  }

  /** Resolves once no entry is half applied; none is begun until `unpause`. */
  pause(): Promise<void> {
    this.#isPaused = true
    if (!this.#isBusy) return Promise.resolve()
    return new Promise(resolve => this.#idleWaiters.push(resolve))
  }

  unpause(): void {
    this.#isPaused = false
    this.resume()
  }

  resume(): void {
    if (!this.#isResumeDue) this.#applyWaiting(false)
  }

  #applyWaiting(hasWaited: boolean): void {
    if (this.#isBusy || this.#isStopped || this.#isPaused) return
    const { turn, isHeld, applyOne } = this.#options
    let at = 0
    try {
      while (at < this.#waiting.length && !isHeld()) {
        if (turn.isOver && !(hasWaited && at === 0)) {
          this.#resumeSoon()
          break
        }
        // Every entry is some work, whatever it carries.
        turn.spend(1)
        const pending = applyOne(this.#waiting[at++]!)
        if (pending === undefined) continue
        this.#await(pending)
        break
      }
    } catch (error) {
      this.#poisoned(error)
    }
    this.#waiting = at === this.#waiting.length ? [] : this.#waiting.slice(at)
  }

  #await(pending: Promise<void>): void {
    this.#isBusy = true
    pending.then(
      () => {
        this.#isBusy = false
        this.#idle()
        this.resume()
      },
      (error: unknown) => this.#poisoned(error),
    )
  }

  #resumeSoon(): void {
    if (this.#isResumeDue) return
    this.#isResumeDue = true
    this.#options.turn.next(() => {
      this.#isResumeDue = false
      this.#applyWaiting(true)
    })
  }

  #idle(): void {
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const resolve of waiters) resolve()
  }

  #poisoned(error: unknown): void {
    this.#isBusy = false
    this.stop()
    this.#idle()
    this.#options.onPoisoned(error)
  }
}
