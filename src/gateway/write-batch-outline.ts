// What the gateway must know of an encoded WriteBatch, read without decoding it: the bytes go on to the log untouched,
// and the range's leader is the one that decodes them. It walks the top-level fields and skips their contents.
//
// Invariant: whatever a decoder accepts is either outlined as that decoder sees it, or refused. Decoders cut tags and
// 32-bit values to 32 bits; here what needs more is refused, so that no value can look different to the two.

/** undefined: not a WriteBatch at all. */
interface WriteBatchOutline {
  readonly sessionBytes: number
  readonly keyspace: number
  readonly writeCount: number
}

const fieldSession = 1
const fieldKeyspace = 4
const fieldWrites = 5
const uint32Max = 0xffff_ffff

export function outlineWriteBatch(bytes: Uint8Array): WriteBatchOutline | undefined {
  let sessionBytes = 0
  let keyspace = 0
  let writeCount = 0
  let position = 0
  const end = bytes.length
  // The value of a varint at `position`, which moves past it; -1 when it is cut off or longer than ten bytes.
  const varint = (): number => {
    let value = 0
    let scale = 1
    for (let length = 0; length < 10 && position < end; length++) {
      const byte = bytes[position++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    return -1
  }
  while (position < end) {
    const tag = varint()
    if (tag < 8 || tag > uint32Max) return undefined
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0: {
        const value = varint()
        if (value < 0) return undefined
        if (field !== fieldKeyspace) break
        if (value > uint32Max) return undefined
        keyspace = value
        break
      }
      case 1:
        position += 8
        break
      case 2: {
        const length = varint()
        if (length < 0) return undefined
        position += length
        if (field === fieldSession) sessionBytes = length
        if (field === fieldWrites) writeCount++
        break
      }
      case 5:
        position += 4
        break
      default:
        return undefined
    }
    if (position > end) return undefined
  }
  return { sessionBytes, keyspace, writeCount }
}
