// Lets history go (DESIGN.md 7): the leader raises the range's collection threshold, and every replica then drops what lies
// below it. Damage that it meets is that replica's alone.

import { DamageError } from '../engine/engine.ts'
import type { Timer } from '../time/clock.ts'
import { type Timestamp, addMs, timestampZero } from '../time/timestamp.ts'
import type { Store } from './store.ts'

/**
 * Each time costs a flush of the engine, which then collapses fewer overwrites; so history lives a tenth longer than it must, and
 * a minute at most.
 */
const retentionParts = 10
const collectEveryMsMin = 10_000
const collectEveryMsMax = 60_000

export class HistoryCollector {
  readonly #store: Store
  readonly #retentionMs: number
  #timer: Timer | undefined
  #collectedTo: Timestamp = timestampZero
  #isClosed = false

  constructor(store: Store, retentionMs: number) {
    this.#store = store
    this.#retentionMs = retentionMs
  }

  start(): void {
    if (this.#isClosed) return
    const everyMs = Math.min(Math.max(this.#retentionMs / retentionParts, collectEveryMsMin), collectEveryMsMax)
    this.#timer = this.#store.clock.setTimer(everyMs, () => {
      this.#collect().then(
        () => this.start(),
        (error: unknown) => {
          if (!this.#isClosed) this.#store.onFatal(error)
        },
      )
    })
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  async #collect(): Promise<void> {
    const store = this.#store
    const target = addMs(store.hybridClock.raw(), -this.#retentionMs)
    for (const replica of store.replicas()) {
      replica.maybeProposeThreshold(target)
      const { threshold } = replica.state
      if (threshold <= this.#collectedTo || replica.isInstalling || replica.stopped !== undefined) continue
      // After a crash the threshold must still refuse what was collected under it.
      await store.flush()
      if (replica.stopped !== undefined) continue
      try {
        const dropped = await store.versions.collect(threshold)
        this.#collectedTo = threshold
        store.logger.debug({ range: replica.rangeId, threshold, dropped }, 'history collected')
      } catch (error) {
        if (!(error instanceof DamageError)) throw error
        store.quarantine(replica, error.message)
      }
    }
  }
}
