// A start reads the segment files and settles which of them count: from the newest that holds a whole flush, back
// along `previous` to the oldest that is needed. Tells a torn tail from damage (DESIGN.md 6); changes nothing on
// disk.
//
// What is certain: a flush is written only after the one before it was synced. So every flush but the newest was
// synced; one that is not whole, with a whole one after it, is damage; and the newest may be torn, unless the
// engine recorded it.

import type { LogFile, LogFiles } from './log-files.ts'
import { startAnew } from '../base/remedies.ts'
import { type ScannedFlush, type SegmentScan, forEachRecord, scanSegment } from './segment-scan.ts'
import {
  type SegmentHeader,
  type SegmentIdentity,
  decodeSegmentHeader,
  getNumber,
  segmentHeaderBytes,
  segmentSeed,
} from './segment-format.ts'
import { segmentNumber, segmentPath } from './segment-set.ts'

export interface Damaged {
  readonly kind: 'damaged'
  readonly file: string
  readonly offset: number
  /** Ranges with records in that file, as far as it can be read. */
  readonly ranges: readonly number[]
  /** What is wrong and what to do. */
  readonly message: string
}

export interface Lost {
  readonly kind: 'lost'
  /** The newest flush that is there, and the newest that the engine knows was synced. */
  readonly found: number
  readonly recorded: number
  readonly message: string
}

export interface Foreign {
  readonly kind: 'foreign'
  readonly message: string
}

export interface SegmentFile {
  readonly path: string
  readonly header: SegmentHeader
  readonly seed: number
  readonly file: LogFile
}

export interface Chain {
  readonly kind: 'chain'
  /** Oldest first. Empty: there never was a flush. */
  readonly files: readonly SegmentFile[]
  /** The newest whole flush, and the index of its file. */
  readonly last: { readonly file: number; readonly flush: ScannedFlush } | undefined
  /** Above every flush number that may ever have been written. */
  readonly nextFlush: number
  readonly nextSegment: number
  readonly oldestLive: number
}

export class SegmentDirectory {
  readonly #files: LogFiles
  readonly #directory: string
  readonly #byNumber = new Map<number, SegmentFile>()
  #buffer: Buffer = Buffer.alloc(0)

  constructor(files: LogFiles, directory: string) {
    this.#files = files
    this.#directory = directory
  }

