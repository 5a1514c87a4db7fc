// A snapshot on its way in: spooled into the engine under node-local keys first, whole and checked, and only then
// installed. So a broken stream leaves the old state, and a crash during the install finds everything to do it again.

import type { Index, RangeId } from '../base/ids.ts'
import { type Engine, type EngineBatchOperation, type EngineKey, apartPrefixes } from '../engine/engine.ts'
import { writeInBatches } from '../mvcc/write-in-batches.ts'
import { endOfQuarantine } from './quarantine-marker.ts'

const deleteSliceKeys = 1_000
const fillLimits = { operations: 1_000, bytes: 4 * 1024 * 1024 }

export class SnapshotSpool {
  readonly #engine: Engine
  readonly #prefix: EngineKey
  readonly #installing: EngineKey
  readonly #installed: EngineKey
  readonly #rangeId: RangeId
  readonly #write: (batch: readonly EngineBatchOperation[]) => Promise<void>

  /** `write` puts a batch into the engine's one-at-a-time order. */
  constructor(engine: Engine, rangeId: RangeId, write: (batch: readonly EngineBatchOperation[]) => Promise<void>) {
    this.#engine = engine
    this.#rangeId = rangeId
    this.#prefix = `${apartPrefixes.spool}${rangeId}/`
    this.#installing = `ninstalling/${rangeId}`
    this.#installed = `ninstalled/${rangeId}`
    this.#write = write
  }

  /** An install began and did not end: the range's state is not whole, and the spool is. */
  get isInstalling(): boolean {
    return this.#engine.get(this.#installing) !== undefined
  }

  async beginInstall(): Promise<void> {
    await this.#write([{ key: this.#installing, value: Uint8Array.of(1) }])
  }

  /** `index`: the applied index of the state that was put in place. */
  async endInstall(index: Index): Promise<void> {
    const endOfInstall = { key: this.#installing, value: undefined }
    await this.#write([endOfInstall, this.installed(index), endOfQuarantine(this.#rangeId)])
    await this.clear()
  }

  /** Remembers it as the index of the newest install. */
  installed(index: Index): EngineBatchOperation {
    return { key: this.#installed, value: Buffer.from(String(index)) }
  }

  /** Where the newest install ended. There alone may the state be ahead of the log, whose reset a crash may have cut off. */
  get installedIndex(): number {
    const value = this.#engine.get(this.#installed)
    return value === undefined ? 0 : Number(Buffer.from(value).toString())
  }

  async fill(chunks: AsyncIterable<Uint8Array>): Promise<number> {
    await this.clear()
    let count = 0
    await writeInBatches(this.#write, fillLimits, async add => {
      for await (const chunk of chunks) await add({ key: this.#key(count++), value: chunk })
    })
    return count
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let number = 0; ; number++) {
      const chunk = this.#engine.get(this.#key(number))
      if (chunk === undefined) return
      yield chunk
    }
  }

  async clear(): Promise<void> {
    const span = { start: this.#prefix, end: `${this.#prefix}\xff` }
    for (;;) {
      const pairs = await this.#engine.read(span, { limit: deleteSliceKeys, keysOnly: true })
      if (pairs.length === 0) return
      await this.#write(pairs.map(pair => ({ key: pair.key, value: undefined })))
    }
  }

  #key(number: number): EngineKey {
    return this.#prefix + String(number).padStart(10, '0')
  }
}
