// Linearizable reads of one replica, in rounds: all that arrived while a round was under way share the next one
// (dissertation 6.4). It knows neither Raft nor the state: it asks for a round, and is told how it ended.
//
// Invariants: a reader joins only a round that begins after it arrived; a retry is a new round; each is answered once.

import type { Index } from '../base/ids.ts'

export type ReadPermit =
  /** Everything acknowledged before the call is at or below `index`, which is applied here. */
  { readonly kind: 'ready'; readonly index: Index } | { readonly kind: 'not-leader' } | { readonly kind: 'deadline' }

export interface ReadRounds {
  /** Starts a round; undefined: impossible now (no leader, or none of its term is committed), try again later. */
  begin(): number | undefined
  applied(): Index
  nowMs(): number
}

interface Waiter {
  readonly deadlineMs: number
  readonly resolve: (permit: ReadPermit) => void
  readonly onBegun: () => void
}

export class ReadQueue {
  readonly #rounds: ReadRounds
  readonly #roundTimeoutMs: number
  #arrived: Waiter[] = []
  #round: { readonly context: number; readonly begunMs: number; readonly waiters: Waiter[] } | undefined
  /** Confirmed, and waiting until their index is applied; in index order. */
  #confirmed: { readonly index: Index; readonly waiters: Waiter[] }[] = []
  #isClosed = false

  /** `roundTimeoutMs`: a round unanswered for so long is begun again, as a new one (its message may be lost). */
  constructor(rounds: ReadRounds, roundTimeoutMs: number) {
    this.#rounds = rounds
    this.#roundTimeoutMs = roundTimeoutMs
  }

  get isIdle(): boolean {
    return this.#arrived.length === 0 && this.#round === undefined && this.#confirmed.length === 0
  }

  /** `onBegun`: the round that may permit it begins; called again when that one is lost and another takes its place. */
  wait(deadlineMs: number, onBegun: () => void = () => {}): Promise<ReadPermit> {
    if (this.#isClosed) return Promise.resolve({ kind: 'not-leader' })
    return new Promise(resolve => {
      this.#arrived.push({ deadlineMs, resolve, onBegun })
    })
  }

  /** Begins the next round where none is under way. */
  maybeBegin(): boolean {
    if (this.#round !== undefined || this.#arrived.length === 0) return false
    const waiters = this.#arrived
    const context = this.#rounds.begin()
    if (context === undefined) return false
    this.#arrived = []
    this.#round = { context, begunMs: this.#rounds.nowMs(), waiters }
    for (const waiter of waiters) waiter.onBegun()
    return true
  }

  roundEnded(context: number, index: Index, confirmed: boolean): void {
    const round = this.#round
    if (round === undefined || round.context !== context) return
    this.#round = undefined
    if (!confirmed) this.#arrived = [...round.waiters, ...this.#arrived]
    else if (index <= this.#rounds.applied())
      for (const waiter of round.waiters) waiter.resolve({ kind: 'ready', index })
    else this.#confirmed.push({ index, waiters: round.waiters })
  }

  /** The leader or the term is another: a round of the old one never ends. */
  roundsLost(): void {
    const round = this.#round
    if (round === undefined) return
    this.#round = undefined
    this.#arrived = [...round.waiters, ...this.#arrived]
  }

  appliedTo(index: Index): void {
    while (this.#confirmed.length > 0 && this.#confirmed[0]!.index <= index) {
      const confirmed = this.#confirmed.shift()!
      for (const waiter of confirmed.waiters) waiter.resolve({ kind: 'ready', index: confirmed.index })
    }
  }

  /** Called every tick. */
  expire(nowMs: number): void {
    if (this.#round !== undefined && nowMs - this.#round.begunMs > this.#roundTimeoutMs) this.roundsLost()
    this.#arrived = unexpired(this.#arrived, nowMs)
    // Applying may stand still: who waits for it waits no longer than it said.
    if (this.#confirmed.length > 0)
      this.#confirmed = this.#confirmed
        .map(({ index, waiters }) => ({ index, waiters: unexpired(waiters, nowMs) }))
        .filter(({ waiters }) => waiters.length > 0)
  }

  /** Nobody drives it any more: whoever waits is refused, and whoever comes. */
  close(): void {
    this.#isClosed = true
    this.roundsLost()
    const waiters = [...this.#arrived, ...this.#confirmed.flatMap(item => item.waiters)]
    this.#arrived = []
    this.#confirmed = []
    for (const waiter of waiters) waiter.resolve({ kind: 'not-leader' })
  }
}

/** Those that may still wait; the others are told. */
function unexpired(waiters: Waiter[], nowMs: number): Waiter[] {
  if (!waiters.some(waiter => waiter.deadlineMs <= nowMs)) return waiters
  return waiters.filter(waiter => {
    if (waiter.deadlineMs > nowMs) return true
    waiter.resolve({ kind: 'deadline' })
    return false
  })
}