  get segments(): readonly SegmentFile[] {
    return [...this.#byNumber.values()]
  }

  /** Opens every segment file and checks its header. */
  async open(identity: SegmentIdentity): Promise<Damaged | Foreign | undefined> {
    const names = await this.#files.list(this.#directory)
    const numbers = names.map(segmentNumber).filter(number => number !== undefined)
    for (const number of numbers.sort((a, b) => a - b)) {
      const path = segmentPath(this.#directory, number)
      const file = await this.#files.open(path)
      const page = Buffer.alloc(segmentHeaderBytes)
      if (file.bytes >= segmentHeaderBytes) file.read(page, 0)
      const header = decodeSegmentHeader(page)
      if (
        header === undefined ||
        typeof header === 'string' ||
        header.number !== number ||
        header.bytes !== file.bytes
      ) {
        await file.close()
        return damaged(path, 0, [], headerProblem(header, number, file.bytes))
      }
      this.#byNumber.set(number, { path, header, seed: segmentSeed(header.nonce, number), file })
      const foreign = foreignTo(identity, header)
      if (foreign !== undefined) return { kind: 'foreign', message: `${path} belongs to ${foreign}. ${foreignToDo}` }
    }
    return undefined
  }

  async close(except: ReadonlySet<SegmentFile> = new Set()): Promise<void> {
    for (const segment of this.#byNumber.values()) if (!except.has(segment)) await segment.file.close()
  }

  /** The whole file. The bytes are good until the next call. */
  read(segment: SegmentFile): Buffer {
    if (this.#buffer.byteLength < segment.header.bytes) this.#buffer = Buffer.allocUnsafeSlow(segment.header.bytes)
    const whole = this.#buffer.subarray(0, segment.header.bytes)
    segment.file.read(whole, 0)
    return whole
  }

  scan(segment: SegmentFile, limit?: number): SegmentScan {
    return scanSegment(this.read(segment), segment.seed, limit)
  }

  settle(recordedFlush: number): Chain | Damaged | Lost {
    const tip = this.#findTip(recordedFlush)
    if (tip.kind === 'damaged') return tip
    const nextSegment = Math.max(0, ...this.#byNumber.keys()) + 1
    if (tip.segment === undefined) {
      if (recordedFlush > 0) return lost(0, recordedFlush)
      return {
        kind: 'chain',
        files: [],
        last: undefined,
        nextFlush: tip.above + 1,
        nextSegment,
        oldestLive: nextSegment,
      }
    }
    const files = this.#chainTo(tip.segment, tip.oldestLive)
    if ('kind' in files) return files
    const last = this.#verify(files, recordedFlush)
    if ('kind' in last) return last
    // The flush after the newest may have been under way, and its number is spent.
    const nextFlush = Math.max(tip.above, last.flush.header.number + 1, recordedFlush) + 1
    return { kind: 'chain', files, last, nextFlush, nextSegment, oldestLive: tip.oldestLive }
  }

  /** The newest segment that counts. Newer ones were made ahead, or by a start that did not finish. */
  #findTip(recordedFlush: number): Damaged | Tip {
    let above = 0
    for (const segment of this.segments.toReversed()) {
      const { header } = segment
      const scan = this.scan(segment)
      // First: what is damaged does not say which older segments are needed.
      if (scan.later !== undefined) return this.#damagedAt(segment, scan)
      if (scan.flushes.length > 0) return { kind: 'tip', segment, oldestLive: oldestLiveOf(header, scan), above }
      if (header.cut !== undefined) {
        if (!scan.clean && recordedFlush >= header.cut.firstNumber) return this.#damagedAt(segment, scan)
        above = Math.max(above, header.cut.firstNumber + 1)
        continue
      }
      const previous = this.#byNumber.get(header.previous)
      if (previous === undefined) return missing(segmentPath(this.#directory, header.previous))
      const before = this.scan(previous)
      if (before.flushes.at(-1)?.header.next === header.number) {
        const oldestLive = Math.max(header.oldestLive, oldestLiveOf(previous.header, before))
        return { kind: 'tip', segment, oldestLive, above }
      }
    }
    return { kind: 'tip', segment: undefined, oldestLive: 0, above }
  }

  #chainTo(tip: SegmentFile, oldestLive: number): readonly SegmentFile[] | Damaged {
    const chain = [tip]
    for (let { previous } = tip.header; previous !== 0 && previous >= oldestLive; ) {
      const segment = this.#byNumber.get(previous)
      if (segment === undefined) return missing(segmentPath(this.#directory, previous))
      chain.unshift(segment)
      previous = segment.header.previous
    }
    return chain
  }

  /** Every segment ends where the next one says, flush numbers join up, and only the end may be torn. */
  #verify(files: readonly SegmentFile[], recordedFlush: number): Damaged | Lost | NonNullable<Chain['last']> {
    let last: NonNullable<Chain['last']> | undefined
    let tail: SegmentScan | undefined
    for (const [i, segment] of files.entries()) {
      const next = files[i + 1]?.header
      const scan = this.scan(segment, next?.cut?.offset)
      tail = scan
      const expected =
        segment.header.cut?.firstNumber ?? (last === undefined ? undefined : last.flush.header.number + 1)
      const first = scan.flushes[0]
      if (first !== undefined && expected !== undefined && first.header.number !== expected) {
        return this.#damagedAt(segment, { ...scan, end: first.offset })
      }
      const flush = scan.flushes.at(-1)
      if (next !== undefined && !joins(next, scan, flush)) return this.#damagedAt(segment, scan)
      if (flush !== undefined) last = { file: i, flush }
    }
    const tip = files.at(-1)
    if (tip === undefined || tail === undefined) return lost(0, recordedFlush)
    if (tail.later !== undefined) return this.#damagedAt(tip, tail)
    if (last === undefined) return this.#damagedAt(tip, tail)
    const { number, next } = last.flush.header
    if (next !== 0 && next !== tip.header.number) return missing(segmentPath(this.#directory, next))
    if (recordedFlush > number) return tail.clean ? lost(number, recordedFlush) : this.#damagedAt(tip, tail)
    return last
  }

  #damagedAt(segment: SegmentFile, scan: SegmentScan): Damaged {
    const buffer = this.read(segment)
    const ranges = new Set<number>()
    for (const flush of scan.flushes) forEachRecord(buffer, flush, at => ranges.add(getNumber(buffer, at + 16)))
    ranges.delete(0)
    return damaged(segment.path, scan.end, [...ranges], 'holds a flush that is not whole, although it was synced')
  }
}

interface Tip {
  readonly kind: 'tip'
  readonly segment: SegmentFile | undefined
  readonly oldestLive: number
  /** Numbers up to here belong to starts that did not finish. */
  readonly above: number
}

function joins(next: SegmentHeader, scan: SegmentScan, last: ScannedFlush | undefined): boolean {
  if (next.cut === undefined) return last?.header.next === next.number
  return scan.end === next.cut.offset && (last?.header.number ?? 0) === next.cut.number
}

function oldestLiveOf(header: SegmentHeader, scan: SegmentScan): number {
  return scan.flushes.reduce((oldest, flush) => Math.max(oldest, flush.header.oldestLive), header.oldestLive)
}

function headerProblem(header: SegmentHeader | string | undefined, number: number, bytes: number): string {
  if (header === undefined) return 'has no whole header'
  if (typeof header === 'string') return `has ${header}`
  if (header.number !== number) return `calls itself segment ${header.number}: it was renamed, or files were swapped`
  return `is ${bytes} bytes long instead of ${header.bytes}`
}

function foreignTo(identity: SegmentIdentity, header: SegmentHeader): string | undefined {
  if (header.nodeId !== identity.nodeId) return `node ${header.nodeId}, and this is ${identity.nodeId}`
  if (header.storeId !== identity.storeId)
    return `store ${header.storeId}, and this data directory is ${identity.storeId}`
  if (header.clusterId === undefined || header.clusterId === identity.clusterId) return undefined
  return `cluster ${header.clusterId}, and this node is in ${identity.clusterId ?? 'none'}`
}

const whatToDo =
  'This node may have acknowledged what cannot be read, so it does not start. ' +
  `Restore the file. If that cannot be done: ${startAnew}`

const foreignToDo = `It holds none of what this node has promised: put its own files back. If that cannot be done: ${startAnew}`

function damaged(file: string, offset: number, ranges: readonly number[], what: string): Damaged {
  const affected = ranges.length > 0 ? `ranges ${ranges.join(', ')} and perhaps others` : 'any range of this node'
  const message = `the log is damaged: ${file} ${what} (offset ${offset}; it concerns ${affected}). ${whatToDo}`
  return { kind: 'damaged', file, offset, ranges, message }
}

function missing(file: string): Damaged {
  const message = `the log is damaged: ${file} is missing (it concerns any range of this node). ${whatToDo}`
  return { kind: 'damaged', file, offset: 0, ranges: [], message }
}

export function damagedRecords(file: string, offset: number, ranges: readonly number[], what: string): Damaged {
  return damaged(file, offset, ranges, what)
}

function lost(found: number, recorded: number): Lost {
  const message =
    `the log ends at flush ${found}, but the state engine knows that flush ${recorded} was synced: votes and ` +
    `acknowledged entries are lost, and the replicas of this store may not vote again. ${startAnew}`
  return { kind: 'lost', found, recorded, message }
}
