// Where a value is that is not in LevelDB itself: in which file, and where in it. Stored in the value's stead.
//
// Stored: tag, CRC over the key and the rest, file number, the file's nonce, offset, length.

import { crc32 } from 'node:zlib'
import { type EngineKey, apartBytesMin } from './engine.ts'

export interface ValueReference {
  readonly file: number
  /** Drawn when the file was made: another file under its name does not pass for it. */
  readonly nonce: number
  readonly offset: number
  readonly bytes: number
}

/** No stored value begins with it: those of callers begin with their format's version, and one that does not is kept apart. */
export const referenceTag = 0xff
export const referenceBytes = 21
const bodyOffset = 5

export function encodeReference(key: EngineKey, { file, nonce, offset, bytes }: ValueReference): Buffer {
  const target = Buffer.allocUnsafe(referenceBytes)
  target[0] = referenceTag
  target.writeUInt32LE(file, bodyOffset)
  target.writeUInt32LE(nonce, bodyOffset + 4)
  target.writeUInt32LE(offset, bodyOffset + 8)
  target.writeUInt32LE(bytes, bodyOffset + 12)
  target.writeUInt32LE(referenceCrc(key, target), 1)
  return target
}

/** What stands for the key's value, where `stored` does; undefined: the value itself is there, or the reference is damaged. */
export function referenceIn(key: EngineKey, stored: Uint8Array | undefined): ValueReference | undefined {
  return stored !== undefined && isReference(stored) ? decodeReference(key, stored) : undefined
}

export function isKeptApart(value: Uint8Array | undefined): value is Uint8Array {
  return value !== undefined && (value.length >= apartBytesMin || isReference(value))
}

export function isReference(stored: Uint8Array): boolean {
  return stored[0] === referenceTag
}

/** undefined: the reference is damaged, or another key's. */
export function decodeReference(key: EngineKey, stored: Uint8Array): ValueReference | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  if (bytes.length !== referenceBytes || referenceCrc(key, bytes) !== bytes.readUInt32LE(1)) return undefined
  return {
    file: bytes.readUInt32LE(bodyOffset),
    nonce: bytes.readUInt32LE(bodyOffset + 4),
    offset: bytes.readUInt32LE(bodyOffset + 8),
    bytes: bytes.readUInt32LE(bodyOffset + 12),
  }
}

function referenceCrc(key: EngineKey, stored: Buffer): number {
  return crc32(stored.subarray(bodyOffset), crc32(Buffer.from(key, 'latin1')))
}
