// What a flush carries: records, each with a checksum of its own. Encoded by hand, because this is the hot path:
// one copy of an entry's bytes, into the flush that is about to be written.
//
// Layout: checksum 4, length 4 (whole record), kind 1, flags 1, version 1, 0, count 4, range id 8, replica id 8,
// payload.

import type { Entry, EntryKind, HardState } from '../raft/types.ts'
import { type Index, type Term, asIndex, asReplicaId, asTerm } from '../base/ids.ts'
import { assert, must, unreachable } from '../base/assert.ts'
import { checksum, getNumber, putNumber } from './segment-format.ts'

export const recordVersion = 1
export const recordHeaderBytes = 32
export const hardStateBytes = 24
/** In front of each entry's data. */
export const entryHeaderBytes = 16

/** `tombstone` is DESIGN's "range removed". 7 is kept for an index of a segment's records. */
export type RecordKind = 'entries' | 'hard-state' | 'truncation' | 'reset' | 'tombstone' | 'seal'

const kindCodes: Readonly<Record<RecordKind, number>> = {
  entries: 1,
  'hard-state': 2,
  truncation: 3,
  reset: 4,
  tombstone: 5,
  seal: 6,
}
const kindsByCode = new Map(Object.entries(kindCodes).map(([kind, code]) => [code, kind as RecordKind]))

const flagHardState = 1
const flagRewrite = 2
const flagKept = 4

const entryKinds: readonly EntryKind[] = ['empty', 'command', 'configuration']

/** A record on its way to disk. One shape for all kinds: fields that a kind does not use are empty. */
export interface RecordContent {
  readonly kind: RecordKind
  readonly rangeId: number
  readonly replicaId: number
  /** A copy of what an older segment holds: it never truncates. */
  readonly rewrite: boolean
  readonly hardState: HardState | undefined
  /** Consecutive. */
  readonly entries: readonly Entry[]
  /** truncation, reset: the new truncated index. seal: the newest synced flush. */
  readonly index: number
  readonly term: number
  /** reset: the entry at `index` matched, so the suffix stays. Decided once; a replay may not know that entry any more. */
  readonly kept: boolean
}

export interface DecodedEntry {
  readonly term: Term
  readonly index: Index
  readonly kind: EntryKind
  /** Where its data begins, from the record's first byte. */
  readonly at: number
  readonly bytes: number
}

export interface DecodedRecord extends Omit<RecordContent, 'entries'> {
  readonly entries: readonly DecodedEntry[]
  /** Length of the whole record. */
  readonly bytes: number
}

export function encodedBytes(content: RecordContent): number {
  const payload = content.hardState === undefined ? 0 : hardStateBytes
  switch (content.kind) {
    case 'entries': {
      let bytes = recordHeaderBytes + payload + 8
      for (const entry of content.entries) bytes += entryHeaderBytes + entry.data.byteLength
      return bytes
    }
    case 'hard-state':
      return recordHeaderBytes + payload
    case 'truncation':
    case 'reset':
      return recordHeaderBytes + 16
    case 'tombstone':
      return recordHeaderBytes
    case 'seal':
      return recordHeaderBytes + 8
    default:
      return unreachable(content.kind)
  }
}

