// Callers that wait for a condition of the state around them: asked again whenever something may have changed, and
// answered false at their deadline.

interface Waiter {
  readonly isMet: () => boolean
  readonly deadlineMs: number
  readonly resolve: (met: boolean) => void
}

export class ConditionWaiters {
  #waiters: Waiter[] = []
  #isClosed = false

  wait(isMet: () => boolean, deadlineMs: number): Promise<boolean> {
    if (isMet()) return Promise.resolve(true)
    if (this.#isClosed) return Promise.resolve(false)
    return new Promise(resolve => this.#waiters.push({ isMet, deadlineMs, resolve }))
  }

  /** Something changed. */
  check(): void {
    this.#settle(waiter => (waiter.isMet() ? true : undefined))
  }

  /** Time passed. */
  expire(nowMs: number): void {
    this.#settle(waiter => (waiter.isMet() ? true : waiter.deadlineMs <= nowMs ? false : undefined))
  }

  /** Nothing changes any more: whoever waits is answered false, and whoever comes later. */
  close(): void {
    this.#isClosed = true
    this.#settle(() => false)
  }

  #settle(verdict: (waiter: Waiter) => boolean | undefined): void {
    if (this.#waiters.length === 0) return
    const waiting = this.#waiters
    this.#waiters = []
    for (const waiter of waiting) {
      const met = verdict(waiter)
      if (met === undefined) this.#waiters.push(waiter)
      else waiter.resolve(met)
    }
  }
}
