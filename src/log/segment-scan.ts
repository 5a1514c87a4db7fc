// Finds the flushes of a segment that was read whole, and says how it ends. Judges nothing: recovery does.

import { verifyRecord } from './record.ts'
import {
  type FlushHeader,
  decodeFlushHeader,
  flushHeaderBytes,
  flushMagic,
  segmentHeaderBytes,
} from './segment-format.ts'

export interface ScannedFlush {
  readonly offset: number
  /** Where it ends, exclusive. */
  readonly end: number
  readonly header: FlushHeader
}

export interface SegmentScan {
  /** Whole, and numbered one after the other. */
  readonly flushes: readonly ScannedFlush[]
  /** Where the last of them ends. */
  readonly end: number
  /** Nothing but zeros follows. */
  readonly clean: boolean
  /** The first flush header that is whole and follows what is not: proof that something before it was synced once. */
  readonly later: { readonly offset: number; readonly number: number } | undefined
}

/** `buffer`: the segment from its first byte. Nothing at or past `limit` counts. */
export function scanSegment(buffer: Buffer, seed: number, limit = buffer.byteLength): SegmentScan {
  const flushes: ScannedFlush[] = []
  let at = segmentHeaderBytes
  for (;;) {
    const flush = scanFlush(buffer, at, seed, limit)
    const previous = flushes.at(-1)
    if (flush === undefined) break
    if (previous !== undefined && flush.header.number !== previous.header.number + 1) {
      const later = { offset: at, number: flush.header.number }
      return { flushes, end: at, clean: false, later }
    }
    flushes.push(flush)
    at = flush.end
    // The segment goes on elsewhere; what follows here is void.
    if (flush.header.next !== 0) return { flushes, end: at, clean: true, later: undefined }
  }
  return { flushes, end: at, clean: isZero(buffer, at, limit), later: findFlush(buffer, at, seed, limit) }
}

function scanFlush(buffer: Buffer, offset: number, seed: number, limit: number): ScannedFlush | undefined {
  if (offset >= limit) return undefined
  const header = decodeFlushHeader(buffer, offset, seed)
  if (header === undefined) return undefined
  const end = offset + flushHeaderBytes + header.bodyBytes
  if (end > limit) return undefined
  for (let at = offset + flushHeaderBytes; at < end; ) {
    const bytes = verifyRecord(buffer, at, end, seed, at)
    if (bytes === 0) return undefined
    at += bytes
  }
  return { offset, end, header }
}

/** The flush that stands at `from` is not whole, but its header may be: that one is not looked at. */
function findFlush(buffer: Buffer, from: number, seed: number, limit: number): SegmentScan['later'] {
  for (
    let at = buffer.indexOf(flushMagic, from + 1);
    at !== -1 && at < limit;
    at = buffer.indexOf(flushMagic, at + 1)
  ) {
    const header = decodeFlushHeader(buffer, at, seed)
    if (header !== undefined) return { offset: at, number: header.number }
  }
  return undefined
}

/** Calls back for every record of a flush, in order; `buffer` holds its segment. */
export function forEachRecord(
  buffer: Buffer,
  flush: Pick<ScannedFlush, 'offset' | 'end'>,
  visit: (at: number, bytes: number) => void,
): void {
  for (let at = flush.offset + flushHeaderBytes; at < flush.end; ) {
    const bytes = buffer.readUInt32LE(at + 4)
    visit(at, bytes)
    at += bytes
  }
}

const zeros = Buffer.alloc(1 << 16)

function isZero(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += zeros.byteLength) {
    const end = Math.min(at + zeros.byteLength, to)
    if (zeros.compare(buffer, at, end, 0, end - at) !== 0) return false
  }
  return true
}
