import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { RowTable } from '../../src/mvcc/row-table.ts'
import type { Version } from '../../src/mvcc/version.ts'

const recordBytes = 1_000
const versionOf = (row: string): Version => ({ row, record: Buffer.alloc(recordBytes) }) as Version
const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `row ${at}`)
const found = (table: RowTable, count: number): string[] => names(count).filter(name => table.get(name) !== undefined)

describe('the rows in memory', () => {
  it('are bounded in bytes, the oldest out first', () => {
    const table = new RowTable(5 * recordBytes)
    for (const name of names(20)) table.add(versionOf(name), 0)
    expect(found(table, 20)).toEqual(['row 17', 'row 18', 'row 19'])
  })

  it('stay as long as they wait for the engine, and go once they are there', () => {
    const table = new RowTable(0)
    for (const name of names(20)) table.add(versionOf(name), name < 'row 2' ? 1 : 2)
    expect(found(table, 20).length).toBe(20)
    table.settle(1)
    expect(found(table, 20)).toEqual(names(20).filter(name => name >= 'row 2'))
    table.settle(2)
    expect(found(table, 20)).toEqual([])
  })

  it('stay when they are written anew before their buffer is in the engine', () => {
    const table = new RowTable(0)
    const row = table.add(versionOf('a'), 1)
    table.replace(row, versionOf('a'), 2)
    table.settle(1)
    expect(must(table.get('a')).buffer).toBe(2)
  })

  it('are forgotten when the engine drops them, unless something newer waits', () => {
    const table = new RowTable(100 * recordBytes)
    table.add(versionOf('clean'), 0)
    table.add(versionOf('dirty'), 1)
    table.forget('clean')
    table.forget('dirty')
    expect([table.get('clean'), table.get('dirty')?.buffer]).toEqual([undefined, 1])
  })
})
