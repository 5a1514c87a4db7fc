import { expect, test } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { userKeyspace } from '../../src/base/ids.ts'
import { RowOrder } from '../../src/mvcc/row-order.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { timestampMax } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, put } from './store-steps.ts'

test('rows are in the order of their names however they come, and what was handed out stays', () => {
  const prng = createPrng(5)
  const order = new RowOrder()
  const all: string[] = []
  for (let round = 0; round < 60; round++) {
    const before = order.order
    const copy = [...before]
    const some = Array.from({ length: prng.below(20) }, (_, at) => `${prng.below(100)}/${round}/${at}`)
    order.add(some)
    all.push(...some)
    const sorted = all.toSorted()
    expect(Array.from(order.order, position => order.names[position])).toEqual(sorted)
    expect([...before]).toEqual(copy)
    const row = String(prng.below(100))
    expect(order.firstAtOrAfter(row)).toBe(sorted.filter(name => name < row).length)
  }
})

const whole = {
  keyspace: userKeyspace,
  start: bytes(''),
  end: bytes(''),
  at: timestampMax,
  bytesMax: 1e9,
  keysOnly: false,
}

test('scans over much that waits for the engine put it in order together, a part in each turn', async () => {
  let turns = 0
  const opened = await VersionStore.open(createMemoryEngine(), { yieldNow: async () => void turns++ })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  const { store } = opened
  const rows = 30_000
  const nameOf = (at: number): string => `k${String(at).padStart(5, '0')}`
  for (let at = 0; at < rows; at++) put(store, at + 1, nameOf((at * 7919) % rows), 'v', at + 1)
  turns = 0
  const scanAll = async (): Promise<void> => {
    const pages = await Promise.all(
      Array.from({ length: 50 }, (_, at) => store.scan({ ...whole, limit: 3, reverse: at % 2 === 1 })),
    )
    const keysOf = (at: number) => pages[at]?.items.map(({ key }) => Buffer.from(key).toString())
    expect(keysOf(0)).toEqual([0, 1, 2].map(nameOf))
    expect(keysOf(1)).toEqual([1, 2, 3].map(at => nameOf(rows - at)))
  }
  await scanAll()
  expect(turns).toBeGreaterThan(10)
  expect(turns).toBeLessThan(30)
  // Once in order it stays so, whatever is overwritten.
  for (let at = 0; at < rows; at++) put(store, rows + at + 1, nameOf(at), 'w', rows + at + 1)
  turns = 0
  await scanAll()
  expect(turns).toBe(0)
})
