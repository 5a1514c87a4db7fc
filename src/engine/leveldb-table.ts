// A table file of LevelDB, checked byte for byte: every block's checksum, that the blocks leave no gap, and that its first
// and last keys are those that the MANIFEST names. LevelDB itself checks none of it: a flipped bit comes back as data, makes
// keys vanish, or ends the process (DESIGN.md 7).

import { uncompress } from 'snappyjs'
import { maskedCrc32c } from './crc32c.ts'
import { LevelReader } from './leveldb-bytes.ts'
import type { TableRecord } from './leveldb-manifest.ts'

const footerBytes = 48
const handlesBytes = 40
const trailerBytes = 5
const magic = '57fb808b247547db'
const compressionNone = 0
const compressionSnappy = 1
/** A block holds one row more than the 4 KiB that it is cut at, and a row is a few MiB at most. */
const blockBytesMax = 64 * 1024 * 1024

interface Handle {
  readonly offset: number
  readonly length: number
}

/** What is wrong, undefined: nothing. */
export function tableProblem(bytes: Buffer, record: TableRecord): string | undefined {
  if (bytes.length !== record.bytes) return `is ${bytes.length} bytes long instead of ${record.bytes}`
  if (bytes.length < footerBytes) return 'is shorter than a table can be'
  const footer = bytes.subarray(bytes.length - footerBytes)
  if (footer.toString('hex', handlesBytes) === magic) {
    const reader = new LevelReader(footer.subarray(0, handlesBytes))
    const metaHandle = readHandle(reader)
    const indexHandle = readHandle(reader)
    const isPadded = footer.subarray(reader.offset, handlesBytes).every(byte => byte === 0)
    if (metaHandle !== undefined && indexHandle !== undefined && isPadded)
      return blocksProblem(bytes, record, metaHandle, indexHandle)
  }
  return 'has no whole footer'
}

function blocksProblem(bytes: Buffer, record: TableRecord, meta: Handle, index: Handle): string | undefined {
  const indexEntries = readEntries(bytes, index)
  if (indexEntries === undefined) return 'has a damaged index'
  const metaEntries = readEntries(bytes, meta)
  if (metaEntries === undefined) return 'has a damaged index of its filters'
  const handles = [...indexEntries, ...metaEntries].map(entry => readHandle(new LevelReader(entry.value)))
  let end = 0
  for (const handle of [...handles, meta, index]) {
    if (handle === undefined || handle.offset !== end) return 'has blocks that do not follow each other'
    if (!isWhole(bytes, handle)) return `has a damaged block at offset ${handle.offset}`
    end += handle.length + trailerBytes
  }
  if (end !== bytes.length - footerBytes) return 'has blocks that do not follow each other'
  const firstBlock = handles[0]
  const lastBlock = handles[indexEntries.length - 1]
  const first = firstBlock && readEntries(bytes, firstBlock)?.at(0)?.key
  const last = lastBlock && readEntries(bytes, lastBlock)?.at(-1)?.key
  if (first === undefined || last === undefined || !first.equals(record.smallest) || !last.equals(record.largest))
    return 'holds other keys than the database put there: it is another table, or an older one'
  return undefined
}

function isWhole(bytes: Buffer, { offset, length }: Handle): boolean {
  const end = offset + length
  if (end + trailerBytes > bytes.length - footerBytes) return false
  return maskedCrc32c(bytes, offset, end + 1) === bytes.readUInt32LE(end + 1)
}

function readHandle(reader: LevelReader): Handle | undefined {
  const offset = reader.varint()
  const length = reader.varint()
  return offset === undefined || length === undefined ? undefined : { offset, length }
}

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

/** undefined: these bytes are no whole block of Snappy. */
function decompress(stored: Buffer): Buffer | undefined {
  try {
    return uncompress(stored, blockBytesMax)
  } catch {
    return undefined
  }
}

/** A block's keys and values in order; undefined: it is not whole. */
function readEntries(bytes: Buffer, handle: Handle): readonly Entry[] | undefined {
  if (!isWhole(bytes, handle)) return undefined
  const end = handle.offset + handle.length
  const stored = bytes.subarray(handle.offset, end)
  const compression = bytes[end]
  const block = compression === compressionSnappy ? decompress(stored) : stored
  if (block === undefined || (compression !== compressionNone && compression !== compressionSnappy)) return undefined
  if (block.length < 4) return undefined
  const restarts = block.readUInt32LE(block.length - 4)
  const entriesEnd = block.length - 4 - 4 * restarts
  if (entriesEnd < 0) return undefined
  const reader = new LevelReader(block.subarray(0, entriesEnd))
  const entries: Entry[] = []
  let key: Buffer = Buffer.alloc(0)
  while (!reader.isAtEnd) {
    const shared = reader.varint()
    const unshared = reader.varint()
    const valueLength = reader.varint()
    if (shared === undefined || unshared === undefined || valueLength === undefined || shared > key.length)
      return undefined
    const rest = reader.take(unshared)
    const value = reader.take(valueLength)
    if (rest === undefined || value === undefined) return undefined
    key = Buffer.concat([key.subarray(0, shared), rest])
    entries.push({ key, value })
  }
  return entries
}
