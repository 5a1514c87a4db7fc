// Virtual time: one queue of events for a whole simulated world, and a Clock for every process in it.
//
// Between two events everything that is ready runs: each event has an immediate of Node's to itself, and Node drains all
// microtasks between immediates. Same calls, same order: events are ordered by time, then by kind (what arrives from
// outside, what was deferred, timers), then by when they were asked for.

import { assert } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Clock, Timer } from '../../src/time/clock.ts'

/** At one instant arrivals come before what was deferred, and that before timers, as in Node's loop. */
type Rank = 0 | 1 | 2
const arrivalRank = 0
const deferredRank = 1
const timerRank = 2

/** Immediates queued at once; the ones not needed do nothing. */
const batchEvents = 64
/** More than this at one instant is a loop that waits for time to pass. */
const instantEventsMax = 1_000_000
const timerDelayMaxMs = 0x7fff_ffff

class SimEvent implements Timer {
  atMs: number
  sequence: number
  readonly rank: Rank
  readonly owner: SimClock | undefined
  callback: (() => void) | undefined
  readonly #scheduler: SimScheduler

  constructor(
    scheduler: SimScheduler,
    atMs: number,
    rank: Rank,
    owner: SimClock | undefined,
    callback: (() => void) | undefined,
  ) {
    this.#scheduler = scheduler
    this.atMs = atMs
    this.sequence = 0
    this.rank = rank
    this.owner = owner
    this.callback = callback
  }

  cancel(): void {
    if (this.callback === undefined) return
    this.callback = undefined
    this.#scheduler.noteCancelled()
  }
}

export interface RunOptions {
  /** Stops before the first event after this, and sets the time to it. */
  readonly untilMs?: number
  /** Asked after each event and all that it made ready. */
  readonly until?: () => boolean
  /** Called after each event and all that it made ready; what it throws ends the run. */
  readonly afterEvent?: () => void
}

/** Why a run ended: its condition holds, its time is up, or nothing is left to happen. */
export type RunEnd = 'condition' | 'time' | 'idle'

export class SimScheduler {
  /** Virtual milliseconds since the beginning, with fractions. */
  nowMs = 0
  /** Events run so far. */
  eventCount = 0
  #heap: SimEvent[] = []
  #sequence = 0
  #cancelledCount = 0
  #instantEvents = 0

  /** An event of the world itself, which no process's end or pause holds up. Never runs synchronously. */
  schedule(atMs: number, callback: () => void): Timer {
    return this.push(new SimEvent(this, Math.max(atMs, this.nowMs), arrivalRank, undefined, callback))
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.schedule(this.nowMs + delayMs, callback)
  }

  /** Runs event after event; resolves once no microtask of the last one is left. */
  run(options: RunOptions = {}): Promise<RunEnd> {
    const { untilMs = Infinity, until, afterEvent } = options
    return new Promise((resolve, reject) => {
      let left = 0
      let isDone = false
      let hasRun = false
      const turn = (): void => {
        left--
        if (isDone) return
        try {
          if (hasRun) afterEvent?.()
          hasRun = true
          const end = until?.() === true ? 'condition' : this.#runOne(untilMs)
          if (end !== undefined) {
            isDone = true
            resolve(end)
            return
          }
        } catch (error) {
          isDone = true
          reject(error)
          return
        }
        if (left === 0) queue()
      }
      const queue = (): void => {
        left = batchEvents
        for (let i = 0; i < batchEvents; i++) setImmediate(turn)
      }
      queue()
    })
  }

  /** Runs one event and all that it makes ready; false when there was none. */
  async step(): Promise<boolean> {
    const before = this.eventCount
    await this.run({ until: () => this.eventCount > before })
    return this.eventCount > before
  }

