// Where bytes may rot in a log so that it is noticed: before what its newest flush vouches for.

import { decodeFlushHeader, decodeSegmentHeader, flushMagic, segmentSeed } from '../../src/log/segment-format.ts'
import type { FakeLogFiles } from '../log/fake-log-files.ts'

/**
 * Where the last two flushes begin. What a crash tears and what rots there before a seal cannot be told apart (DESIGN.md 6), so
 * rot comes before it: an entry that only a quorum with this node has must not be lost unseen.
 */
export function sealedEnd(files: FakeLogFiles): { readonly path: string; readonly at: number } | undefined {
  const flushes = files.paths().flatMap(path => {
    const bytes = files.contents(path)
    const header = decodeSegmentHeader(bytes)
    if (typeof header !== 'object') return []
    const seed = segmentSeed(header.nonce, header.number)
    const found: { readonly path: string; readonly at: number }[] = []
    // Only its own: a recycled segment still holds those of the one it was.
    for (let at = bytes.indexOf(flushMagic); at >= 0; at = bytes.indexOf(flushMagic, at + 1))
      if (decodeFlushHeader(bytes, at, seed) !== undefined) found.push({ path, at })
    return found
  })
  return flushes.at(-2)
}

/** A segment is preallocated: what lies behind its last byte is zeros, if it is not a recycled one. */
export function usedBytes(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}
