// From segment files to replicas: settles what counts, replays it, and goes on in a fresh segment that names where
// the log was cut.
//
// The newest flush was read back, but perhaps from the page cache alone (its write may have been under way when
// the process was killed). So it is written anew, in the fresh segment's first flush; that segment counts once
// this flush is synced, and until then the next start finds everything as this one did.

import { LogReplay } from './log-replay.ts'
import { decodeRecord } from './record.ts'
import { Segment } from './segment.ts'
import {
  type Chain,
  type Damaged,
  type Foreign,
  type Lost,
  type SegmentFile,
  SegmentDirectory,
  damagedRecords,
} from './segment-chain.ts'
import {
  checksum,
  encodeFlushHeader,
  encodeSegmentHeader,
  flushHeaderBytes,
  segmentHeaderBytes,
  segmentSeed,
} from './segment-format.ts'
import { type ScannedFlush, forEachRecord } from './segment-scan.ts'
import { type SegmentSetOptions, createHeader, segmentNumber, segmentPath } from './segment-set.ts'
import { unfinishedSuffix } from './log-files.ts'
import { must } from '../base/assert.ts'

export interface Recovered {
  readonly kind: 'recovered'
  readonly replay: LogReplay
  /** Oldest first; the last one is fresh, and active. */
  readonly segments: Segment[]
  /** Number of the newest durable flush. */
  readonly number: number
  readonly ceiling: number
}

export async function recover(
  options: SegmentSetOptions,
  recordedFlush: number,
): Promise<Recovered | Damaged | Lost | Foreign> {
  const { files, directory } = options
  await files.makeDirectory(directory)
  const found = new SegmentDirectory(files, directory)
  const kept = new Set<SegmentFile>()
  try {
    const problem = await found.open(options.identity)
    if (problem !== undefined) return problem
    const chain = found.settle(recordedFlush)
    if (chain.kind !== 'chain') return chain
    const plan = planCut(found, chain, recordedFlush)
    const replay = new LogReplay()
    const segments = chain.files.map(({ path, header, file }) => new Segment(path, header, file))
    const replayed = replayChain(found, chain, segments, plan, replay)
    if (typeof replayed !== 'number') return replayed

    const fresh = await writeFresh(options, chain, plan, replayed)
    const body = { offset: segmentHeaderBytes, end: fresh.segment.end }
    forEachRecord(fresh.image, body, (at, bytes) => {
      replay.apply(must(decodeRecord(fresh.image, at)), { segment: fresh.segment, offset: at, bytes })
    })
    const replicas = replay.replicas()
    if ('gapIn' in replicas) {
      await fresh.segment.file.close()
      const what = `range ${replicas.gapIn}: entry ${replicas.index} is nowhere`
      return damagedRecords(fresh.segment.path, 0, [replicas.gapIn], what)
    }
    for (const segment of chain.files) kept.add(segment)
    await linkFrom(chain, plan, fresh)
    await removeOthers(options, new Set([...segments, fresh.segment].map(segment => segment.path)))
    segments.push(fresh.segment)
    return { kind: 'recovered', replay, segments, number: chain.nextFlush, ceiling: replayed }
  } finally {
    await found.close(kept)
  }
}

/** What of the newest flush moves into the fresh segment, and where the log before it ends. */
interface CutPlan {
  readonly previous: number
  readonly offset: number
  readonly number: number
  readonly moved: Buffer
  /** Where `moved` stood: it is not replayed from there. */
  readonly movedFlush: ScannedFlush | undefined
}

function planCut(found: SegmentDirectory, chain: Chain, recordedFlush: number): CutPlan {
  if (chain.last === undefined) {
    return { previous: 0, offset: 0, number: 0, moved: Buffer.alloc(0), movedFlush: undefined }
  }
  const segment = must(chain.files[chain.last.file])
  const { flush } = chain.last
  const previous = segment.header.number
  const { number } = flush.header
  if (number <= recordedFlush) {
    return { previous, offset: flush.end, number, moved: Buffer.alloc(0), movedFlush: undefined }
  }
  const moved = Buffer.from(found.read(segment).subarray(flush.offset + flushHeaderBytes, flush.end))
  const isFirst = flush.offset === segmentHeaderBytes
  return { previous, offset: flush.offset, number: isFirst ? 0 : number - 1, moved, movedFlush: flush }
}

