import { expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { RowTable } from '../../src/mvcc/row-table.ts'
import type { Index, Keyspace, RangeId, ReplicaId } from '../../src/base/ids.ts'
import type { Version } from '../../src/mvcc/version.ts'
import { quorate } from '../../src/proto/quorate.js'
import { ScanItemsWriter } from '../../src/range/scan-items.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'

const source = { rangeId: 1 as RangeId, replicaId: 1 as ReplicaId }
const random = createPrng(7)
const someBytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.below(256)))
const stamp = (bits: number): Timestamp => Math.floor(random.next() * 2 ** bits) as Timestamp

function someVersion(table: RowTable): { readonly version: Version; readonly key: Buffer; readonly value: Buffer } {
  const key = someBytes(1 + random.below(random.below(10) === 0 ? 4_000 : 40))
  const value = someBytes(random.below(random.below(10) === 0 ? 70_000 : 300))
  const timestamp = stamp(1 + random.below(53))
  const from = {
    keyspace: 0 as Keyspace,
    key,
    source,
    index: 1 as Index,
    timestamp,
    deleted: false,
    value,
    before: undefined,
  }
  const created = Math.floor(timestamp / 3) as Timestamp
  const { place } = table.put({ ...from, created, version: 1 + random.below(300) }, undefined, 1, 0)
  return { version: table.version(table.nameOf(place), place), key, value }
}

it.each([true, false])('a page reads as the generated code would have written it (keys only: %s)', keysOnly => {
  const table = new RowTable(1 << 26)
  const given = Array.from({ length: 300 }, () => someVersion(table))
  const writer = new ScanItemsWriter({ keysOnly })
  for (const { version } of given) writer.push(version)
  const expected = given.map(({ version: { timestamp, created, version }, key, value }) => {
    return { key, value: keysOnly ? Buffer.alloc(0) : value, timestamp, created, version }
  })
  // What stands behind the items belongs to the same message, as what stands before them does.
  const rest = { at: 5, count: 300, resume: Buffer.from('here') }
  const restBytes = quorate.v1.ScanResponse.encode(rest).finish()
  for (const message of [Buffer.concat([restBytes, writer.finish()]), Buffer.concat([writer.finish(), restBytes])]) {
    const read = quorate.v1.ScanResponse.decode(message)
    expect(read).toMatchObject(rest)
    expect(
      read.items.map(({ key, value, timestamp, created, version }) => ({ key, value, timestamp, created, version })),
    ).toEqual(expected)
  }
})

it('a page without items is empty', () => {
  expect(new ScanItemsWriter({ keysOnly: false }).finish()).toHaveLength(0)
})
