// Each batch writes a numbered marker and removes the one before the previous, so that exactly two are there, one
// number apart. LevelDB may lose a batch from the middle of its log without an error (DESIGN.md 7): then its marker is
// missing while a later one is there. A missing end is no damage: the node's log replays it.

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
export function firstMarkerOperations(): readonly EngineBatchOperation[] {
  return [...markerOperations(firstMarker - 1, 0), ...markerOperations(firstMarker, 0)]
}

export function markerOperations(number: number, recordedFlush: number): readonly EngineBatchOperation[] {
  const value = Buffer.allocUnsafe(markerBytes)
  value[0] = formatVersion
  writeFixed(value, recordedFlush, 5)
  value.writeUInt32LE(markerCrc(markerKey(number), value), 1)
  const operations: EngineBatchOperation[] = [{ key: markerKey(number), value }]
  if (number >= 2) operations.push({ key: markerKey(number - 2), value: undefined })
  return operations
}

/** `pairs`: all markers, in order. */
export function checkMarkers(pairs: readonly EnginePair[]): MarkerState {
  const last = pairs.at(-1)
  if (last === undefined) return { kind: 'none' }
  const numbers = pairs.map(pair => Number(pair.key.slice(markerPrefix.length)))
  const number = numbers.at(-1) ?? 0
  const expected = [number - 1, number]
  if (numbers.length !== expected.length || numbers.some((found, position) => found !== expected[position])) {
    const message = `the state engine lost a batch: markers ${numbers.join(', ')} are there where ${expected.join(', ')} should be`
    return { kind: 'damaged', message }
  }
  const { key, value } = last
  if (value.length !== markerBytes || value[0] !== formatVersion)
    return { kind: 'damaged', message: `marker ${number} is damaged` }
  const reader = new ByteReader(value, 5)
  if (markerCrc(key, reader.bytes) !== reader.bytes.readUInt32LE(1))
    return { kind: 'damaged', message: `marker ${number} is damaged` }
  return { kind: 'whole', number, recordedFlush: reader.fixed() }
}

function markerKey(number: number): string {
  return markerPrefix + String(number).padStart(numberDigits, '0')
}

function markerCrc(key: string, value: Buffer): number {
  return crc32(value.subarray(5), crc32(Buffer.from(key, 'latin1')))
}
