// The bytes of an exported range, cut into chunks. A chunk is format version, CRC, and a piece of one stream; the CRC goes
// on from the chunk before, so that none of another snapshot passes among these. The stream is pairs (key length > 0, key,
// value length, value; lengths as varints), then a zero and the count of pairs.
// A value may begin in one chunk and end in another; a stream without its end is refused.

import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import type { EngineKey, EnginePair } from '../engine/engine.ts'
import { ByteReader, varintBytesMax, writeVarint } from './byte-writer.ts'
import { formatVersion } from './version.ts'

const headerBytes = 5

export class RangeStreamWriter {
  readonly #pieceBytes: number
  #pieces: Buffer[] = []
  #bytes = 0
  #count = 0
  #crc = 0

  constructor(chunkBytes: number) {
    assert(chunkBytes > headerBytes, 'a chunk has room for a piece')
    this.#pieceBytes = chunkBytes - headerBytes
  }

  push(key: EngineKey, value: Uint8Array): void {
    this.#number(key.length)
    this.#piece(Buffer.from(key, 'latin1'))
    this.#number(value.length)
    this.#piece(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
    this.#count++
  }

  end(): void {
    this.#number(0)
    this.#number(this.#count)
  }

  /** Full chunks, and with `isLast` the rest. */
  take(isLast: boolean): readonly Uint8Array[] {
    const pieceBytes = this.#pieceBytes
    if (this.#bytes < pieceBytes && !isLast) return []
    const stream = Buffer.concat(this.#pieces)
    const chunks: Uint8Array[] = []
    let offset = 0
    for (; stream.length - offset >= pieceBytes || (isLast && offset < stream.length); offset += pieceBytes) {
      const piece = stream.subarray(offset, offset + pieceBytes)
      const chunk = Buffer.allocUnsafe(headerBytes + piece.length)
      chunk[0] = formatVersion
      this.#crc = crc32(piece, this.#crc)
      chunk.writeUInt32LE(this.#crc, 1)
      chunk.set(piece, headerBytes)
      chunks.push(chunk)
    }
    const rest = stream.subarray(offset)
    this.#pieces = [rest]
    this.#bytes = rest.length
    return chunks
  }

  #number(value: number): void {
    const piece = Buffer.alloc(varintBytesMax)
    this.#piece(piece.subarray(0, writeVarint(piece, value, 0)))
  }

  #piece(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#bytes += piece.length
  }
}

export class RangeStreamReader {
  #rest: Buffer = Buffer.alloc(0)
  #count = 0
  #crc = 0
  #isWhole = false

  end(): void {
    assert(this.#isWhole && this.#rest.length === 0, 'a snapshot ends with its end')
  }

  /** The pairs that end in this chunk. Throws on a damaged one. */
  *push(chunk: Uint8Array): Generator<EnginePair> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    assert(bytes.length > headerBytes && bytes[0] === formatVersion, 'a snapshot chunk has a known format')
    this.#crc = crc32(bytes.subarray(headerBytes), this.#crc)
    assert(this.#crc === bytes.readUInt32LE(1), "a snapshot chunk's checksum holds")
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(headerBytes)])
    const reader = new ByteReader(this.#rest, 0)
    let done = 0
    for (;;) {
      assert(!this.#isWhole || done === this.#rest.length, 'nothing follows the end of a snapshot')
      const keyLength = reader.varint()
      const key = reader.view(keyLength)
      const second = reader.varint()
      if (keyLength > 0) reader.view(second)
      if (reader.offset > this.#rest.length) break
      done = reader.offset
      if (keyLength === 0) {
        assert(second === this.#count, 'a snapshot holds as many pairs as it says')
        this.#isWhole = true
        break
      }
      this.#count++
      yield { key: key.toString('latin1'), value: Buffer.from(this.#rest.subarray(done - second, done)) }
    }
    this.#rest = this.#rest.subarray(done)
  }
}
