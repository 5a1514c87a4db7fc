// What a replica sends to a peer that must start anew: the flushed state of its range, checked as it is read, so that
// damage here is noticed here. One range holds all keys of a node for now; spans come with splits.

import type { RangeId } from '../base/ids.ts'
import type { EngineKey, EngineReader, EngineSpan } from '../engine/engine.ts'
import { DamageError } from '../engine/engine.ts'
import {
  decodeRunId,
  latestPrefix,
  localKey,
  lockPrefix,
  prefixSpan,
  runPrefix,
  tombstonePrefix,
} from './engine-keys.ts'
import { type RunBounds, boundsOfRun } from './history-run.ts'
import { decodeStored } from './key-record.ts'
import { RangeStreamWriter } from './range-stream.ts'

const pagePairs = 500
const pageBytes = 256 * 1024
export const chunkBytesDefault = 128 * 1024

/** The spans of everything that belongs to the range. */
export function rangeSpans(rangeId: RangeId): readonly EngineSpan[] {
  const prefixes = [latestPrefix, tombstonePrefix, runPrefix, lockPrefix, localKey(rangeId, '')]
  return prefixes.map(prefix => prefixSpan(prefix))
}

/** Chunks of at most `chunkBytes`. Throws DamageError. */
export async function* exportRange(
  engine: EngineReader,
  rangeId: RangeId,
  chunkBytes = chunkBytesDefault,
): AsyncGenerator<Uint8Array> {
  const stream = new RangeStreamWriter(chunkBytes)
  for (const span of rangeSpans(rangeId)) {
    for (let start = span.start; ; ) {
      const pairs = await engine.read({ start, end: span.end }, { limit: pagePairs, bytesMax: pageBytes })
      for (const { key, value } of pairs) {
        check(key, value)
        stream.push(key, value)
      }
      yield* stream.take(false)
      const last = pairs.at(-1)
      if (last === undefined) break
      start = `${last.key}\0`
    }
  }
  stream.end()
  yield* stream.take(true)
}

/** The bounds of the run in an 'h' record, which is checked. Throws DamageError. */
export function boundsOfStored(key: EngineKey, value: Uint8Array): RunBounds {
  const id = key.slice(runPrefix.length)
  const { firstIndex } = decodeRunId(id)
  const bounds = boundsOfRun(id, firstIndex, value)
  if (bounds === undefined) throw new DamageError(key, 'its checksum does not hold')
  return bounds
}

function check(key: EngineKey, value: Uint8Array): void {
  if (key.startsWith(runPrefix)) boundsOfStored(key, value)
  else if (key.startsWith(latestPrefix) || key.startsWith(tombstonePrefix)) decodeStored(key, value)
}