  push(event: SimEvent): SimEvent {
    event.sequence = this.#sequence++
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above] as SimEvent
      if (!isBefore(event, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = event
    return event
  }

  noteCancelled(): void {
    this.#cancelledCount++
    if (this.#cancelledCount > 1_000 && this.#cancelledCount > this.#heap.length / 2) {
      this.#keep(event => event.callback !== undefined)
      this.#cancelledCount = 0
    }
  }

  /** Nothing that `owner` waits for happens any more. */
  drop(owner: SimClock): void {
    this.#keep(event => event.owner !== owner)
  }

  #keep(isKept: (event: SimEvent) => boolean): void {
    // A sorted array is a heap.
    this.#heap = this.#heap.filter(isKept).sort((a, b) => (isBefore(a, b) ? -1 : 1))
  }

  #runOne(untilMs: number): RunEnd | undefined {
    for (;;) {
      const event = this.#heap[0]
      if (event === undefined || event.atMs > untilMs) {
        if (untilMs !== Infinity) this.nowMs = Math.max(this.nowMs, untilMs)
        return event === undefined && untilMs === Infinity ? 'idle' : 'time'
      }
      this.#popFirst()
      const { callback, owner } = event
      if (callback === undefined) {
        if (this.#cancelledCount > 0) this.#cancelledCount--
        continue
      }
      this.#instantEvents = event.atMs > this.nowMs ? 0 : this.#instantEvents + 1
      assert(this.#instantEvents < instantEventsMax, `time stands still at ${this.nowMs} ms: something waits in a loop`)
      this.nowMs = event.atMs
      if (owner !== undefined && !owner.admits(event)) continue
      event.callback = undefined
      this.eventCount++
      if (owner === undefined) callback()
      else owner.guard(callback)
      return undefined
    }
  }

  #popFirst(): void {
    const heap = this.#heap
    const last = heap.pop() as SimEvent
    const { length } = heap
    if (length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= length) break
      if (below + 1 < length && isBefore(heap[below + 1] as SimEvent, heap[below] as SimEvent)) below++
      const child = heap[below] as SimEvent
      if (!isBefore(child, last)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs
  return a.rank === b.rank ? a.sequence < b.sequence : a.rank < b.rank
}

/** A machine's clock chip: it outlives the processes that read it. */
export class SimWall {
  readonly scheduler: SimScheduler
  #anchorMs: number
  #unixMs: number
  #monotonicMs = 0
  #rate = 1
  #isFrozen = false

  constructor(scheduler: SimScheduler, unixMs: number) {
    this.scheduler = scheduler
    this.#anchorMs = scheduler.nowMs
    this.#unixMs = unixMs
  }

  get rate(): number {
    return this.#rate
  }

  unixMs(): number {
    return Math.floor(this.#isFrozen ? this.#unixMs : this.#unixMs + this.#passedMs())
  }

  monotonicMs(): number {
    return this.#monotonicMs + this.#passedMs()
  }

  /** Moves the wall clock, back when negative. */
  jump(ms: number): void {
    this.#settle()
    this.#unixMs += ms
  }

  /** 0.001 gains a millisecond a second, on the wall and the monotonic clock alike. */
  setDrift(ratio: number): void {
    assert(ratio > -1, 'time goes on')
    this.#settle()
    this.#rate = 1 + ratio
  }

  /** The wall clock stands still; timers and the monotonic clock go on. */
  freeze(): void {
    this.#settle()
    this.#isFrozen = true
  }

  /** It goes on from where it stood. */
  thaw(): void {
    this.#settle()
    this.#isFrozen = false
  }

  #passedMs(): number {
    return (this.scheduler.nowMs - this.#anchorMs) * this.#rate
  }

  #settle(): void {
    const passedMs = this.#passedMs()
    if (!this.#isFrozen) this.#unixMs += passedMs
    this.#monotonicMs += passedMs
    this.#anchorMs = this.scheduler.nowMs
  }
}

export interface SimClockOptions {
  readonly wall: SimWall
  /** What makes a machine uneven; without it everything is on time. */
  readonly prng?: Prng
  /** A timer is late by up to this. */
  readonly timerLateMaxMs?: number
  /** A turn of the event loop, until what was deferred runs, takes up to this. */
  readonly turnMaxMs?: number
  /** One reading of the monotonic clock in so many finds that `stallMs` passed since the last one: the machine was busy. */
  readonly stallEvery?: number
  readonly stallMs?: number
  /** Something of this process runs now. */
  readonly onRun?: () => void
  /** An error that nobody caught, as it would end a process; without it the run ends with it. */
  readonly onUncaught?: (error: unknown) => void
}

/** The clock of one process, from its start to its end; the next incarnation gets a fresh one over the same wall. */
export class SimClock implements Clock {
  readonly wall: SimWall
  readonly #scheduler: SimScheduler
  readonly #options: SimClockOptions
  #state: 'running' | 'paused' | 'dead' = 'running'
  /** What came due during a pause, in the order in which it came due. */
  #held: SimEvent[] = []
  /** The monotonic clock shows at least this. */
  #floorMs = 0

  constructor(options: SimClockOptions) {
    this.#options = options
    this.wall = options.wall
    this.#scheduler = options.wall.scheduler
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  get isPaused(): boolean {
    return this.#state === 'paused'
  }

  /** A value, not a method: callers hand it on by itself. */
  readonly unixMs = (): number => this.wall.unixMs()

  monotonicMs(): number {
    const { prng, stallEvery = 0, stallMs = 0 } = this.#options
    let ms = Math.max(this.#floorMs, this.wall.monotonicMs())
    if (prng !== undefined && stallEvery > 0 && prng.below(stallEvery) === 0) ms += stallMs
    this.#floorMs = ms
    return ms
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    assert(delayMs <= timerDelayMaxMs, `a timer of ${delayMs} ms would fire at once`)
    // Node's timers: whole milliseconds, and at least one.
    const wholeMs = delayMs >= 1 ? Math.trunc(delayMs) : 1
    const aheadMs = Math.max(0, this.#floorMs - this.wall.monotonicMs())
    return this.#push(
      (wholeMs + aheadMs) / this.wall.rate + this.#upTo(this.#options.timerLateMaxMs),
      timerRank,
      callback,
    )
  }

  defer(callback: () => void): void {
    this.#push(this.#upTo(this.#options.turnMaxMs), deferredRank, callback)
  }

  /** Something from outside is here: it is handled at once, or after the pause, or, the process being dead, never. */
  arrive(callback: () => void): void {
    if (this.#state === 'running') this.guard(callback)
    else if (this.#state === 'paused')
      this.#held.push(new SimEvent(this.#scheduler, this.#scheduler.nowMs, arrivalRank, this, callback))
  }

  /** What a disk or a network will have done after `delayMs`; never synchronously. */
  arriveAfter(delayMs: number, callback: () => void): Timer {
    return this.#push(delayMs, arrivalRank, callback)
  }

  /** SIGSTOP: nothing of this process runs. Its clocks go on. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused'
  }

  /** SIGCONT: first what arrived meanwhile, then what was deferred, then the timers that came due. */
  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    for (const event of held) {
      event.atMs = this.#scheduler.nowMs
      this.#scheduler.push(event)
    }
  }

  /** The process ends here: nothing that it waited for happens any more. */
  kill(): void {
    this.#state = 'dead'
    this.#held = []
    this.#scheduler.drop(this)
  }

  /** For the scheduler: whether the event may run now. */
  admits(event: SimEvent): boolean {
    if (this.#state === 'paused') this.#held.push(event)
    return this.#state === 'running'
  }

  /** Runs `callback` as this process: what it throws is this process's end. */
  guard(callback: () => void): void {
    const { onRun, onUncaught } = this.#options
    onRun?.()
    if (onUncaught === undefined) {
      callback()
      return
    }
    try {
      callback()
    } catch (error) {
      onUncaught(error)
    }
  }

  #push(delayMs: number, rank: Rank, callback: () => void): SimEvent {
    const scheduler = this.#scheduler
    const isDead = this.#state === 'dead'
    const event = new SimEvent(scheduler, scheduler.nowMs + delayMs, rank, this, isDead ? undefined : callback)
    return isDead ? event : scheduler.push(event)
  }

  #upTo(maxMs = 0): number {
    const { prng } = this.#options
    return prng === undefined || maxMs <= 0 ? 0 : prng.next() * maxMs
  }
}
