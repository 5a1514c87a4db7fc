// The bytes of a segment file: one header page, then flushes; each flush a header and whole records (DESIGN.md 6).
// Knows no file. Numbers are little-endian; 64-bit ones stay below 2^53.
//
// Every checksum but the header page's begins from a seed of (the segment's random nonce, its number, the offset):
// no old or swapped file, and no client's bytes, can pass for a part of this segment.

import { crc32 } from 'node:zlib'

export const segmentVersion = 1
/** The header has a page of its own, written before the segment is used and never again. */
export const segmentHeaderBytes = 4096
export const flushHeaderBytes = 56

const segmentMagic = Buffer.from('QRTSEGMT', 'latin1')
export const flushMagic = Buffer.from([0xd7, 0x51, 0x46, 0x4c, 0x55, 0x53, 0x48, 0x9c])

export interface SegmentIdentity {
  /** 32 hex digits, or undefined until the node belongs to a cluster. */
  readonly clusterId: string | undefined
  readonly nodeId: string
  readonly storeId: string
}

export interface SegmentHeader extends SegmentIdentity {
  readonly number: number
  /** 16 random bytes. */
  readonly nonce: Uint8Array
  /** The file's length. */
  readonly bytes: number
  /** The segment that this one continues, 0: none. */
  readonly previous: number
  /** Segments below it were not needed any more when this one was made. */
  readonly oldestLive: number
  /** Set when a start made this segment: where it cut the log off. It counts once its first flush is whole. */
  readonly cut: Cut | undefined
}

/** `previous` counts up to `offset`, where its flush `number` ends (0: none of its flushes); what follows is void. */
export interface Cut {
  readonly offset: number
  readonly number: number
  /** The number of the flush that this segment begins with. */
  readonly firstNumber: number
}

export interface FlushHeader {
  readonly number: number
  /** The newest flush that was known to be synced when this one was written. */
  readonly synced: number
  /** The timestamp that this node promises not to acknowledge beyond, before a later flush. */
  readonly ceiling: number
  /** Segments below it are not needed any more. */
  readonly oldestLive: number
  /** The last flush of its segment names the segment that follows; else 0. */
  readonly next: number
  /** Bytes of records that follow. */
  readonly bodyBytes: number
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const page = Buffer.alloc(segmentHeaderBytes)
  segmentMagic.copy(page, 0)
  page.writeUInt16LE(segmentVersion, 12)
  if (header.clusterId !== undefined) page.write(header.clusterId, 16, 16, 'hex')
  page.write(header.storeId, 32, 16, 'hex')
  page.set(header.nonce, 48)
  putNumber(page, 64, header.number)
  putNumber(page, 72, header.bytes)
  putNumber(page, 80, header.previous)
  putNumber(page, 88, header.oldestLive)
  if (header.cut !== undefined) {
    putNumber(page, 96, header.cut.firstNumber)
    putNumber(page, 104, header.cut.offset)
    putNumber(page, 112, header.cut.number)
  }
  page[120] = Buffer.byteLength(header.nodeId)
  page.write(header.nodeId, 121, 63, 'latin1')
  page.writeUInt32LE(crc32(page.subarray(12)), 8)
  return page
}

/** undefined: not a whole header. A string: whole, but of another version. */
export function decodeSegmentHeader(page: Buffer): SegmentHeader | string | undefined {
  if (!page.subarray(0, 8).equals(segmentMagic)) return undefined
  if (page.readUInt32LE(8) !== crc32(page.subarray(12, segmentHeaderBytes))) return undefined
  const version = page.readUInt16LE(12)
  if (version !== segmentVersion) return `format version ${version}; this program reads ${segmentVersion}`
  const clusterId = page.toString('hex', 16, 32)
  const firstNumber = getNumber(page, 96)
  return {
    clusterId: /^0+$/.test(clusterId) ? undefined : clusterId,
    nodeId: page.toString('latin1', 121, 121 + (page[120] ?? 0)),
    storeId: page.toString('hex', 32, 48),
    number: getNumber(page, 64),
    nonce: Uint8Array.from(page.subarray(48, 64)),
    bytes: getNumber(page, 72),
    previous: getNumber(page, 80),
    oldestLive: getNumber(page, 88),
    cut: firstNumber === 0 ? undefined : { firstNumber, offset: getNumber(page, 104), number: getNumber(page, 112) },
  }
}

const scratch = Buffer.alloc(8)

/** What the checksums of a segment begin from, before the offset. */
export function segmentSeed(nonce: Uint8Array, number: number): number {
  putNumber(scratch, 0, number)
  return crc32(scratch, crc32(nonce))
}

/** The checksum of bytes [from, to) of `buffer`, which stand at `offset` of the segment. */
export function checksum(seed: number, offset: number, buffer: Buffer, from: number, to: number): number {
  putNumber(scratch, 0, offset)
  return crc32(buffer.subarray(from, to), crc32(scratch, seed))
}

/** Writes the header of a flush that stands at `offset` of its segment to `at` of `buffer`. */
export function encodeFlushHeader(buffer: Buffer, at: number, seed: number, offset: number, header: FlushHeader): void {
  buffer.set(flushMagic, at)
  buffer.writeUInt32LE(header.bodyBytes, at + 12)
  putNumber(buffer, at + 16, header.number)
  putNumber(buffer, at + 24, header.synced)
  putNumber(buffer, at + 32, header.ceiling)
  putNumber(buffer, at + 40, header.oldestLive)
  putNumber(buffer, at + 48, header.next)
  buffer.writeUInt32LE(checksum(seed, offset, buffer, at + 12, at + flushHeaderBytes), at + 8)
}

/** undefined: no whole flush header stands here. `buffer` holds the segment from its first byte. */
export function decodeFlushHeader(buffer: Buffer, at: number, seed: number): FlushHeader | undefined {
  if (at + flushHeaderBytes > buffer.byteLength) return undefined
  if (flushMagic.compare(buffer, at, at + 8) !== 0) return undefined
  if (buffer.readUInt32LE(at + 8) !== checksum(seed, at, buffer, at + 12, at + flushHeaderBytes)) return undefined
  return {
    bodyBytes: buffer.readUInt32LE(at + 12),
    number: getNumber(buffer, at + 16),
    synced: getNumber(buffer, at + 24),
    ceiling: getNumber(buffer, at + 32),
    oldestLive: getNumber(buffer, at + 40),
    next: getNumber(buffer, at + 48),
  }
}

export function putNumber(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at)
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4)
}

export function getNumber(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 0x1_0000_0000
}
