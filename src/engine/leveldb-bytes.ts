// The numbers in LevelDB's files. A reader goes past its end only by returning undefined: what it reads may be damaged.

export class LevelReader {
  readonly bytes: Buffer
  offset: number

  constructor(bytes: Buffer, offset = 0) {
    this.bytes = bytes
    this.offset = offset
  }

  get isAtEnd(): boolean {
    return this.offset >= this.bytes.length
  }

  varint(): number | undefined {
    let value = 0
    for (let shift = 0; shift < 53; shift += 7) {
      const byte = this.bytes[this.offset++]
      if (byte === undefined) return undefined
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    return undefined
  }

  /** A length and that many bytes. */
  slice(): Buffer | undefined {
    const length = this.varint()
    return length === undefined ? undefined : this.take(length)
  }

  take(length: number): Buffer | undefined {
    if (this.offset + length > this.bytes.length) return undefined
    const slice = this.bytes.subarray(this.offset, this.offset + length)
    this.offset += length
    return slice
  }
}
