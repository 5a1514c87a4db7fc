// The durable log of one node: opens the segments, hands out each replica's part, writes through one writer, and
// deletes what nobody needs (DESIGN.md 6). Does not know Raft, the engine, or what an entry says.
//
// Cleaning is strictly oldest first. When the oldest segment holds little that is needed, or the whole log holds
// less than half, what is left in it is queued anew, slice by slice; once those copies are durable nothing holds
// the segment.

import { randomBytes as secureRandomBytes } from 'node:crypto'
import type { ClusterId, Index, RangeId, ReplicaId } from '../base/ids.ts'
import { assert } from '../base/assert.ts'
import type { Clock } from '../time/clock.ts'
import { EntryCache } from './entry-cache.ts'
import { FlushWriter, type FlushDone } from './flush-writer.ts'
import type { LogFiles } from './log-files.ts'
import { type Recovered, recover } from './recovery.ts'
import { initialHardState } from './log-replay.ts'
import type { Log, RecoveredReplica, ReplicaLog } from './log.ts'
import { DurableReplica, type ReplicaHost, type ReplicaStart } from './replica-log.ts'
import type { Damaged, Foreign, Lost } from './segment-chain.ts'
import type { SegmentIdentity } from './segment-format.ts'
import type { Segment } from './segment.ts'
import { SegmentSet, type SegmentSetOptions, asError } from './segment-set.ts'
import { Tombstone } from './tombstone.ts'

export const defaultSegmentBytes = 16 * 1024 * 1024
export const defaultLimitBytes = 2 * 1024 * 1024 * 1024
/** Twice what may be on its way to one follower. */
export const defaultCacheBytes = 32 * 1024 * 1024

export interface SegmentLogOptions {
  /** For segments alone; made where it is missing. */
  readonly directory: string
  readonly files: LogFiles
  /** `clusterId` undefined: not in a cluster yet. */
  readonly identity: SegmentIdentity
  /** The newest flush number that the state engine has recorded, 0: none. */
  readonly recordedFlush: number
  /** Asked when a flush header is built: the timestamp to promise. Not asked before the log is open. */
  readonly ceiling: () => number
  readonly clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  readonly segmentBytes?: number
  /** What `bytesOnDisk` should stay below: the range layer refuses writes past it. */
  readonly limitBytes?: number
  /** Of entries' data, kept in memory. */
  readonly cacheBytes?: number
  /** For the nonces of segments: nobody may guess them (default: the system's). */
  readonly randomBytes?: (length: number) => Uint8Array
  /** A write or sync failed, or an old segment cannot be read: the node must end. Called once. */
  readonly onFatal: (error: Error) => void
}

export interface SegmentLog extends Log {
  readonly limitBytes: number
  /** The node has joined a cluster (its data directory says so already): later segments carry the id. */
  setClusterId(clusterId: ClusterId): void
}

export type OpenLogResult = { readonly kind: 'opened'; readonly log: SegmentLog } | Damaged | Lost | Foreign

export async function openSegmentLog(options: SegmentLogOptions): Promise<OpenLogResult> {
  const { directory, files, identity } = options
  const state = { isOpen: false, failure: undefined as Error | undefined, log: undefined as DurableLog | undefined }
  const onFatal = (error: Error): void => {
    if (state.failure !== undefined) return
    state.failure = error
    state.log?.stop()
    if (state.isOpen) options.onFatal(error)
  }
  const segmentBytes = options.segmentBytes ?? defaultSegmentBytes
  const randomBytes = options.randomBytes ?? secureRandomBytes
  const setOptions = { directory, files, identity, segmentBytes, randomBytes, onFatal }
  const recovered = await recover(setOptions, options.recordedFlush)
  if (recovered.kind !== 'recovered') return recovered
  const ceiling = (): number => (state.isOpen ? options.ceiling() : 0)
  const log = new DurableLog({ ...options, ceiling, onFatal }, setOptions, recovered)
  state.log = log
  // At once, so that the flush that carries what was recovered never is the last one.
  await log.seal()
  if (state.failure !== undefined) {
    await log.close()
    throw state.failure
  }
  state.isOpen = true
  return { kind: 'opened', log }
}

/** A slice of a segment that is written anew goes into one flush: this much delays the others by a few milliseconds. */
const rewriteSliceBytes = 1024 * 1024
/** Up to this many segments, nothing is written anew. */
const segmentsKept = 4

class DurableLog implements SegmentLog {
  readonly recovered: readonly RecoveredReplica[]
  readonly recoveredCeiling: number
  readonly limitBytes: number
  readonly #segments: SegmentSet
  readonly #writer: FlushWriter
  readonly #host: ReplicaHost
  readonly #onFatal: (error: Error) => void
  readonly #replicas = new Map<RangeId, DurableReplica>()
  readonly #tombstones = new Map<RangeId, Tombstone>()
  /** What the last engine flush said: the next one settles it. */
  #appliedLast = new Map<RangeId, Index>()
  #rewriting = false
  /** How many bytes may be copied: as many as were written afresh, so that copying never feeds on itself. */
  #rewriteCredit: number
  #closing: Promise<void> | undefined

