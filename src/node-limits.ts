// Every limit of a node by the name that it is set by: `--set limit.NAME=VALUE`. The node's own have plain names; those of
// a layer carry its prefix, such as write.keyBytes, gateway.historyMax and server.slowReaderMs.

import { didYouMean } from './base/nearest-name.ts'
import { type WriteLimits, defaultWriteLimits } from './command/limits.ts'
import { sessionLimits } from './command/sessions.ts'
import { blockCacheBytesDefault } from './engine/leveldb-engine.ts'
import { type GatewayLimits, gatewayLimitsDefault } from './gateway/limits.ts'
import { defaultSegmentBytes } from './log/segment-log.ts'
import { chunkBytesDefault } from './mvcc/range-export.ts'
import { rowCacheBytesDefault } from './mvcc/version-store.ts'
import { receiveBytesMax } from './transport/peer-service.ts'
import { type ServerLimits, serverLimitsDefault } from './server/limits.ts'

const mebibyte = 1024 * 1024

/** Each with its reason. */
export interface NodeLimits {
  /**
   * An engine flush is due when there are so many bytes of rows to write, or after `engineFlushMs`. The longer, the more overwrites
   * of one key collapse before they reach the engine: 10,000 ms instead of 3,000 ms gave +17 % of puts at 256 callers over 100,000
   * keys, with 20 % less CPU and a third less p99. The more rows, the larger the burst. A start replays what was not flushed.
   */
  readonly engineFlushBytes: number
  readonly engineFlushMs: number
  /** Likewise due when so much waits in memory: rows, those overwritten meanwhile too, and history. At twice as much, entries wait. */
  readonly engineDirtyBytes: number
  /** Rows in memory, each with its newest version: a write of one of them reads nothing first (DESIGN.md 7). */
  readonly rowCacheBytes: number
  /** Blocks of the engine's tables in memory, for reads of all others. */
  readonly blockCacheBytes: number
  /** A log entry carries at most this much, so that an append fits the peers' receive limit many times over. */
  readonly entryBytes: number
  /** Keys that the requests gathered in one entry put, delete or compare: an entry holds up the flush of the engine. */
  readonly entryKeyOperations: number
  /**
   * So many of them are applied in one turn of the event loop, or as many as fit in 10 ms; then heartbeats and all else have
   * theirs. It depends on the machine and not on the log: what is applied is the same however it is cut.
   */
  readonly applyTurnKeyOperations: number
  /** Client bytes waiting to be proposed in a range; past it: overloaded. */
  readonly proposalQueueBytes: number
  /** Proposed and uncommitted bytes of a range; past it: overloaded. */
  readonly uncommittedBytes: number
  /** Committed entries of a range that wait in memory to be applied; the log on disk has the others. */
  readonly applyingBytes: number
  /**
   * Committed and not applied in a range, in the log: past it a follower takes no more, and its leader sees a slow one; a leader
   * refuses writes as overloaded. As much as may be uncommitted: a replica that cannot keep up must not fall behind for ever.
   */
  readonly unappliedBytes: number
  /** Log kept behind the flushed state for slow followers, before they need a snapshot. */
  readonly logRetainedBytes: number
  /**
   * Log that this node keeps beyond that for followers which catch up, all ranges together, while they make progress. When half
   * of it is used, writes are slowed: without the log each such follower would need a snapshot, and the next one as well.
   */
  readonly logHeldBytes: number
  /** A follower without any progress for so long holds no log; long enough for a restart, short enough for a dead one. */
  readonly logHeldStallMs: number
  /** Small, so that each arrives long before a stall is suspected, on a thin link too: 4 KiB a second are enough. */
  readonly snapshotChunkBytes: number
  readonly logBytes: number
  /** A segment file's size: the log gives room back a segment at a time, and each new one is written through once. */
  readonly logSegmentBytes: number
  /**
   * How many entries a learner may be behind what is committed and be promoted, and a voter be behind and be counted on when the
   * members change: about a second of entries under load, so that the newcomer's vote counts before an election would be due.
   */
  readonly promoteLagEntries: number
  /**
   * A file that nobody needs, given up when the disk is full, so that what must be written has room, and a restart. At most 5 % of
   * the file system.
   */
  readonly diskBallastBytes: number
  /** When less is free, beside room for two log segments, only deletions are taken, and reads. At most 5 % of the file system. */
  readonly diskReserveBytes: number
  readonly historyRetentionMs: number
  /**
   * Replicas compare their states whenever the applied index is a multiple of this. The same on all nodes, or they compare the
   * seldomer. A comparison costs each replica a message to each other one: at 1,024 it is not to be noticed.
   */
  readonly comparedEvery: number
  readonly drainMs: number
  /** What a write may be, as the range's leader checks it. */
  readonly write: WriteLimits
  readonly gateway: GatewayLimits
  readonly server: ServerLimits
}

