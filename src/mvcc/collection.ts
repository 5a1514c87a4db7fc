// Removes what no instant at or past a threshold needs (DESIGN.md 7): whole runs by their last stamp, and tombstones.
// The version visible at an instant lies in the run of the effect that replaced it, later: so a run's last stamp decides.

import type { Engine } from '../engine/engine.ts'
import type { Keyspace } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { BatchWriter } from './batch-writer.ts'
import { decodeRow, prefixSpan, runBoundsPrefix, runPrefix, tombstonePrefix } from './engine-keys.ts'
import { decodeStored } from './key-record.ts'
import type { RunIndex } from './run-index.ts'
import type { RowTable } from './row-table.ts'

export interface CollectionContext {
  readonly engine: Engine
  readonly runs: RunIndex
  readonly rows: RowTable
  readonly writer: BatchWriter
  readonly yieldNow: () => Promise<void>
}

const sliceRuns = 500
const sliceTombstones = 2_000

/** In slices between which flushes get their turn; returns how many runs and tombstones went. Throws DamageError. */
export async function collectBelow(context: CollectionContext, threshold: Timestamp): Promise<number> {
  return (await collectRuns(context, threshold)) + (await collectTombstones(context, threshold))
}

async function collectRuns({ runs, writer, yieldNow }: CollectionContext, threshold: Timestamp): Promise<number> {
  let collected = 0
  for (;;) {
    const count = await writer.exclusive(async () => {
      // Forgotten before they are gone: a reader finds the chain's end, never a missing record.
      const ids = runs.dropBelow(threshold, sliceRuns)
      const keys = ids.flatMap(id => [runPrefix + id, runBoundsPrefix + id])
      if (keys.length > 0) await writer.write(keys.map(key => ({ key, value: undefined })))
      return ids.length
    })
    collected += count
    if (count < sliceRuns) return collected
    await yieldNow()
  }
}

async function collectTombstones(context: CollectionContext, threshold: Timestamp): Promise<number> {
  const { engine, rows, writer, yieldNow } = context
  const { start, end } = prefixSpan(tombstonePrefix)
  let collected = 0
  let next: string | undefined = start
  while (next !== undefined) {
    const from: string = next
    // Read and removed in one turn: in between, a flush could have brought a newer tombstone of the same key.
    next = await writer.exclusive(async () => {
      const pairs = await engine.read({ start: from, end }, { limit: sliceTombstones })
      const expired = pairs.filter(pair => decodeStored(pair.key, pair.value).timestamp < threshold)
      if (expired.length > 0) await writer.write(expired.map(({ key }) => ({ key, value: undefined })))
      for (const { key } of expired) rows.forget(key.charCodeAt(1) as Keyspace, decodeRow(key.slice(1)))
      collected += expired.length
      const last = pairs.at(-1)
      return last && `${last.key}\0`
    })
    await yieldNow()
  }
  return collected
}
