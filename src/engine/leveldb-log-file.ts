// LevelDB's log format, in which its write-ahead logs and its MANIFEST are written: blocks of 32 KiB, in each of them
// fragments with a checksum. LevelDB skips what does not fit, here it is told apart: a torn end, or damage.
//
// What is certain: every write of ours is synced before the next begins (leveldb-engine.ts). So where a whole record
// begins behind something that is not whole, that something had been synced once.

import { maskedCrc32c } from './crc32c.ts'

const blockBytes = 32 * 1024
const headerBytes = 7
const full = 1
const first = 2
const last = 4

export interface LogFileScan {
  /** Payloads up to the first thing that is not whole. */
  readonly records: readonly Buffer[]
  /** Where that is; undefined: all is whole. */
  readonly badAt: number | undefined
  /** It is only short: the file ends before the record does. */
  readonly isShort: boolean
  /** A whole record that begins behind it. */
  readonly laterAt: number | undefined
}

/** `follows` says of the first fragment of a record found after a bad one whether it can be what was written next. */
export function scanLogFile(
  bytes: Buffer,
  follows: (payload: Buffer, records: readonly Buffer[]) => boolean,
): LogFileScan {
  const records: Buffer[] = []
  const bad = (badAt: number, isShort: boolean): LogFileScan => {
    const accept = (payload: Buffer): boolean => follows(payload, records)
    return { records, badAt, isShort, laterAt: isShort ? undefined : findLater(bytes, badAt, accept) }
  }
  let parts: Buffer[] | undefined
  let recordAt = 0
  for (let at = 0; at < bytes.length; ) {
    const left = blockBytes - (at % blockBytes)
    if (left < headerBytes) {
      if (bytes.subarray(at, at + left).some(byte => byte !== 0)) return bad(at, false)
      at += left
      continue
    }
    if (parts === undefined) recordAt = at
    const fragment = readFragment(bytes, at)
    if (fragment === undefined) return bad(recordAt, isCutOff(bytes, at))
    const { type, payload } = fragment
    at += headerBytes + payload.length
    const begins = type === full || type === first
    if (begins !== (parts === undefined)) return bad(recordAt, false)
    parts = begins ? [payload] : [...(parts ?? []), payload]
    if (type !== full && type !== last) continue
    records.push(parts.length === 1 ? payload : Buffer.concat(parts))
    parts = undefined
  }
  if (parts !== undefined) return { records, badAt: recordAt, isShort: true, laterAt: undefined }
  return { records, badAt: undefined, isShort: false, laterAt: undefined }
}

function readFragment(bytes: Buffer, at: number): { readonly type: number; readonly payload: Buffer } | undefined {
  if (at + headerBytes > bytes.length) return undefined
  const length = bytes.readUInt16LE(at + 4)
  const end = at + headerBytes + length
  const type = bytes[at + 6] ?? 0
  if (type < full || type > last) return undefined
  if (end > bytes.length || (at % blockBytes) + headerBytes + length > blockBytes) return undefined
  if (bytes.readUInt32LE(at) !== maskedCrc32c(bytes, at + 6, end)) return undefined
  return { type, payload: bytes.subarray(at + headerBytes, end) }
}

/** The fragment at `at` would go past the end of the file, and not past the end of its block. */
function isCutOff(bytes: Buffer, at: number): boolean {
  if (at + headerBytes > bytes.length) return true
  const length = bytes.readUInt16LE(at + 4)
  const type = bytes[at + 6] ?? 0
  const isPlausible = type >= full && type <= last && (at % blockBytes) + headerBytes + length <= blockBytes
  return isPlausible && at + headerBytes + length > bytes.length
}

/** Byte by byte: a damaged length says nothing about where the next record begins. */
function findLater(bytes: Buffer, from: number, accept: (payload: Buffer) => boolean): number | undefined {
  for (let at = from + 1; at + headerBytes <= bytes.length; at++) {
    const type = bytes[at + 6]
    if (type !== full && type !== first) continue
    const fragment = readFragment(bytes, at)
    if (fragment !== undefined && accept(fragment.payload)) return at
  }
  return undefined
}
