// An engine without markers is either new or has lost them.

import type { Engine } from '../engine/engine.ts'
import { latestPrefix, localPrefix, lockPrefix, prefixSpan, runPrefix, tombstonePrefix } from './engine-keys.ts'

/** What is wrong with an engine that has no markers; undefined: it is new. */
export async function emptyProblem(engine: Engine, mustExist: boolean): Promise<string | undefined> {
  if (mustExist) return 'the state engine is empty, and this node has been a member of its cluster with it'
  for (const prefix of [latestPrefix, tombstonePrefix, runPrefix, lockPrefix, localPrefix]) {
    const found = await engine.read(prefixSpan(prefix), { limit: 1, keysOnly: true })
    if (found.length > 0) return 'the state engine holds data, but lost its markers'
  }
  return undefined
}
