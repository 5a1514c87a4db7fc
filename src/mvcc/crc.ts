// zlib's CRC-32, without the way into native code where the bytes are few: a call costs as much as a hundred of them.

import { crc32 } from 'node:zlib'

const nativeFrom = 96
const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0)
  return crc
})

/** Of `bytes` from `start` up to `end`, going on from `seed`. */
export function crcOf(bytes: Uint8Array, start: number, end: number, seed: number): number {
  if (end - start >= nativeFrom) return crc32(bytes.subarray(start, end), seed)
  let crc = ~seed
  for (let at = start; at < end; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** Likewise, of the bytes of a latin1 string from its character `start` on. */
export function crcOfText(text: string, start: number, seed: number): number {
  if (text.length - start >= nativeFrom) return crc32(Buffer.from(text.slice(start), 'latin1'), seed)
  let crc = ~seed
  for (let at = start; at < text.length; at++) crc = (crc >>> 8) ^ (table[(crc ^ text.charCodeAt(at)) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** Of stored bytes and the id under which they are stored, so that those of another do not pass. */
export function crcWithId(id: string, bytes: Uint8Array): number {
  return crc32(bytes, crc32(Buffer.from(id, 'latin1')))
}
