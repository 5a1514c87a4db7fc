// Numbers in stored records: varints (7 bits a byte, least first) and fixed 8-byte little-endian, all below 2^53.

export const varintBytesMax = 8
export const fixedBytes = 8

/** Writes at `offset`; returns the offset after it. */
export function writeVarint(target: Buffer, value: number, offset: number): number {
  while (value >= 0x80) {
    // Division, not a shift: the number may be longer than 32 bits.
    target[offset++] = (value & 0x7f) | 0x80
    value = value < 0x8000_0000 ? value >>> 7 : Math.floor(value / 128)
  }
  target[offset++] = value
  return offset
}

export function writeFixed(target: Buffer, value: number, offset: number): number {
  target.writeUInt32LE(value >>> 0, offset)
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4)
  return offset + 8
}

/** Reads forward through bytes whose checksum already held; reading past the end is undefined, not thrown. */
export class ByteReader {
  readonly bytes: Buffer
  offset: number

  constructor(bytes: Uint8Array, offset: number) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.offset = offset
  }

  byte(): number {
    return this.bytes[this.offset++] ?? 0
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.bytes[this.offset++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
  }

  fixed(): number {
    const value = this.bytes.readUInt32LE(this.offset) + this.bytes.readUInt32LE(this.offset + 4) * 0x1_0000_0000
    this.offset += 8
    return value
  }

  skip(length: number): void {
    this.offset += length
  }

  view(length: number): Buffer {
    const start = this.offset
    this.offset += length
    return this.bytes.subarray(start, this.offset)
  }
}
