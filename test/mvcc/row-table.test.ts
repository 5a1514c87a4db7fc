import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { Index, Keyspace, RangeId, ReplicaId } from '../../src/base/ids.ts'
import { type Place, RowTable } from '../../src/mvcc/row-table.ts'
import type { NewVersion } from '../../src/mvcc/version.ts'
import type { Timestamp } from '../../src/time/timestamp.ts'

const keyspace = 0 as Keyspace
const source = { rangeId: 1 as RangeId, replicaId: 1 as ReplicaId }
const chunkBytes = 64 * 1024
/** Eight to a chunk. */
const value = Buffer.alloc(8_000)
const versionOf = (name: string, at = value): NewVersion => ({
  keyspace,
  key: Buffer.from(name),
  source,
  index: 5 as Index,
  timestamp: 7 as Timestamp,
  created: 6 as Timestamp,
  version: 2,
  before: undefined,
  deleted: false,
  value: at,
})
const names = (count: number): string[] => Array.from({ length: count }, (_, at) => String(at))
const get = (table: RowTable, name: string): Place | undefined => table.get(keyspace, Buffer.from(name))
const put = (table: RowTable, version: NewVersion, buffer: number, position = 0): Place =>
  table.put(version, table.get(keyspace, version.key), buffer, position).place
const found = (table: RowTable): string[] => names(100).filter(name => get(table, name) !== undefined)

describe('the rows in memory', () => {
  it('are what they were when they came', () => {
    const table = new RowTable(1 << 20)
    const place = put(table, versionOf('key', Buffer.from('value')), 3, 4)
    const { keyspace: _, key: __, before: ___, value: given, ...rest } = versionOf('key', Buffer.from('value'))
    const row = table.nameOf(place)
    expect(row).toBe('\0key')
    expect(table.version(row, place)).toMatchObject({ row, ...rest })
    expect(table.version(row, place).record.subarray(table.version(row, place).valueOffset)).toEqual(given)
    expect([table.bufferOf(place), table.positionOf(place)]).toEqual([3, 4])
  })

  it('are bounded in bytes, the oldest out first', () => {
    const table = new RowTable(8 * chunkBytes)
    for (const name of names(100)) {
      put(table, versionOf(name), Number(name) + 1)
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
    kept.forEach(name => put(table, versionOf(name, Buffer.from(`value ${name}`)), 1))
    for (let buffer = 1; buffer <= 200; buffer++) {
      put(table, versionOf('99'), buffer)
      table.settle(buffer)
    }
    expect(found(table)).toEqual([...kept, '99'])
    for (const name of kept) {
      const { record, valueOffset } = table.version(`\0${name}`, must(get(table, name)))
      expect(record.subarray(valueOffset).toString()).toBe(`value ${name}`)
    }
  })

  it('are bounded in bytes where large ones follow many small ones', () => {
    const table = new RowTable(64 * chunkBytes)
    for (let at = 0; at < 50_000; at++) put(table, versionOf(`small ${at}`, Buffer.alloc(1)), 1)
    table.settle(1)
    const large = names(100)
    for (const name of large) {
      put(table, versionOf(name, Buffer.alloc(10 * chunkBytes)), Number(name) + 2)
      table.settle(Number(name) + 2)
    }
    expect(found(table).length).toBeLessThan(8)
  })

  it('that were read are not kept where they are large, or where everything else still waits', () => {
    const source = new RowTable(1 << 20)
    const stored = (name: string, bytes: number) =>
      source.version(`\0${name}`, put(source, versionOf(name, Buffer.alloc(bytes)), 1)).record
    const table = new RowTable(2 * chunkBytes)
    table.maybeAddStored(keyspace, Buffer.from('1'), stored('1', 200_000))
    table.maybeAddStored(keyspace, Buffer.from('2'), stored('2', 100))
    expect(found(table)).toEqual(['2'])
    for (const name of names(40).slice(10)) put(table, versionOf(name), 1)
    table.maybeAddStored(keyspace, Buffer.from('3'), stored('3', 100))
    expect(get(table, '3')).toBeUndefined()
  })

  it('stay as long as they wait for the engine, and go once they are there', () => {
    const table = new RowTable(0)
    for (const name of names(20)) put(table, versionOf(name), Number(name) < 8 ? 1 : 2)
    expect(found(table)).toEqual(names(20))
    table.settle(1)
    expect(found(table)).toEqual(names(20).slice(8))
    table.settle(2)
    expect(found(table)).toEqual([])
  })

  it('stay when they are written anew before their buffer is in the engine', () => {
    const table = new RowTable(0)
    put(table, versionOf('1'), 1)
    put(table, versionOf('1'), 2)
    table.settle(1)
    expect(table.bufferOf(must(get(table, '1')))).toBe(2)
  })

  it('are forgotten when the engine drops them, unless something newer waits', () => {
    const table = new RowTable(1 << 20)
    put(table, versionOf('1'), 1)
    table.settle(1)
    put(table, versionOf('2'), 2)
    table.forget(keyspace, Buffer.from('1'))
    table.forget(keyspace, Buffer.from('2'))
    expect(found(table)).toEqual(['2'])
  })

  it('that somebody holds are whole, whatever comes after them', () => {
    const table = new RowTable(0)
    const place = put(table, versionOf('held', Buffer.from('still here')), 1, 0)
    const { record, valueOffset } = table.version('\0held', place)
    table.settle(1)
    for (const name of names(100)) {
      put(table, versionOf(name, Buffer.alloc(8_000, 'x')), Number(name) + 2)
      table.settle(Number(name) + 2)
    }
    expect(found(table)).toEqual([])
    expect(record.subarray(valueOffset).toString()).toBe('still here')
  })
})
