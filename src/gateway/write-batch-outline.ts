// What the gateway must know of an encoded WriteBatch, read without decoding it: the bytes go on to the log untouched,
// and the range's leader is the one that decodes them. It walks the fields and skips keys and values.
//
// Invariant: whatever a decoder accepts is either outlined as that decoder sees it, or refused. Decoders cut tags and
// 32-bit values to 32 bits; here what needs more is refused, so that no value can look different to the two. Of a write
// that carries one field several times, every one counts, though a decoder keeps the last.

import { deleteRangeKeysDefault } from '../base/key-operations.ts'

/** undefined: not a WriteBatch at all. */
interface WriteBatchOutline {
  readonly sessionBytes: number
  readonly keyspace: number
  readonly writeCount: number
  /** Keys that it puts, deletes or compares: see base/key-operations.ts. */
  readonly keyOperations: number
  /** It is of a gateway's own session. */
  readonly isGateway: boolean
}

const fieldSession = 1
const fieldKeyspace = 4
const fieldWrites = 5
const fieldIsGateway = 6
const uint32Max = 0xffff_ffff

/** Of a Write, a CommitOp and a DeleteRangeOp. */
const fieldDeleteRange = 4
const fieldCommit = 5
const fieldCompares = 1
const fieldThen = 2
const fieldOtherwise = 3
const fieldLimit = 3

const wireVarint = 0
const wireBytes = 2

/** Counting ends past `keyOperationsMax`: then the request is refused whatever follows. */
export function outlineWriteBatch(bytes: Uint8Array, keyOperationsMax: number): WriteBatchOutline | undefined {
  let sessionBytes = 0
  let keyspace = 0
  let writeCount = 0
  let keyOperations = 0
  let isGateway = false
  const fields = new Fields(bytes, 0, bytes.length)
  while (fields.next()) {
    const { field, wire, value } = fields
    if (field === fieldKeyspace && wire === wireVarint) {
      if (value > uint32Max) return undefined
      keyspace = value
    }
    if (field === fieldIsGateway && wire === wireVarint) isGateway = value > 0
    if (wire !== wireBytes) continue
    if (field === fieldSession) sessionBytes = value
    if (field === fieldWrites) {
      writeCount++
      if (keyOperations > keyOperationsMax) continue
      const counted = keyOperationsOfWrite(bytes, fields.start, fields.position)
      if (counted === undefined) return undefined
      keyOperations += counted
    }
  }
  return fields.isMalformed ? undefined : { sessionBytes, keyspace, writeCount, keyOperations, isGateway }
}

function keyOperationsOfWrite(bytes: Uint8Array, start: number, end: number): number | undefined {
  let counted = 0
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.wire !== wireBytes) continue
    const { field } = fields
    const count =
      field === fieldCommit
        ? keyOperationsOfCommit(bytes, fields.start, fields.position)
        : field === fieldDeleteRange
          ? keyOperationsOfDeleteRange(bytes, fields.start, fields.position)
          : 1
    if (count === undefined) return undefined
    counted += count
  }
  return fields.isMalformed ? undefined : Math.max(1, counted)
}

function keyOperationsOfCommit(bytes: Uint8Array, start: number, end: number): number | undefined {
  let compares = 0
  let then = 0
  let otherwise = 0
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.wire !== wireBytes) continue
    if (fields.field === fieldCompares) compares++
    else if (fields.field === fieldThen) then++
    else if (fields.field === fieldOtherwise) otherwise++
  }
  return fields.isMalformed ? undefined : Math.max(1, compares + Math.max(then, otherwise))
}

function keyOperationsOfDeleteRange(bytes: Uint8Array, start: number, end: number): number | undefined {
  let limit = 0
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.field !== fieldLimit || fields.wire !== wireVarint) continue
    if (fields.value > uint32Max) return undefined
    limit = fields.value
  }
  return fields.isMalformed ? undefined : limit || deleteRangeKeysDefault
}

/** The fields of one encoded message, one after another. */
class Fields {
  readonly #bytes: Uint8Array
  readonly #end: number
  /** Behind the current field. */
  position: number
  /** Where the current field's contents begin. */
  start: number
  field = 0
  wire = 0
  /** A varint's value; the length of bytes. */
  value = 0
  isMalformed = false

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.#end = end
    this.position = start
    this.start = start
  }

  /** False at the end, and where the message is malformed. */
  next(): boolean {
    if (this.position >= this.#end) return false
    this.isMalformed = !this.#read() || this.position > this.#end
    return !this.isMalformed
  }

  #read(): boolean {
    const tag = this.#varint()
    if (tag < 8 || tag > uint32Max) return false
    this.field = Math.floor(tag / 8)
    this.wire = tag % 8
    this.start = this.position
    switch (this.wire) {
      case wireVarint:
        this.value = this.#varint()
        return this.value >= 0
      case 1:
        this.position += 8
        return true
      case wireBytes:
        this.value = this.#varint()
        this.start = this.position
        this.position += this.value
        return this.value >= 0
      case 5:
        this.position += 4
        return true
      default:
        return false
    }
  }

  /** -1 where it is cut off or longer than ten bytes. */
  #varint(): number {
    let value = 0
    let scale = 1
    for (let length = 0; length < 10 && this.position < this.#end; length++) {
      const byte = this.#bytes[this.position++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    return -1
  }
}
