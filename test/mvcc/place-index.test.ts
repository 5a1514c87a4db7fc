import { describe, expect, it } from 'vitest'
import type { Keyspace } from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import { PlaceIndex, hashOf } from '../../src/mvcc/place-index.ts'

const keyspace = 0 as Keyspace
const keyOf = (number: number): Uint8Array => Buffer.from(`key ${number}`)

/** The index against a Map; `hash` says how well keys are told apart. */
function check(hash: (key: number) => number, keys: number, steps: number, seed: number): void {
  const prng = createPrng(seed)
  const model = new Map<number, number>()
  const owner = new Map<number, number>()
  const index = new PlaceIndex((place, _, key) => Buffer.compare(keyOf(owner.get(place) ?? -1), key) === 0)
  let nextPlace = 0
  for (let step = 0; step < steps; step++) {
    const key = prng.below(keys)
    const before = model.get(key)
    expect(index.get(hash(key), keyspace, keyOf(key))).toBe(before)
    if (before !== undefined && prng.below(3) === 0) {
      index.remove(hash(key), before)
      model.delete(key)
    } else {
      const place = nextPlace++
      owner.set(place, key)
      if (before === undefined) index.add(hash(key), place)
      else index.replace(hash(key), before, place)
      model.set(key, place)
    }
    expect(index.size).toBe(model.size)
  }
  for (let key = 0; key < keys; key++) expect(index.get(hash(key), keyspace, keyOf(key))).toBe(model.get(key))
}

describe('the index of places', () => {
  it.each([1, 2, 3])('finds what is there and nothing else, as it grows (seed %i)', seed => {
    check(key => hashOf(seed, keyspace, keyOf(key)), 4_000, 20_000, seed)
  })

  it.each([1, 2, 3])('finds it where hashes collide, at the end of the table as well (seed %i)', seed => {
    check(key => 1_018 + (key % 5), 60, 4_000, seed)
    check(() => 0xffff_ffff, 20, 1_000, seed)
  })

  it('begins anew when it is cleared', () => {
    const index = new PlaceIndex(() => true)
    index.add(7, 1)
    index.clear()
    expect([index.size, index.get(7, keyspace, keyOf(1))]).toEqual([0, undefined])
  })

  it('has other hashes under another seed, and in another keyspace', () => {
    const hashes = [hashOf(1, keyspace, keyOf(1)), hashOf(2, keyspace, keyOf(1)), hashOf(1, 1 as Keyspace, keyOf(1))]
    expect(new Set(hashes).size).toBe(3)
    expect(hashes.every(hash => Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32)).toBe(true)
  })
})
