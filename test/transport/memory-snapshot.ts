// A snapshot from one simulated node to another: the receiver pulls, the sender reads when asked, each side runs on its own
// process's clock, and whatever breaks the stream is an exception to the receiver and false to the sender.

import { KvError } from '../../src/base/errors.ts'
import type { NodeId } from '../../src/base/ids.ts'
import { StallWatch, withDeadline } from '../../src/transport/stall-guard.ts'
import { type IncomingSnapshot, type OutgoingSnapshot, snapshotStallMs } from '../../src/transport/transport.ts'
import type { SimClock } from '../sim/sim-clock.ts'

/** The sender hears of progress so often, at most. */
const progressIntervalMs = 250

export interface SnapshotRoute {
  readonly from: NodeId
  readonly sourceClock: SimClock
  readonly targetClock: SimClock
  /** Takes something to the receiver, or the sender, in order, or breaks the stream. */
  readonly there: (bytes: number, deliver: () => void) => void
  readonly back: (deliver: () => void) => void
  /** The receiver's part: whether it takes it, and its answer. */
  readonly receive: (snapshot: IncomingSnapshot) => Promise<boolean>
}

export class MemorySnapshot {
  readonly #route: SnapshotRoute
  readonly #atSource = new AbortController()
  readonly #atTarget = new AbortController()
  #isWhole = false
  #workBytes = 0
  #toldMs = Number.NEGATIVE_INFINITY

  constructor(route: SnapshotRoute) {
    this.#route = route
  }

  /** The stream is gone: both ends notice. */
  break(): void {
    const { sourceClock, targetClock } = this.#route
    sourceClock.arrive(() => this.#atSource.abort())
    targetClock.arrive(() => this.#atTarget.abort())
  }

  async send(snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const { from, sourceClock, targetClock, there, back, receive } = this.#route
    const { chunks, onProgress, ...header } = snapshot
    const iterator = chunks[Symbol.asyncIterator]()
    const giveUp = (): void => {
      this.#atSource.abort()
      targetClock.arriveAfter(0, () => this.#atTarget.abort())
    }
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    const watch = new StallWatch(sourceClock, snapshotStallMs, giveUp)
    const onInstalling = (bytes: number): void => {
      this.#workBytes += bytes
      const [workBytes, now] = [this.#workBytes, targetClock.monotonicMs()]
      if (now - this.#toldMs < progressIntervalMs || this.#atTarget.signal.aborted) return
      this.#toldMs = now
      back(() => {
        watch.moved()
        onProgress(workBytes)
      })
    }
    const ended = Promise.withResolvers<boolean>()
    this.#atSource.signal.addEventListener('abort', () => ended.resolve(false), { once: true })
    const answer = (isInstalled: boolean): void => back(() => ended.resolve(isInstalled && this.#isWhole))
    there(0, () => {
      const incoming = { ...header, node: from, chunks: this.#receiving(iterator, onInstalling), onInstalling }
      receive(incoming).then(answer, () => answer(false))
    })
    try {
      return !this.#atSource.signal.aborted && (await ended.promise)
    } finally {
      watch.close()
      signal.removeEventListener('abort', giveUp)
      iterator.return?.().then(undefined, () => undefined)
    }
  }

  async *#receiving(
    iterator: AsyncIterator<Uint8Array>,
    onTaken: (bytes: number) => void,
  ): AsyncGenerator<Uint8Array, undefined> {
    const { targetClock } = this.#route
    for (;;) {
      const next = await withDeadline(
        targetClock,
        this.#fetch(iterator),
        snapshotStallMs,
        'receiving a snapshot',
        this.#atTarget.signal,
      )
      if (next.done === true) break
      yield next.value
      onTaken(next.value.length)
    }
    this.#isWhole = true
    return undefined
  }

  /** The next chunk, read by the sender's process and taken across. */
  #fetch(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { sourceClock, there } = this.#route
    return new Promise((resolve, reject) => {
      sourceClock.arriveAfter(0, () => {
        iterator.next().then(
          next => there(next.value?.length ?? 0, () => resolve(next)),
          // What is wrong at the sender is not known to the receiver, as on a real stream: it has ended early.
          () => there(0, () => reject(new KvError('unavailable', 'the sender of the snapshot ended its stream'))),
        )
      })
    })
  }
}
