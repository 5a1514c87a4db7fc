import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import type { Entry } from '../../src/raft/types.ts'
import { LogRetention } from '../../src/range/log-retention.ts'

const nobody = asIndex(Number.MAX_SAFE_INTEGER)

/** Entries of `bytes` each. */
function entries(first: number, last: number, bytes = 10): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    term: asTerm(1),
    index: asIndex(first + at),
    kind: 'command',
    data: new Uint8Array(bytes),
  }))
}

function retentionOf(retainedBytes: number, ...appended: readonly Entry[][]): LogRetention {
  const retention = new LogRetention(retainedBytes)
  for (const part of appended) retention.appended(part)
  return retention
}

describe('log retention', () => {
  it('lets go of what lies more than the retained bytes behind, and nothing nearer', () => {
    const retention = retentionOf(100, entries(1, 5), entries(6, 10), entries(11, 14))
    expect(retention.flushed(asIndex(14), nobody)).toBeUndefined()
    retention.appended(entries(15, 15))
    expect(retention.flushed(asIndex(15), nobody)).toBe(5)
    expect(retention.flushed(asIndex(15), nobody)).toBeUndefined()
    retention.appended(entries(16, 90))
    expect(retention.flushed(asIndex(90), nobody)).toBe(15)
  })

  it('lets go of nothing that is not flushed, and of nothing that somebody needs, however far behind', () => {
    const retention = retentionOf(100, entries(1, 5), entries(6, 10), entries(11, 1_000))
    expect(retention.flushed(asIndex(9), nobody)).toBe(5)
    expect(retention.flushed(asIndex(1_000), asIndex(9))).toBeUndefined()
    expect(retention.flushed(asIndex(1_000), asIndex(10))).toBe(10)
  })

  it('knows how many bytes lie above an index, what was overwritten no more', () => {
    const retention = retentionOf(100, entries(1, 5), entries(6, 10))
    expect(retention.bytesAbove(asIndex(5))).toBe(50)
    expect(retention.bytesAbove(asIndex(0))).toBe(100)
    retention.appended(entries(6, 6, 1))
    expect(retention.bytesAbove(asIndex(6))).toBe(0)
    expect(retention.bytesAbove(asIndex(5))).toBe(51)
  })

  it('is bounded, however long something is held', () => {
    const retention = new LogRetention(1)
    for (let index = 1; index <= 100_000; index++) retention.appended(entries(index, index, 1))
    expect(retention.bytesAbove(asIndex(50_000))).toBeGreaterThanOrEqual(50_000)
    expect(retention.bytesAbove(asIndex(50_000))).toBeLessThan(50_020)
  })
})
