// Each batch writes a numbered marker and removes the one before the previous, so that exactly two are there, one
// number apart. LevelDB may lose a batch from the middle of its log without an error (DESIGN.md 7): then its marker is
// missing while a later one is there. A missing end is no damage: the node's log replays it. The owner (the store's id)
// is part of a marker's checksum, so that files of another node's engine do not pass.

import { crc32 } from 'node:zlib'
import type { EngineBatchOperation, EnginePair } from '../engine/engine.ts'
import { ByteReader, writeFixed } from './byte-writer.ts'
import { markerPrefix } from './engine-keys.ts'
import { formatVersion } from './version.ts'

const numberDigits = 16
const markerBytes = 13

export type MarkerState =
  | {
      readonly kind: 'whole'
      readonly number: number
      readonly recordedFlush: number
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'damaged'; readonly message: string }

/** The number that an engine without batches has. */
export const firstMarker = 1

/** For an empty engine: two, so that losing the very next batch leaves a trace as well. */
export function firstMarkerOperations(owner: string): readonly EngineBatchOperation[] {
  return [...markerOperations(firstMarker - 1, 0, owner), ...markerOperations(firstMarker, 0, owner)]
}

export function markerOperations(
  number: number,
  recordedFlush: number,
  owner: string,
): readonly EngineBatchOperation[] {
  const value = Buffer.allocUnsafe(markerBytes)
  value[0] = formatVersion
  writeFixed(value, recordedFlush, 5)
  value.writeUInt32LE(markerCrc(markerKey(number), value, owner), 1)
  const operations: EngineBatchOperation[] = [{ key: markerKey(number), value }]
  if (number >= 2) operations.push({ key: markerKey(number - 2), value: undefined })
  return operations
}

/** `pairs`: all markers, in order. */
export function checkMarkers(pairs: readonly EnginePair[], owner: string): MarkerState {
  const last = pairs.at(-1)
  if (last === undefined) return { kind: 'none' }
  const numbers = pairs.map(pair => Number(pair.key.slice(markerPrefix.length)))
  const number = numbers.at(-1) ?? 0
  const expected = [number - 1, number]
  if (numbers.length !== expected.length || numbers.some((found, position) => found !== expected[position])) {
    const message = `the state engine lost a batch: markers ${numbers.join(', ')} are there where ${expected.join(', ')} should be`
    return { kind: 'damaged', message }
  }
  const flushes = pairs.map(pair => recordedFlush(pair, owner))
  const recorded = flushes.at(-1)
  if (recorded === undefined || flushes.includes(undefined)) {
    const message = `one of the state engine's markers ${numbers.join(', ')} is damaged, or of another store`
    return { kind: 'damaged', message }
  }
  return { kind: 'whole', number, recordedFlush: recorded }
}

/** undefined: the marker is damaged, or not this owner's. */
function recordedFlush({ key, value }: EnginePair, owner: string): number | undefined {
  if (value.length !== markerBytes || value[0] !== formatVersion) return undefined
  const reader = new ByteReader(value, 5)
  if (markerCrc(key, reader.bytes, owner) !== reader.bytes.readUInt32LE(1)) return undefined
  return reader.fixed()
}

function markerKey(number: number): string {
  return markerPrefix + String(number).padStart(numberDigits, '0')
}

function markerCrc(key: string, value: Buffer, owner: string): number {
  return crc32(value.subarray(5), crc32(Buffer.from(owner + key, 'latin1')))
}
