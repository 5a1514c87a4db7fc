import { crc32 } from 'node:zlib'
import { expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { crcOf, crcOfText } from '../../src/mvcc/crc.ts'

it('is zlib’s, whatever the length, the place and the seed', () => {
  const random = createPrng(1)
  const bytes = Buffer.from(Array.from({ length: 400 }, () => random.below(256)))
  for (let length = 0; length <= 200; length++) {
    const start = random.below(200)
    const seed = random.below(2 ** 32)
    const part = bytes.subarray(start, start + length)
    expect(crcOf(bytes, start, start + length, seed)).toBe(crc32(part, seed))
    expect(crcOfText(`ab${part.toString('latin1')}`, 2, seed)).toBe(crc32(part, seed))
  }
})
