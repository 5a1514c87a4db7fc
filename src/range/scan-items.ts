// The items of a scan's page, written as the wire has them straight from the versions that were found. As messages they would be
// three objects and three buffers for each key: scans of 10,000 keys come to a fifth more a second without.
//
// What is written is a ScanResponse that has nothing but items: with the encoding of one that has the rest behind or before it,
// it is one message (Protocol Buffers, Encoding, "Last One Wins").

import { writeVarint } from '../mvcc/byte-writer.ts'
import type { Version } from '../mvcc/version.ts'

const bytesFirst = 16 * 1024
/** A page has a thousand items: doubling would copy most of it several times. */
const growth = 4
const lengthDelimited = 2
const varint = 0
const itemsTag = (2 << 3) | lengthDelimited
const keyTag = (1 << 3) | lengthDelimited
const valueTag = (2 << 3) | lengthDelimited
const timestampTag = (3 << 3) | varint
const createdTag = (4 << 3) | varint
const versionTag = (5 << 3) | varint
/** Tag and length of an item and of its key and value, then three numbers with their tags: at most. */
const overheadBytesMax = 3 * 6 + 3 * 9

export class ScanItemsWriter {
  readonly #keysOnly: boolean
  #target = Buffer.allocUnsafe(bytesFirst)
  #end = 0

  constructor(options: { readonly keysOnly: boolean }) {
    this.#keysOnly = options.keysOnly
  }

  /** A living version. */
  push({ row, record, valueOffset, timestamp, created, version }: Version): void {
    const keyBytes = row.length - 1
    const valueBytes = this.#keysOnly ? 0 : record.length - valueOffset
    const target = this.#room(keyBytes + valueBytes + overheadBytesMax)
    const itemBytes =
      1 +
      varintBytes(keyBytes) +
      keyBytes +
      (1 + varintBytes(valueBytes) + valueBytes) +
      (3 + varintBytes(timestamp) + varintBytes(created) + varintBytes(version))
    target[this.#end] = itemsTag
    let offset = writeVarint(target, itemBytes, this.#end + 1)
    target[offset] = keyTag
    offset = writeVarint(target, keyBytes, offset + 1)
    for (let at = 1; at <= keyBytes; at++) target[offset++] = row.charCodeAt(at)
    target[offset] = valueTag
    offset = writeVarint(target, valueBytes, offset + 1)
    if (!this.#keysOnly) offset += record.copy(target, offset, valueOffset)
    target[offset] = timestampTag
    offset = writeVarint(target, timestamp, offset + 1)
    target[offset] = createdTag
    offset = writeVarint(target, created, offset + 1)
    target[offset] = versionTag
    this.#end = writeVarint(target, version, offset + 1)
  }

  finish(): Uint8Array {
    return this.#target.subarray(0, this.#end)
  }

  #room(bytes: number): Buffer {
    if (this.#end + bytes <= this.#target.length) return this.#target
    const grown = Buffer.allocUnsafe(Math.max(growth * this.#target.length, this.#end + bytes))
    this.#target.copy(grown, 0, 0, this.#end)
    this.#target = grown
    return grown
  }
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}