export const defaultLimits: NodeLimits = {
  engineFlushBytes: 64 * mebibyte,
  engineFlushMs: 10_000,
  engineDirtyBytes: 256 * mebibyte,
  rowCacheBytes: rowCacheBytesDefault,
  blockCacheBytes: blockCacheBytesDefault,
  entryBytes: mebibyte,
  entryKeyOperations: 16_384,
  applyTurnKeyOperations: 4_096,
  proposalQueueBytes: 64 * mebibyte,
  uncommittedBytes: 64 * mebibyte,
  applyingBytes: 16 * mebibyte,
  unappliedBytes: 64 * mebibyte,
  logRetainedBytes: 64 * mebibyte,
  logHeldBytes: 512 * mebibyte,
  logHeldStallMs: 30_000,
  snapshotChunkBytes: chunkBytesDefault,
  logBytes: 2_048 * mebibyte,
  logSegmentBytes: defaultSegmentBytes,
  promoteLagEntries: 1_024,
  diskBallastBytes: 256 * mebibyte,
  diskReserveBytes: 256 * mebibyte,
  historyRetentionMs: 10 * 60 * 1000,
  comparedEvery: 1_024,
  drainMs: 5_000,
  write: defaultWriteLimits,
  gateway: gatewayLimitsDefault,
  server: serverLimitsDefault,
}

/** An entry travels to a peer in one message, with room around it. */
const entryBytesMax = (receiveBytesMax / 4) * 3

/** What has bounds of its own. Rows in memory have places of 31 bits; less than a few chunks serves nobody. */
const bounds: Readonly<Record<string, readonly [least: number, most: number]>> = {
  engineFlushBytes: [1, 256 * mebibyte],
  comparedEvery: [1, 1_000_000],
  engineDirtyBytes: [1, 1024 * mebibyte],
  rowCacheBytes: [mebibyte, 1024 * mebibyte],
  // A session lasts as long as its last notAfter, and the table of sessions is made for two minutes of them.
  'write.notAfterAheadMs': [1, defaultWriteLimits.notAfterAheadMs],
  // A session must have room for the outcomes of a batch, in a crowded table as well.
  'write.batchWrites': [1, sessionLimits.sessionOutcomesAssured],
  snapshotChunkBytes: [1024, mebibyte],
}

function isWithin(range: readonly [number, number] | undefined, value: number): boolean {
  return range === undefined || (value >= range[0] && value <= range[1])
}

/** A timer set for longer would fire at once. */
const timerMsMax = 2 ** 31 - 1

/** The same limit at the gateway and at the client port: they follow the leader's, unless they are set themselves. */
const followers: Readonly<Record<string, readonly string[]>> = {
  'write.keyBytes': ['gateway.keyBytesMax'],
  'write.batchKeyOperations': ['gateway.batchKeyOperationsMax'],
  'write.valueBytes': ['gateway.valueBytesMax'],
  'write.requestBytes': ['gateway.requestBytesMax', 'server.requestBytesMax'],
}

/** `items`: NAME=VALUE each, with or without `limit.` in front. Adds what is wrong to `mistakes`. */
export function parseLimits(items: readonly string[], mistakes: string[]): NodeLimits {
  const defaults = flatten(defaultLimits)
  const set = new Map<string, number>()
  for (const item of items) {
    const at = item.indexOf('=')
    const name = (at < 0 ? item : item.slice(0, at)).replace(/^limit\./, '')
    const text = at < 0 ? '' : item.slice(at + 1)
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
    if (!defaults.has(name))
      mistakes.push(
        `--set ${item}: no limit by that name${didYouMean(name, defaults.keys())}; there are ${[...defaults.keys()].join(', ')}`,
      )
    else if (!Number.isSafeInteger(value) || value <= 0) mistakes.push(`--set ${item}: a whole number above 0`)
    else if (!isWithin(bounds[name], value))
      mistakes.push(`--set ${item}: from ${bounds[name]![0]} to ${bounds[name]![1]}`)
    else if (name.endsWith('Ms') && value > timerMsMax)
      mistakes.push(`--set ${item}: at most ${timerMsMax} milliseconds`)
    else set.set(name, value)
  }
  const values = new Map([...defaults, ...set])
  for (const [name, names] of Object.entries(followers)) {
    const value = set.get(name)
    if (value === undefined) continue
    for (const follower of names) if (!set.has(follower)) values.set(follower, value)
  }
  for (const name of ['entryBytes', 'write.requestBytes'])
    if (values.get(name)! > entryBytesMax)
      mistakes.push(`--set ${name}=${values.get(name)}: at most ${entryBytesMax}, or peers could not receive an entry`)
  return unflatten(defaultLimits, values)
}

function flatten(limits: NodeLimits): Map<string, number> {
  const flat = new Map<string, number>()
  for (const [name, value] of Object.entries<number | object>(limits as never)) {
    if (typeof value === 'number') flat.set(name, value)
    else for (const [inner, number] of Object.entries<number>(value as never)) flat.set(`${name}.${inner}`, number)
  }
  return flat
}

/** In the shape of `shape`, which has a value for every name. */
function unflatten(shape: NodeLimits, values: ReadonlyMap<string, number>): NodeLimits {
  const build = (from: object, prefix: string): object =>
    Object.fromEntries(
      Object.entries(from).map(([name, value]: [string, unknown]) => [
        name,
        typeof value === 'object' && value !== null ? build(value, `${name}.`) : values.get(prefix + name),
      ]),
    )
  return build(shape, '') as NodeLimits
}
