// A model of the version store that keeps everything, and the random work that both are given.

import type { Index, Keyspace } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { KeyRecord, Source, VersionStore } from '../../src/mvcc/version-store.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'

export interface Operation {
  readonly key: string
  /** undefined deletes. */
  readonly value: string | undefined
  readonly timestamp: Timestamp
}

export interface ModelEntry {
  readonly source: Source
  readonly index: Index
  readonly operations: readonly Operation[]
}

/** A version in plain words, for comparing. */
export type Plain = string

export const keyspace = 0 as Keyspace
export const toKey = (text: string): Buffer => Buffer.from(text, 'latin1')

export function plain(record: KeyRecord): Plain {
  const { key, value, timestamp, created, version, deleted } = record
  const text = `${Buffer.from(key).toString('latin1')}=${Buffer.from(value).toString('latin1')}`
  return `${text} @${timestamp} created ${created} version ${version}${deleted ? ' deleted' : ''}`
}

export class VersionModel {
  readonly #versions = new Map<string, KeyRecord[]>()

  apply(entry: ModelEntry): void {
    for (const { key, value, timestamp } of entry.operations) {
      let versions = this.#versions.get(key)
      if (versions === undefined) this.#versions.set(key, (versions = []))
      const latest = versions.at(-1)
      const alive = latest !== undefined && !latest.deleted ? latest : undefined
      if (value === undefined && alive === undefined) continue
      // Of two writes at one instant the first is never visible.
      if (latest?.timestamp === timestamp) versions.pop()
      if (value === undefined) {
        versions.push({ key: toKey(key), value: toKey(''), timestamp, created: timestamp, version: 0, deleted: true })
        continue
      }
      const created = alive?.created ?? timestamp
      const version = (alive?.version ?? 0) + 1
      versions.push({ key: toKey(key), value: toKey(value), timestamp, created, version, deleted: false })
    }
  }

  getAt(key: string, at: number): Plain | undefined {
    const visible = this.#versions.get(key)?.findLast(version => version.timestamp <= at)
    return visible === undefined || visible.deleted ? undefined : plain(visible)
  }

  history(key: string, before: number, limit: number): readonly Plain[] {
    const versions = this.#versions.get(key) ?? []
    const found = versions.filter(version => version.timestamp < before).map(plain)
    return found.toReversed().slice(0, limit)
  }

  scan(start: string, end: string, at: number): readonly Plain[] {
    const keys = [...this.#versions.keys()].filter(key => key >= start && (end === '' || key < end)).sort(byBytes)
    return keys.map(key => this.getAt(key, at)).filter(found => found !== undefined)
  }
}

const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const keyPool = ['', '\0', 'a', 'a\0', 'ab', 'b', 'b\xff', 'c', 'm', 'n', 'z', '\x80', '\xff', '\xff\xff']

export function randomKey(prng: Prng): string {
  return keyPool[prng.below(keyPool.length)] ?? ''
}

export function randomOperations(prng: Prng, nextTimestamp: () => Timestamp): readonly Operation[] {
  return Array.from({ length: 1 + prng.below(6) }, () => {
    const key = randomKey(prng)
    const timestamp = nextTimestamp()
    const isDelete = prng.below(3) === 0
    // Some fill a chunk of the rows in memory by themselves.
    const length = prng.below(60) === 0 ? 30_000 + prng.below(60_000) : prng.below(40)
    return { key, value: isDelete ? undefined : 'v'.repeat(length) + timestamp, timestamp }
  })
}

export function applyTo(store: VersionStore, entry: ModelEntry): void {
  for (const { key, value, timestamp } of entry.operations) {
    if (value === undefined) store.delete(entry.source, entry.index, keyspace, toKey(key), timestamp)
    else {
      // A view of a larger buffer that changes afterwards, as a received message's does.
      const shared = Buffer.from(`xx${value}yy`, 'latin1')
      store.put(entry.source, entry.index, keyspace, toKey(key), shared.subarray(2, -2), timestamp)
      shared.fill(0)
    }
  }
}

/** A whole scan, page by page, put together again in ascending order. */
export async function scanAll(
  store: VersionStore,
  request: { start: string; end: string; at: number; limit: number; bytesMax?: number; reverse: boolean },
): Promise<readonly Plain[]> {
  const found: Plain[] = []
  let start = toKey(request.start)
  let end = toKey(request.end)
  for (;;) {
    const { items, resume } = await store.scan({
      keyspace,
      start,
      end,
      at: request.at as Timestamp,
      limit: request.limit,
      bytesMax: request.bytesMax ?? Number.MAX_SAFE_INTEGER,
      reverse: request.reverse,
      keysOnly: false,
    })
    found.push(...items.map(plain))
    if (resume === undefined) break
    if (items.length === 0 || items.length > request.limit)
      throw new Error('a page with more to come is never empty, nor over its limit')
    if (request.reverse) end = Buffer.from(resume)
    else start = Buffer.from(resume)
  }
  return request.reverse ? found.toReversed() : found
}
