// Configuration changes that were proposed here and wait to be applied.

import type { Index, Term } from '../base/ids.ts'

interface Waiter {
  readonly index: Index
  readonly term: Term
  readonly deadlineMs: number
  readonly resolve: (applied: boolean) => void
}

export class ConfigurationProposals {
  #waiters: Waiter[] = []

  /** True once the entry is applied; false when another took its place, or nobody will know. */
  wait(index: Index, term: Term, deadlineMs: number): Promise<boolean> {
    return new Promise(resolve => this.#waiters.push({ index, term, deadlineMs, resolve }))
  }

  /** Called every tick: a quorum that answers heartbeats may still not commit. */
  expire(nowMs: number): void {
    const late = this.#waiters.filter(waiter => waiter.deadlineMs <= nowMs)
    if (late.length === 0) return
    this.#waiters = this.#waiters.filter(waiter => waiter.deadlineMs > nowMs)
    for (const waiter of late) waiter.resolve(false)
  }

  applied(index: Index, term: Term): void {
    const met = this.#waiters.filter(waiter => waiter.index <= index)
    this.#waiters = this.#waiters.filter(waiter => waiter.index > index)
    for (const waiter of met) waiter.resolve(waiter.index === index && waiter.term === term)
  }

  refuseAll(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve(false)
  }
}
