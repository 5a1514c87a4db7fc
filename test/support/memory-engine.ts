// The simulator's engine, for tests that need no faults: every write completes at once.

import { createPrng } from '../../src/base/prng.ts'
import type { Engine, EngineKey } from '../../src/engine/engine.ts'
import { SimEngineDisk } from '../sim/sim-engine.ts'

export interface MemoryEngine extends Engine {
  /** What is stored. */
  readonly pairs: () => ReadonlyMap<EngineKey, Uint8Array>
}

/** `initial`: what an earlier engine's `pairs` held, for a restart. */
export function createMemoryEngine(initial: Iterable<readonly [EngineKey, Uint8Array]> = []): MemoryEngine {
  const disk = new SimEngineDisk({ prng: createPrng(1), initial })
  return { ...disk.open(), pairs: () => disk.pairs() }
}
