// The order in which a replica applies: one entry after another, in slices, giving way to heartbeats in between, and
// without a promise where an entry needs none. It knows nothing of what applying means.

import type { Entry } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'

/** Longer than this without giving way, and heartbeats wait (slices of at most 10 ms). */
const sliceMs = 10

export interface ApplyLoopOptions {
  readonly clock: Clock
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
    if (this.#isBusy || this.#isStopped || this.#isPaused) return
    const { clock, isHeld, applyOne } = this.#options
    const begunMs = clock.monotonicMs()
    let at = 0
    try {
      while (at < this.#waiting.length && !isHeld()) {
        if (clock.monotonicMs() - begunMs > sliceMs) {
          this.#resumeSoon()
          break
        }
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
    this.#options.clock.defer(() => {
      this.#isResumeDue = false
      this.resume()
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
