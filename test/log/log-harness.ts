// What the log's tests share: a clock moved by hand, a log on a fake disk, and pictures of what a log holds.

import {
  type RangeId,
  asClusterId,
  asIndex,
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  asTerm,
} from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import type { ReplicaLog } from '../../src/log/log.ts'
import {
  type OpenLogResult,
  type SegmentLog,
  type SegmentLogOptions,
  openSegmentLog,
} from '../../src/log/segment-log.ts'
import type { Entry, HardState } from '../../src/raft/types.ts'
import { FakeLogFiles } from './fake-log-files.ts'

export class ManualClock {
  #now = 0
  #timers: { at: number; callback: () => void }[] = []

  monotonicMs(): number {
    return this.#now
  }

  setTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, callback }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      },
    }
  }

  advance(ms: number): void {
    this.#now += ms
    for (const timer of this.#timers.filter(({ at }) => at <= this.#now)) {
      this.#timers = this.#timers.filter(other => other !== timer)
      timer.callback()
    }
  }
}

export const directory = '/log'

export const identity = {
  clusterId: asClusterId('c'.repeat(32)),
  nodeId: asNodeId('n1'),
  storeId: asStoreId('5'.repeat(32)),
}

export function createDisk(seed = 1): FakeLogFiles {
  return new FakeLogFiles({ prng: createPrng(seed), recordsWrites: true })
}

export interface Opening {
  readonly recordedFlush?: number
  readonly segmentBytes?: number
  readonly cacheBytes?: number
  readonly ceiling?: () => number
  readonly clock?: SegmentLogOptions['clock']
  readonly onFatal?: (error: Error) => void
  readonly identity?: SegmentLogOptions['identity']
}

export function tryOpen(files: SegmentLogOptions['files'], opening: Opening = {}): Promise<OpenLogResult> {
  return openSegmentLog({
    directory,
    files: files instanceof FakeLogFiles ? files.mount() : files,
    identity,
    recordedFlush: 0,
    ceiling: () => 0,
    clock: new ManualClock(),
    segmentBytes: 16 * 1024,
    onFatal: error => {
      throw error
    },
    ...opening,
  })
}

export async function openLog(files: SegmentLogOptions['files'], opening: Opening = {}): Promise<SegmentLog> {
  const result = await tryOpen(files, opening)
  if (result.kind !== 'opened') throw new Error(result.message)
  return result.log
}

export function flushed(log: SegmentLog): Promise<number> {
  return new Promise(resolve => log.flush(resolve))
}

/** Lets everything that is ready happen. */
export function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

export function entry(index: number, term = 1, data: string | Uint8Array = `entry ${index} of term ${term}`): Entry {
  return {
    index: asIndex(index),
    term: asTerm(term),
    kind: 'command',
    data: typeof data === 'string' ? Buffer.from(data) : data,
  }
}

export function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term))
}

export function hardState(term: number, vote = 0, commit = 0): HardState {
  return { term: asTerm(term), vote: asReplicaId(vote), commit: asIndex(commit) }
}

export function createReplica(log: SegmentLog, rangeId: number, replicaId = 1): ReplicaLog {
  return log.createReplica(asRangeId(rangeId), asReplicaId(replicaId))
}

export function replicaOf(log: SegmentLog, rangeId: number): ReplicaLog {
  const found = log.recovered.find(replica => replica.rangeId === rangeId)
  if (found === undefined) throw new Error(`range ${rangeId} was not recovered`)
  return found.log
}

export function applied(indexes: Readonly<Record<number, number>>): ReadonlyMap<RangeId, ReturnType<typeof asIndex>> {
  return new Map(Object.entries(indexes).map(([rangeId, index]) => [asRangeId(Number(rangeId)), asIndex(index)]))
}

/** Two engine flushes that cover `indexes`: what is below them is settled. */
export function settle(log: SegmentLog, indexes: Readonly<Record<number, number>>): void {
  log.engineFlushed(log.flushedNumber, applied(indexes))
  log.engineFlushed(log.flushedNumber, applied(indexes))
}

export interface ReplicaPicture {
  readonly replica: number
  readonly hardState: string
  readonly truncated: string
  readonly entries: readonly string[]
}

export function pictureOf(log: ReplicaLog, state: HardState): ReplicaPicture {
  const all =
    log.lastIndex > log.truncatedIndex
      ? log.entries(asIndex(log.truncatedIndex + 1), asIndex(log.lastIndex + 1), Number.POSITIVE_INFINITY)
      : []
  return {
    replica: log.replicaId,
    hardState: `${state.term} ${state.vote} ${state.commit}`,
    truncated: `${log.truncatedIndex}@${log.term(log.truncatedIndex)}`,
    entries: all.map(each => `${each.index}@${each.term} ${each.kind} ${Buffer.from(each.data).toString('latin1')}`),
  }
}

/** Everything that a reopened log recovered, by range. */
export function picture(log: SegmentLog): Record<number, ReplicaPicture> {
  const ranges: Record<number, ReplicaPicture> = {}
  for (const recovered of log.recovered) ranges[recovered.rangeId] = pictureOf(recovered.log, recovered.hardState)
  return ranges
}
