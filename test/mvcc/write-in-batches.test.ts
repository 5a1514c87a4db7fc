// Whoever hears that it ended, well or not, may write next: nothing is under way any more.

import { expect, test } from 'vitest'
import type { EngineBatchOperation } from '../../src/engine/engine.ts'
import { writeInBatches } from '../../src/mvcc/write-in-batches.ts'

const limits = { operations: 3, bytes: 100 }
const operation = (at: number, bytes = 1): EngineBatchOperation => ({ key: `key ${at}`, value: Buffer.alloc(bytes) })

/** A disk that takes a turn of the event loop for each batch, and refuses the one of that number. */
class SlowDisk {
  readonly written: number[] = []
  underWay = 0
  mostUnderWay = 0
  readonly #failsAt: number

  constructor(failsAt = -1) {
    this.#failsAt = failsAt
  }

  readonly write = async (batch: readonly EngineBatchOperation[]): Promise<void> => {
    this.underWay++
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
    await new Promise(resolve => setImmediate(resolve))
    this.underWay--
    if (this.written.length === this.#failsAt) throw new Error('the disk is ill')
    this.written.push(batch.length)
  }
}

test('batches are cut by number and by bytes, one is under way at a time, and the rest comes last', async () => {
  const disk = new SlowDisk()
  await writeInBatches(disk.write, limits, async add => {
    for (let at = 0; at < 7; at++) await add(operation(at))
    await add(operation(7, 200))
    await add(operation(8))
  })
  expect(disk.written).toEqual([3, 3, 2, 1])
  expect([disk.mostUnderWay, disk.underWay]).toEqual([1, 0])
})

test('what is filled fails with a batch on its way: that one has ended first', async () => {
  const disk = new SlowDisk()
  const filled = writeInBatches(disk.write, limits, async add => {
    for (let at = 0; at < 4; at++) await add(operation(at))
    expect(disk.underWay).toBe(1)
    throw new Error('the stream broke')
  })
  await expect(filled).rejects.toThrow('broke')
  expect([disk.written, disk.underWay]).toEqual([[3], 0])
})

test.each([0, 1, 2])('a batch that fails (%i) is the last one, and its error is heard', async failsAt => {
  const disk = new SlowDisk(failsAt)
  const filled = writeInBatches(disk.write, limits, async add => {
    for (let at = 0; at < 9; at++) await add(operation(at))
  })
  await expect(filled).rejects.toThrow('ill')
  expect([disk.written.length, disk.underWay]).toEqual([failsAt, 0])
})