  constructor(options: SegmentLogOptions, setOptions: SegmentSetOptions, recovered: Recovered) {
    const { replay, segments, ceiling: ceilingFloor, number } = recovered
    const { clock, ceiling, onFatal } = options
    const cache = new EntryCache(options.cacheBytes ?? defaultCacheBytes)
    const set = new SegmentSet(setOptions, segments)
    const onFlushed = (): void => {
      cache.trim()
      this.#clean()
    }
    const writer = new FlushWriter({ segments: set, clock, ceiling, ceilingFloor, number, onFatal, onFlushed })
    this.#segments = set
    this.#writer = writer
    this.#onFatal = onFatal
    this.#rewriteCredit = set.bytesOnDisk
    this.#host = {
      cache,
      queue: record => {
        this.#rewriteCredit += record.content.rewrite ? -record.bytes : record.bytes
        writer.queue(record)
      },
      removed: replica => this.#removed(replica),
      begun: replica => this.#begun(replica),
    }
    this.limitBytes = options.limitBytes ?? defaultLimitBytes
    this.recoveredCeiling = ceilingFloor
    const replicas = replay.replicas()
    assert(!('gapIn' in replicas), 'a recovered log has no gaps')
    this.recovered = replicas.map(({ rangeId, replicaId, start }) => {
      const log = new DurableReplica(rangeId, replicaId, this.#host, start)
      this.#replicas.set(rangeId, log)
      return { rangeId, replicaId, hardState: start.hardState, log }
    })
    for (const { rangeId, replicaId, place } of replay.tombstones()) {
      this.#tombstones.set(rangeId, new Tombstone(rangeId, replicaId, this.#host, place))
    }
  }

  get flushedNumber(): number {
    return this.#writer.flushedNumber
  }

  get flushMicros(): number {
    return this.#writer.flushMicros
  }

  get bytesOnDisk(): number {
    return this.#segments.bytesOnDisk
  }

  createReplica(rangeId: RangeId, replicaId: ReplicaId): ReplicaLog {
    assert(!this.#replicas.has(rangeId), 'a range has one replica on a node')
    assert(replicaId > (this.#tombstones.get(rangeId)?.replicaId ?? 0), 'a replica id is never used again')
    const start: ReplicaStart = {
      hardState: initialHardState,
      hardStatePlace: undefined,
      truncatedIndex: 0,
      truncatedTerm: 0,
      truncationPlace: undefined,
      slots: [],
    }
    const replica = new DurableReplica(rangeId, replicaId, this.#host, start)
    this.#replicas.set(rangeId, replica)
    return replica
  }

  flush(done: FlushDone): void {
    this.#writer.flush(done)
  }

  engineFlushed(recorded: number, applied: ReadonlyMap<RangeId, Index>): void {
    assert(recorded <= this.flushedNumber, 'the engine records flushes that are durable')
    for (const [rangeId, index] of this.#appliedLast) this.#replicas.get(rangeId)?.settledTo(index)
    this.#appliedLast = new Map(applied)
    this.#clean()
  }

  setClusterId(clusterId: ClusterId): void {
    this.#segments.setClusterId(clusterId)
  }

  seal(): Promise<void> {
    return this.#writer.sealNow()
  }

  stop(): void {
    this.#writer.stop()
  }

  close(): Promise<void> {
    this.#closing ??= this.#writer.close().then(() => this.#segments.close())
    return this.#closing
  }

  #removed(replica: DurableReplica): void {
    const { rangeId, replicaId } = replica
    this.#replicas.delete(rangeId)
    this.#appliedLast.delete(rangeId)
    this.#tombstones.get(rangeId)?.drop()
    const tombstone = new Tombstone(rangeId, replicaId, this.#host, undefined)
    this.#tombstones.set(rangeId, tombstone)
    tombstone.write()
  }

  #begun(replica: DurableReplica): void {
    this.#tombstones.get(replica.rangeId)?.drop()
    this.#tombstones.delete(replica.rangeId)
  }

  #clean(): void {
    const segments = this.#segments
    let retired = false
    for (; segments.count > 1 && segments.oldest.liveBytes === 0; retired = true) segments.retireOldest()
    // A flush must say so before the files go, and an idle log has none coming but a seal.
    if (retired) this.#writer.sealSoon()
    if (this.#rewriting || segments.count <= segmentsKept) return
    const { oldest, bytesOnDisk } = segments
    this.#rewriteCredit = Math.min(this.#rewriteCredit, bytesOnDisk)
    if (this.#rewriteCredit <= 0) return
    if (oldest.liveBytes * 8 <= oldest.bytes || segments.liveBytes * 2 <= bytesOnDisk) this.#rewriteSlice(oldest)
  }

  #rewriteSlice(segment: Segment): void {
    let bytes = 0
    try {
      for (const holder of segment.holders()) {
        bytes += holder.rewriteFrom(segment, rewriteSliceBytes - bytes)
        if (bytes >= rewriteSliceBytes) break
      }
    } catch (error) {
      this.#onFatal(asError(error))
      return
    }
    if (bytes === 0) return
    this.#rewriting = true
    this.#writer.flush(() => {
      this.#rewriting = false
      this.#clean()
    })
  }
}
