import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { firstLineage, incarnationOf, isTwin, nextLineage, standingOf } from '../../src/transport/incarnation.ts'

const prng = createPrng(7)
const randomInt = (bound: number) => prng.below(bound)

describe('incarnations of a store', () => {
  it('grow with each move, and those of two copies differ', () => {
    const recorded = nextLineage(firstLineage, randomInt)
    const [one, other] = [nextLineage(recorded, randomInt), nextLineage(recorded, randomInt)]
    expect(one.slice(0, -1)).toEqual(recorded)
    expect(incarnationOf(one)).toBeGreaterThan(incarnationOf(recorded))
    expect(incarnationOf(one)).not.toBe(incarnationOf(other))
  })

  it('of one copy at most are recorded: after that the other stands outside, wherever it goes', () => {
    const base = nextLineage(firstLineage, randomInt)
    const [one, other] = [nextLineage(base, randomInt), nextLineage(base, randomInt)]
    for (const recorded of base) expect(standingOf(one, recorded)).toBe('newer')
    const recorded = incarnationOf(one)
    expect(standingOf(one, recorded)).toBe('same')
    expect(standingOf(base, recorded)).toBe('superseded')
    // Drawn so high that the other's number is above the recorded one: descent decides, not size.
    const far = nextLineage(other, () => 999_999)
    expect(incarnationOf(far)).toBeGreaterThan(recorded)
    expect(standingOf(far, recorded)).toBe('superseded')
    expect(standingOf(nextLineage([recorded], randomInt), recorded)).toBe('newer')
  })

  it('are taken for newer by a registry that lags behind', () => {
    expect(standingOf([50, 60], 7)).toBe('newer')
  })

  it('stay few, however often a node moves without its cluster, and keep the recorded one', () => {
    let lineage = firstLineage
    for (let moves = 0; moves < 500; moves++) lineage = nextLineage(lineage, randomInt)
    expect(lineage.length).toBe(100)
    expect(standingOf(lineage, 1)).toBe('newer')
    expect(lineage.every((incarnation, at) => at === 0 || incarnation > (lineage[at - 1] ?? 0))).toBe(true)
  })

  it.each([
    ['nobody', undefined, false],
    ['the newcomer itself', { storeId: 's', clusterId: 'c', incarnation: 9 }, false],
    ['the same store as another process', { storeId: 's', clusterId: 'c', incarnation: 5 }, true],
    ['the same store, later still', { storeId: 's', clusterId: 'c', incarnation: 12 }, true],
    ['the same store before it was in a cluster', { storeId: 's', clusterId: '', incarnation: 5 }, true],
    ['another store', { storeId: 't', clusterId: 'c', incarnation: 5 }, false],
    ['a store of another cluster', { storeId: 's', clusterId: 'd', incarnation: 5 }, false],
  ])('with %s at its former address, a newcomer is judged rightly', (_who, found, twin) => {
    expect(isTwin({ storeId: 's', clusterId: 'c', incarnation: 9 }, found)).toBe(twin)
  })
})
