// What tests of the version store do with it, in words of one line.

import type { Index, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { userKeyspace } from '../../src/base/ids.ts'
import { type Source, VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'
import type { MemoryEngine } from '../support/memory-engine.ts'

export const source: Source = { rangeId: 1 as RangeId, replicaId: 1 as ReplicaId }
export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
export const text = (value: Uint8Array | undefined): string | undefined =>
  value && Buffer.from(value).toString('latin1')
export const nothingExtra = () => []

export async function open(engine: MemoryEngine, cacheBytesMax = 1_000_000): Promise<VersionStore> {
  const opened = await VersionStore.open(engine, { yieldNow: async () => {}, cacheBytesMax })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  return opened.store
}

export function put(
  store: VersionStore,
  index: number,
  key: string,
  value: string,
  timestamp = index * 10,
  from = source,
) {
  return store.put(from, index as Index, userKeyspace, bytes(key), bytes(value), timestamp as Timestamp)
}

export function remove(store: VersionStore, index: number, key: string, timestamp = index * 10) {
  return store.delete(source, index as Index, userKeyspace, bytes(key), timestamp as Timestamp)
}

export const countKeys = (engine: MemoryEngine, prefix: string): number =>
  [...engine.pairs().keys()].filter(key => key.startsWith(prefix)).length
