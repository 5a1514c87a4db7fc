import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import { EntryCache, type Slot } from '../../src/log/entry-cache.ts'
import type { RecordPlace } from '../../src/log/segment.ts'

const bytesMax = 4 * 1024 * 1024
const onDisk = {} as RecordPlace

function slotOf(index: number, data: Uint8Array, isOnDisk = true): Slot {
  const shared = { term: asTerm(1), index: asIndex(index), kind: 'command' } as const
  return {
    ...shared,
    bytes: data.length,
    place: isOnDisk ? onDisk : undefined,
    at: 0,
    entry: { ...shared, data },
    dropped: false,
  }
}

const dataOf = (slot: Slot): Uint8Array => must(slot.entry).data

describe('the entries in memory', () => {
  it('stand one behind another, whatever they came in', () => {
    const cache = new EntryCache(bytesMax)
    const frame = Buffer.from('head first second')
    const slots = [slotOf(1, frame.subarray(5, 10)), slotOf(2, frame.subarray(11))]
    for (const slot of slots) cache.add(slot)
    frame.fill(0)
    expect(slots.map(slot => Buffer.from(dataOf(slot)).toString())).toEqual(['first', 'second'])
    expect(new Set(slots.map(slot => dataOf(slot).buffer)).size).toBe(1)
  })

  it('keep the memory they came in when they are large', () => {
    const cache = new EntryCache(bytesMax)
    const data = new Uint8Array(1024 * 1024)
    const slot = slotOf(1, data)
    cache.add(slot)
    expect(dataOf(slot)).toBe(data)
  })

  it('go oldest first, once they are on disk', () => {
    const cache = new EntryCache(bytesMax)
    const slots = Array.from({ length: 100 }, (_, i) => slotOf(i + 1, new Uint8Array(100_000), i < 50))
    for (const slot of slots) cache.add(slot)
    cache.trim()
    expect(slots.filter(slot => slot.entry === undefined).map(slot => slot.index)).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 1),
    )
    for (const slot of slots) slot.place = onDisk
    cache.trim()
    const kept = slots.filter(slot => slot.entry !== undefined)
    expect(kept.map(slot => slot.index)).toEqual(Array.from({ length: 41 }, (_, i) => i + 60))
  })

  // One small entry a slab would keep all of it, and there are as many ranges as you like.
  it('do not keep the room of those between them that were dropped', () => {
    const cache = new EntryCache(bytesMax)
    const seldom: Slot[] = []
    for (let i = 0; i < 1_000; i++) {
      const often = slotOf(2 * i + 2, new Uint8Array(100_000))
      seldom.push(slotOf(2 * i + 1, new Uint8Array(10)))
      cache.add(must(seldom.at(-1)))
      cache.add(often)
      cache.drop(often)
      cache.trim()
    }
    const slabs = new Set(seldom.flatMap(slot => (slot.entry === undefined ? [] : [dataOf(slot).buffer])))
    expect(slabs.size).toBeGreaterThan(1)
    expect(slabs.size).toBeLessThanOrEqual(bytesMax / (1024 * 1024) + 1)
  })
})
