// Installs an exported range: clears what is there, writes what comes, and has the store begin from it. A crash in the
// middle leaves part of both; the caller marks the install beforehand and begins again from the start.

import { KvError } from '../base/errors.ts'
import type { RangeId } from '../base/ids.ts'
import type { Engine, EngineBatchOperation } from '../engine/engine.ts'
import { prefixSpan, runBoundsPrefix, runPrefix } from './engine-keys.ts'
import { encodeRunBounds } from './history-run.ts'
import { boundsOfStored, rangeSpans } from './range-export.ts'
import { RangeStreamReader } from './range-stream.ts'
import type { VersionStore } from './version-store.ts'
import { writeInBatches } from './write-in-batches.ts'

const deleteSliceKeys = 1_000
const importLimits = { operations: 16_000, bytes: 8 * 1024 * 1024 }

/** `onWritten` is told of each batch. Throws KvError `damaged` where the chunks are not those that were sent; what was there before is gone by then. */
export function importRange(
  engine: Engine,
  versions: VersionStore,
  rangeId: RangeId,
  chunks: AsyncIterable<Uint8Array>,
  onWritten: (batch: readonly EngineBatchOperation[]) => void = () => {},
): Promise<void> {
  return versions.install(async writeBatch => {
    const write = async (batch: readonly EngineBatchOperation[]): Promise<void> => {
      await writeBatch(batch)
      onWritten(batch)
    }
    await clearRange(engine, write, rangeId)
    const stream = new RangeStreamReader()
    await writeInBatches(write, importLimits, async add => {
      for await (const chunk of chunks) {
        for (const pair of refusing(rangeId, () => [...stream.push(chunk)])) {
          // All that was there is gone, and no key comes twice.
          await add({ ...pair, replacesSmall: true })
          if (pair.key.startsWith(runPrefix)) await add(refusing(rangeId, () => boundsOperation(pair.key, pair.value)))
        }
      }
      refusing(rangeId, () => stream.end())
    })
  })
}

/** Leaves nothing of the range. */
export async function clearRange(
  engine: Engine,
  write: (batch: readonly EngineBatchOperation[]) => Promise<void>,
  rangeId: RangeId,
): Promise<void> {
  for (const span of [...rangeSpans(rangeId), prefixSpan(runBoundsPrefix)]) {
    for (;;) {
      const pairs = await engine.read(span, { limit: deleteSliceKeys, keysOnly: true })
      if (pairs.length === 0) break
      await write(pairs.map(({ key }) => ({ key, value: undefined })))
    }
  }
}

function boundsOperation(key: string, value: Uint8Array): EngineBatchOperation {
  return { key: runBoundsPrefix + key.slice(runPrefix.length), value: encodeRunBounds(boundsOfStored(key, value)) }
}

function refusing<T>(rangeId: RangeId, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new KvError('damaged', `the snapshot of range ${rangeId} that is to be installed is damaged (${why})`, {
      cause: error,
    })
  }
}