/** Replays everything before the cut; returns the largest ceiling that any flush promised. */
function replayChain(
  found: SegmentDirectory,
  chain: Chain,
  segments: readonly Segment[],
  plan: CutPlan,
  replay: LogReplay,
): number | Damaged {
  let ceiling = chain.last?.flush.header.ceiling ?? 0
  for (const [i, segment] of chain.files.entries()) {
    const limit = segment.header.number === plan.previous ? plan.offset : chain.files[i + 1]?.header.cut?.offset
    const scan = found.scan(segment, limit)
    const buffer = found.read(segment)
    const place = must(segments[i])
    let unknown: number | undefined
    for (const flush of scan.flushes) {
      ceiling = Math.max(ceiling, flush.header.ceiling)
      forEachRecord(buffer, flush, (at, bytes) => {
        const record = decodeRecord(buffer, at)
        if (record === undefined) unknown ??= at
        else replay.apply(record, { segment: place, offset: at, bytes })
      })
    }
    if (unknown !== undefined) {
      const what = 'holds a record that this program does not know (was it written by a later version?)'
      return damagedRecords(segment.path, unknown, replay.rangeIds(), what)
    }
  }
  return ceiling
}

interface Fresh {
  readonly segment: Segment
  /** The segment's first bytes: its header page and its first flush. */
  readonly image: Buffer
}

async function writeFresh(options: SegmentSetOptions, chain: Chain, plan: CutPlan, ceiling: number): Promise<Fresh> {
  const { nextSegment, nextFlush, oldestLive } = chain
  const end = segmentHeaderBytes + flushHeaderBytes + plan.moved.byteLength
  const numbers = { number: nextSegment, previous: plan.previous, oldestLive }
  const cut = { offset: plan.offset, number: plan.number, firstNumber: nextFlush }
  const header = createHeader(options, numbers, end - segmentHeaderBytes, cut)
  const seed = segmentSeed(header.nonce, nextSegment)
  const page = encodeSegmentHeader(header)
  const image = Buffer.alloc(end)
  page.copy(image)
  plan.moved.copy(image, segmentHeaderBytes + flushHeaderBytes)
  const bodyBytes = plan.moved.byteLength
  const flush = { number: nextFlush, synced: plan.number, ceiling, oldestLive, next: 0, bodyBytes }
  encodeFlushHeader(image, segmentHeaderBytes, seed, segmentHeaderBytes, flush)
  forEachRecord(image, { offset: segmentHeaderBytes, end }, (at, bytes) => {
    image.writeUInt32LE(checksum(seed, at, image, at + 4, at + bytes), at)
  })
  const path = segmentPath(options.directory, nextSegment)
  const file = await options.files.create(path, page, header.bytes)
  const segment = new Segment(path, header, file)
  segment.end = end
  try {
    await file.write(image.subarray(segmentHeaderBytes), end - segmentHeaderBytes, segmentHeaderBytes)
  } catch (error) {
    await file.close()
    throw error
  }
  return { segment, image }
}

/** Behind the cut, in space that counts no more, the old segment names the fresh one: should that go missing, it is noticed. */
async function linkFrom(chain: Chain, plan: CutPlan, fresh: Fresh): Promise<void> {
  if (chain.last === undefined) return
  const { header, seed, file } = must(chain.files[chain.last.file])
  if (plan.offset + flushHeaderBytes > header.bytes) return
  const number = plan.number === 0 ? chain.nextFlush : plan.number + 1
  const link = Buffer.alloc(flushHeaderBytes)
  const next = fresh.segment.number
  const { oldestLive } = chain
  encodeFlushHeader(link, 0, seed, plan.offset, {
    number,
    synced: plan.number,
    ceiling: 0,
    oldestLive,
    next,
    bodyBytes: 0,
  })
  await file.write(link, flushHeaderBytes, plan.offset)
}

/** Segments that do not count any more: made ahead, unfinished, or not needed. */
async function removeOthers(options: SegmentSetOptions, kept: ReadonlySet<string>): Promise<void> {
  const { files, directory } = options
  let removed = false
  for (const name of await files.list(directory)) {
    const path = `${directory}/${name}`
    const own = segmentNumber(name) !== undefined || segmentNumber(name.replace(unfinishedSuffix, '')) !== undefined
    if (!own || kept.has(path)) continue
    await files.unlink(path)
    removed = true
  }
  if (removed) await files.syncDirectory(directory)
}
