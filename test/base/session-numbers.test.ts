import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { SessionNumbers } from '../../src/base/session-numbers.ts'

const create = (): SessionNumbers => new SessionNumbers(new Uint8Array(16))

describe('session numbers', () => {
  it('start at 1, with the floor at 1', () => {
    const numbers = create()
    expect(numbers.floor).toBe(1)
    expect([numbers.next(), numbers.next()]).toEqual([1, 2])
    expect(numbers.floor).toBe(1)
  })

  it('hold the floor at the oldest outstanding number', () => {
    const numbers = create()
    for (let i = 0; i < 3; i++) numbers.next()
    numbers.settled(3)
    numbers.settled(2)
    expect(numbers.floor).toBe(1)
    numbers.settled(1)
    expect(numbers.floor).toBe(4)
    numbers.settled(1)
    expect(numbers.floor).toBe(4)
  })

  it('refuse to settle what was never given out', () => {
    expect(() => create().settled(1)).toThrow('never given out')
  })

  it('agree with a set, while thousands are outstanding', () => {
    const prng = createPrng(7)
    const numbers = create()
    const outstanding = new Set<number>()
    let last = 0
    for (let step = 0; step < 50_000; step++) {
      if (prng.below(100) < (step < 25_000 ? 60 : 40) || outstanding.size === 0) {
        last = numbers.next()
        outstanding.add(last)
      } else {
        let pick = 0
        let skip = prng.below(8)
        for (const number of outstanding) {
          pick = number
          if (skip-- === 0) break
        }
        outstanding.delete(pick)
        numbers.settled(pick)
      }
      const oldest = outstanding.values().next().value ?? last + 1
      expect(numbers.floor === oldest).toBe(true)
    }
  })
})
