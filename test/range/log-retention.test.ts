import { describe, expect, it } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import { LogRetention } from '../../src/range/log-retention.ts'

describe('log retention', () => {
  it('lets go of what lies more than the retained bytes behind, and nothing nearer', () => {
    const retention = new LogRetention(100)
    expect(retention.flushed(asIndex(10), 50)).toBeUndefined()
    expect(retention.flushed(asIndex(20), 100)).toBeUndefined()
    expect(retention.flushed(asIndex(30), 149)).toBeUndefined()
    expect(retention.flushed(asIndex(31), 150)).toBe(10)
    expect(retention.flushed(asIndex(90), 1_000)).toBe(31)
  })
})
