import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { Index, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { RowTable } from '../../src/mvcc/row-table.ts'
import type { NewVersion } from '../../src/mvcc/version.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'

const source = { rangeId: 1 as RangeId, replicaId: 1 as ReplicaId }
const chunkBytes = 64 * 1024
/** Eight to a chunk. */
const value = Buffer.alloc(8_000)
const versionOf = (name: string, at = value): NewVersion => ({
  row: `\0${name}`,
  keyBytes: Buffer.from(name),
  source,
  index: 5 as Index,
  timestamp: 7 as Timestamp,
  created: 6 as Timestamp,
  version: 2,
  deleted: false,
  value: at,
})
const names = (count: number): string[] => Array.from({ length: count }, (_, at) => String(at))
const found = (table: RowTable): string[] => names(100).filter(name => table.get(`\0${name}`) !== undefined)

describe('the rows in memory', () => {
  it('are what they were when they came', () => {
    const table = new RowTable(1 << 20)
    const { place } = table.put(versionOf('key', Buffer.from('value')), 3, 4)
    const { row, keyBytes, value: given, ...rest } = versionOf('key', Buffer.from('value'))
    expect(table.version(row, place)).toMatchObject({ row, ...rest })
    expect(table.version(row, place).record.subarray(table.version(row, place).valueOffset)).toEqual(given)
    expect([table.bufferOf(place), table.positionOf(place), keyBytes.length]).toEqual([3, 4, 3])
  })

  it('are bounded in bytes, the oldest out first', () => {
    const table = new RowTable(8 * chunkBytes)
    for (const name of names(100)) {
      table.put(versionOf(name), Number(name) + 1, 0)
      table.settle(Number(name) + 1)
    }
    const left = found(table)
    expect(left).toEqual(names(100).slice(-left.length))
    expect(left.length).toBeGreaterThan(48)
    expect(left.length).toBeLessThan(65)
  })

  it('stay, where there is room for them, while others are written again and again', () => {
    const table = new RowTable(6 * chunkBytes)
    const kept = names(20)
    kept.forEach(name => table.put(versionOf(name, Buffer.from(`value ${name}`)), 1, 0))
    for (let buffer = 1; buffer <= 200; buffer++) {
      table.put(versionOf('99'), buffer, 0)
      table.settle(buffer)
    }
    expect(found(table)).toEqual([...kept, '99'])
    for (const name of kept) {
      const { record, valueOffset } = table.version(`\0${name}`, must(table.get(`\0${name}`)))
      expect(record.subarray(valueOffset).toString()).toBe(`value ${name}`)
    }
  })

  it('are bounded in bytes where large ones follow many small ones', () => {
    const table = new RowTable(64 * chunkBytes)
    for (let at = 0; at < 50_000; at++) table.put(versionOf(`small ${at}`, Buffer.alloc(1)), 1, 0)
    table.settle(1)
    const large = names(100)
    for (const name of large) {
      table.put(versionOf(name, Buffer.alloc(10 * chunkBytes)), Number(name) + 2, 0)
      table.settle(Number(name) + 2)
    }
    expect(found(table).length).toBeLessThan(8)
  })

  it('that were read are not kept where they are large, or where everything else still waits', () => {
    const source = new RowTable(1 << 20)
    const stored = (name: string, bytes: number) =>
      source.version(`\0${name}`, source.put(versionOf(name, Buffer.alloc(bytes)), 1, 0).place)
    const table = new RowTable(2 * chunkBytes)
    table.maybeAddStored(stored('1', 200_000))
    table.maybeAddStored(stored('2', 100))
    expect(found(table)).toEqual(['2'])
    for (const name of names(40).slice(10)) table.put(versionOf(name), 1, 0)
    table.maybeAddStored(stored('3', 100))
    expect(table.get('\x003')).toBeUndefined()
  })

  it('stay as long as they wait for the engine, and go once they are there', () => {
    const table = new RowTable(0)
    for (const name of names(20)) table.put(versionOf(name), Number(name) < 8 ? 1 : 2, 0)
    expect(found(table)).toEqual(names(20))
    table.settle(1)
    expect(found(table)).toEqual(names(20).slice(8))
    table.settle(2)
    expect(found(table)).toEqual([])
  })

  it('stay when they are written anew before their buffer is in the engine', () => {
    const table = new RowTable(0)
    table.put(versionOf('1'), 1, 0)
    table.put(versionOf('1'), 2, 0)
    table.settle(1)
    expect(table.bufferOf(must(table.get('\x001')))).toBe(2)
  })

  it('are forgotten when the engine drops them, unless something newer waits', () => {
    const table = new RowTable(1 << 20)
    table.put(versionOf('1'), 1, 0)
    table.settle(1)
    table.put(versionOf('2'), 2, 0)
    table.forget('\x001')
    table.forget('\x002')
    expect(found(table)).toEqual(['2'])
  })

  it('that somebody holds are whole, whatever comes after them', () => {
    const table = new RowTable(0)
    const { place } = table.put(versionOf('held', Buffer.from('still here')), 1, 0)
    const { record, valueOffset } = table.version('\0held', place)
    table.settle(1)
    for (const name of names(100)) {
      table.put(versionOf(name, Buffer.alloc(8_000, 'x')), Number(name) + 2, 0)
      table.settle(Number(name) + 2)
    }
    expect(found(table)).toEqual([])
    expect(record.subarray(valueOffset).toString()).toBe('still here')
  })
})
