// A snapshot from one simulated node to another: the receiver pulls, the sender reads when asked, each side runs on its own
// process's clock, and whatever breaks the stream is an exception to the receiver and false to the sender.

import type { NodeId } from '../../src/base/ids.ts'
import { withDeadline } from '../../src/transport/stall-guard.ts'
import type { IncomingSnapshot, OutgoingSnapshot } from '../../src/transport/transport.ts'
import type { SimClock } from '../sim/sim-clock.ts'

const stallMs = 10_000

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
  #progressMs: number
  #isWhole = false

  constructor(route: SnapshotRoute) {
    this.#route = route
    this.#progressMs = route.sourceClock.monotonicMs()
  }

  /** The stream is gone: both ends notice. */
  break(): void {
    const { sourceClock, targetClock } = this.#route
    sourceClock.arrive(() => this.#atSource.abort())
    targetClock.arrive(() => this.#atTarget.abort())
  }

  async send(snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const { from, sourceClock, targetClock, there, back, receive } = this.#route
    const { chunks, ...header } = snapshot
    const iterator = chunks[Symbol.asyncIterator]()
    const giveUp = (): void => {
      this.#atSource.abort()
      targetClock.arriveAfter(0, () => this.#atTarget.abort())
    }
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    let watch = sourceClock.setTimer(stallMs, () => check())
    const check = (): void => {
      const leftMs = this.#progressMs + stallMs - sourceClock.monotonicMs()
      if (leftMs <= 0) giveUp()
      else watch = sourceClock.setTimer(leftMs, check)
    }
    const installed = new Promise<boolean>(resolve => {
      const answer = (isInstalled: boolean): void => back(() => resolve(isInstalled && this.#isWhole))
      there(0, () => {
        receive({ ...header, node: from, chunks: this.#receiving(iterator) }).then(answer, () => answer(false))
      })
    })
    try {
      return await withDeadline(sourceClock, installed, 100 * stallMs, 'sending a snapshot', this.#atSource.signal)
    } catch {
      return false
    } finally {
      watch.cancel()
      signal.removeEventListener('abort', giveUp)
      iterator.return?.().then(undefined, () => undefined)
    }
  }

  async *#receiving(iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
    const { targetClock } = this.#route
    for (;;) {
      const next = await withDeadline(
        targetClock,
        this.#fetch(iterator),
        stallMs,
        'receiving a snapshot',
        this.#atTarget.signal,
      )
      if (next.done === true) break
      yield next.value
    }
    this.#isWhole = true
    return undefined
  }

  /** The next chunk, read by the sender's process and taken across. */
  #fetch(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { sourceClock, there } = this.#route
    return new Promise((resolve, reject) => {
      sourceClock.arriveAfter(0, () => {
        this.#progressMs = sourceClock.monotonicMs()
        iterator.next().then(
          next => there(next.value?.length ?? 0, () => resolve(next)),
          (error: unknown) => there(0, () => reject(error)),
        )
      })
    })
  }
}
