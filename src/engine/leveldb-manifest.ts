// What LevelDB's MANIFEST says: which tables make up the database, from which log on it is not yet in them, and the
// newest sequence number that was known then. A record that is not understood is damage: LevelDB is the one that wrote it.

import { LevelReader } from './leveldb-bytes.ts'

export interface TableRecord {
  readonly number: number
  readonly bytes: number
  /** Internal keys: key, then sequence number and kind, 8 bytes. */
  readonly smallest: Buffer
  readonly largest: Buffer
}

export interface Manifest {
  readonly tables: ReadonlyMap<number, TableRecord>
  /** Logs from here on are not in the tables; 0: there is none yet. */
  readonly logNumber: number
  readonly previousLogNumber: number
  readonly lastSequence: number
}

/** undefined: an edit that cannot be read. */
export function decodeManifest(edits: readonly Buffer[]): Manifest | undefined {
  const tables = new Map<number, TableRecord>()
  const numbers = { logNumber: 0, previousLogNumber: 0, lastSequence: 0 }
  for (const edit of edits) {
    const added: TableRecord[] = []
    if (!applyEdit(new LevelReader(edit), tables, added, numbers)) return undefined
    // A table that moves to another level is deleted and added in one edit, in this order.
    for (const table of added) tables.set(table.number, table)
  }
  return { tables, ...numbers }
}

function applyEdit(
  reader: LevelReader,
  tables: Map<number, TableRecord>,
  added: TableRecord[],
  numbers: { logNumber: number; previousLogNumber: number; lastSequence: number },
): boolean {
  while (!reader.isAtEnd) {
    const tag = reader.varint()
    if (tag === 1) {
      if (reader.slice() === undefined) return false
    } else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) {
      const number = reader.varint()
      if (number === undefined) return false
      if (tag === 2) numbers.logNumber = number
      else if (tag === 4) numbers.lastSequence = number
      else if (tag === 9) numbers.previousLogNumber = number
    } else if (tag === 5) {
      if (reader.varint() === undefined || reader.slice() === undefined) return false
    } else if (tag === 6) {
      const level = reader.varint()
      const number = reader.varint()
      if (level === undefined || number === undefined) return false
      tables.delete(number)
    } else if (tag === 7) {
      const level = reader.varint()
      const number = reader.varint()
      const bytes = reader.varint()
      const smallest = reader.slice()
      const largest = reader.slice()
      if (level === undefined || number === undefined || bytes === undefined) return false
      if (smallest === undefined || largest === undefined) return false
      added.push({ number, bytes, smallest, largest })
    } else return false
  }
  return true
}
