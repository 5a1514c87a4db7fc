// Snappy, the reading half: LevelDB compresses its tables' blocks with it.

/** undefined: these bytes are not a whole Snappy block. */
export function decodeSnappy(source: Uint8Array): Buffer | undefined {
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    const byte = source[at++]
    if (byte === undefined || shift > 28) return undefined
    length += (byte & 127) * 2 ** shift
    if (byte < 128) break
  }
  const target = Buffer.alloc(length)
  let done = 0
  const number = (bytes: number): number => {
    let value = 0
    for (let i = 0; i < bytes; i++) value += (source[at++] ?? 0) * 2 ** (8 * i)
    return value
  }
  while (at < source.length) {
    const tag = source[at++] ?? 0
    let count = (tag >>> 2) + 1
    if ((tag & 3) === 0) {
      if (count > 60) count = number(count - 60) + 1
      if (at + count > source.length || done + count > length) return undefined
      target.set(source.subarray(at, at + count), done)
      at += count
      done += count
      continue
    }
    let distance: number
    if ((tag & 3) === 1) {
      count = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) + number(1)
    } else distance = number((tag & 3) === 2 ? 2 : 4)
    if (at > source.length || distance === 0 || distance > done || done + count > length) return undefined
    // Byte by byte where it copies what it has only just written.
    for (let i = 0; i < count; i++, done++) target[done] = target[done - distance] ?? 0
  }
  return done === length ? target : undefined
}