/** Writes `content`, `bytes` long, to `at` of `buffer`; it will stand at `offset` of its segment. */
export function encodeRecord(
  buffer: Buffer,
  at: number,
  bytes: number,
  seed: number,
  offset: number,
  content: RecordContent,
): void {
  const { hardState, entries } = content
  buffer.writeUInt32LE(bytes, at + 4)
  buffer[at + 8] = kindCodes[content.kind]
  buffer[at + 9] =
    (hardState === undefined ? 0 : flagHardState) | (content.rewrite ? flagRewrite : 0) | (content.kept ? flagKept : 0)
  buffer[at + 10] = recordVersion
  buffer[at + 11] = 0
  buffer.writeUInt32LE(entries.length, at + 12)
  putNumber(buffer, at + 16, content.rangeId)
  putNumber(buffer, at + 24, content.replicaId)
  let cursor = at + recordHeaderBytes
  if (hardState !== undefined) {
    putNumber(buffer, cursor, hardState.term)
    putNumber(buffer, cursor + 8, hardState.vote)
    putNumber(buffer, cursor + 16, hardState.commit)
    cursor += hardStateBytes
  }
  switch (content.kind) {
    case 'entries':
      putNumber(buffer, cursor, must(entries[0]).index)
      cursor += 8
      for (const entry of entries) {
        putNumber(buffer, cursor, entry.term)
        buffer.writeUInt32LE(entry.data.byteLength, cursor + 8)
        buffer.writeUInt32LE(entryKinds.indexOf(entry.kind), cursor + 12)
        buffer.set(entry.data, cursor + entryHeaderBytes)
        cursor += entryHeaderBytes + entry.data.byteLength
      }
      break
    case 'truncation':
    case 'reset':
      putNumber(buffer, cursor, content.index)
      putNumber(buffer, cursor + 8, content.term)
      cursor += 16
      break
    case 'seal':
      putNumber(buffer, cursor, content.index)
      cursor += 8
      break
    case 'hard-state':
    case 'tombstone':
      break
    default:
      unreachable(content.kind)
  }
  assert(cursor === at + bytes, 'a record is as long as it was measured')
  buffer.writeUInt32LE(checksum(seed, offset, buffer, at + 4, at + bytes), at)
}

/** The length of the record that stands at `at` of `buffer` (`offset` of its segment), 0 when none that is whole ends by `end`. */
export function verifyRecord(buffer: Buffer, at: number, end: number, seed: number, offset: number): number {
  if (at + recordHeaderBytes > end) return 0
  const bytes = buffer.readUInt32LE(at + 4)
  if (bytes < recordHeaderBytes || at + bytes > end) return 0
  return buffer.readUInt32LE(at) === checksum(seed, offset, buffer, at + 4, at + bytes) ? bytes : 0
}

/** Decodes a record that was verified; undefined when this program does not know its kind or version. */
export function decodeRecord(buffer: Buffer, at: number): DecodedRecord | undefined {
  const bytes = buffer.readUInt32LE(at + 4)
  const kind = kindsByCode.get(buffer[at + 8] ?? 0)
  if (kind === undefined || buffer[at + 10] !== recordVersion) return undefined
  const flags = buffer[at + 9] ?? 0
  let cursor = at + recordHeaderBytes
  let hardState: HardState | undefined
  if ((flags & flagHardState) !== 0) {
    hardState = {
      term: asTerm(getNumber(buffer, cursor)),
      vote: asReplicaId(getNumber(buffer, cursor + 8)),
      commit: asIndex(getNumber(buffer, cursor + 16)),
    }
    cursor += hardStateBytes
  }
  const hasIndex = kind === 'truncation' || kind === 'reset' || kind === 'seal'
  return {
    kind,
    rangeId: getNumber(buffer, at + 16),
    replicaId: getNumber(buffer, at + 24),
    rewrite: (flags & flagRewrite) !== 0,
    hardState,
    entries: kind === 'entries' ? decodeEntries(buffer, at, cursor) : [],
    index: hasIndex ? getNumber(buffer, cursor) : 0,
    term: hasIndex && kind !== 'seal' ? getNumber(buffer, cursor + 8) : 0,
    kept: (flags & flagKept) !== 0,
    bytes,
  }
}

function decodeEntries(buffer: Buffer, at: number, from: number): readonly DecodedEntry[] {
  const count = buffer.readUInt32LE(at + 12)
  const first = getNumber(buffer, from)
  const entries: DecodedEntry[] = []
  let cursor = from + 8
  for (let i = 0; i < count; i++) {
    const bytes = buffer.readUInt32LE(cursor + 8)
    entries.push({
      term: asTerm(getNumber(buffer, cursor)),
      index: asIndex(first + i),
      kind: must(entryKinds[buffer.readUInt32LE(cursor + 12)], 'an entry of unknown kind'),
      at: cursor + entryHeaderBytes - at,
      bytes,
    })
    cursor += entryHeaderBytes + bytes
  }
  return entries
}
