// The engine port in memory: a second real implementation, which passes the contract tests of the first. Writes take
// effect when they resolve; a snapshot shares the map until the next write copies it.

import { assert } from '../../src/base/assert.ts'
import type {
  Engine,
  EngineBatchOperation,
  EngineKey,
  EnginePair,
  EngineReader,
  EngineSpan,
} from '../../src/engine/engine.ts'

type ReadOptions = Parameters<EngineReader['read']>[1]
const emptyValue = new Uint8Array(0)

class Table implements EngineReader {
  readonly pairs: Map<EngineKey, Uint8Array>
  #sorted: readonly EngineKey[] | undefined

  constructor(pairs: Map<EngineKey, Uint8Array>) {
    this.pairs = pairs
  }

  get(key: EngineKey): Uint8Array | undefined {
    return this.pairs.get(key)
  }

  async read(span: EngineSpan, options: ReadOptions): Promise<readonly EnginePair[]> {
    this.#sorted ??= [...this.pairs.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
    const keys = this.#sorted.filter(key => key >= span.start && key < span.end)
    if (options.reverse === true) keys.reverse()
    const found: EnginePair[] = []
    let bytes = 0
    for (const key of keys) {
      if (found.length >= options.limit || bytes > (options.bytesMax ?? Infinity)) break
      const value = options.keysOnly === true ? emptyValue : (this.pairs.get(key) ?? emptyValue)
      found.push({ key, value })
      bytes += key.length + value.length
    }
    return found
  }
}

export interface MemoryEngine extends Engine {
  /** What is stored, for tests that damage it. */
  readonly pairs: () => Map<EngineKey, Uint8Array>
}

/** `initial`: what an earlier engine's `pairs` held, for a restart. */
export function createMemoryEngine(initial: Iterable<readonly [EngineKey, Uint8Array]> = []): MemoryEngine {
  let table = new Table(new Map(initial))
  let isWriting = false
  return {
    pairs: () => table.pairs,
    get: key => table.get(key),
    read: (span, options) => table.read(span, options),
    async write(batch: readonly EngineBatchOperation[]) {
      assert(!isWriting, 'the engine is handed one write at a time')
      isWriting = true
      const pairs = new Map(table.pairs)
      for (const { key, value } of batch) {
        if (value === undefined) pairs.delete(key)
        else pairs.set(key, Uint8Array.from(value))
      }
      await Promise.resolve()
      table = new Table(pairs)
      isWriting = false
    },
    snapshot() {
      const view = table
      return {
        get: key => view.get(key),
        read: (span, options) => view.read(span, options),
        close: async () => {},
      }
    },
    async approximateBytes(span) {
      let bytes = 0
      for (const [key, value] of table.pairs)
        if (key >= span.start && key < span.end) bytes += key.length + value.length
      return bytes
    },
    close: async () => {},
  }
}
