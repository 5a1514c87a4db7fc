// The one way from the version store into the engine: batches in the order they were asked for, each with its numbered
// marker, and none after one has failed (the state of the disk is then unknown).

import type { Engine, EngineBatchOperation } from '../engine/engine.ts'
import { markerOperations } from './marker.ts'

export class BatchWriter {
  readonly #engine: Engine
  readonly #owner: string
  #markerNumber: number
  /** The newest flush of the log that is known to be synced; every marker carries it. */
  recordedFlush: number
  #queue: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(engine: Engine, owner: string, markerNumber: number, recordedFlush: number) {
    this.#engine = engine
    this.#owner = owner
    this.#markerNumber = markerNumber
    this.recordedFlush = recordedFlush
  }

  /** Runs `work` once everything asked for before has ended. It alone may call `write` meanwhile. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      if (this.#failure !== undefined) throw this.#failure.error
      return work()
    })
    this.#queue = result.catch(() => {})
    return result
  }

  async write(operations: readonly EngineBatchOperation[]): Promise<void> {
    const number = this.#markerNumber + 1
    try {
      await this.#engine.write([...operations, ...markerOperations(number, this.recordedFlush, this.#owner)])
    } catch (error) {
      this.#failure = { error }
      throw error
    }
    this.#markerNumber = number
  }
}
