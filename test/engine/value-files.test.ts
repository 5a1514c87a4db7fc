// Values in files of their own, as LevelDB's engine keeps them: they are there as long as anybody may read them, and no longer.

import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { must } from '../../src/base/assert.ts'
import { DamageError, type Engine } from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { until } from '../support/until.ts'

const fileBytes = 64 * 1024 * 1024
let folder: string
let engine: Engine
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-values-'))
  engine = await start('state')
})
afterEach(async () => {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
})

const start = (name: string): Promise<Engine> => openLevelEngine(join(folder, name), { clock: systemClock })
const valuesOf = (name: string): string => join(folder, name, 'values')
const files = (name = 'state'): string[] => (existsSync(valuesOf(name)) ? readdirSync(valuesOf(name)).sort() : [])
const pathOf = (at: number, name = 'state'): string => join(valuesOf(name), must(files(name)[at]))
const value = (fill: string, bytes = 10_000): Buffer => Buffer.alloc(bytes, fill)
const restart = async (): Promise<void> => {
  await engine.close()
  engine = await start('state')
}
/** The newest file is full: the next values begin another. */
const fillUp = (key: string): Promise<void> => engine.write([{ key, value: value('full', fileBytes - 100_000) }])
const remove = (...keys: string[]): Promise<void> => engine.write(keys.map(key => ({ key, value: undefined })))

describe('values that are kept apart', () => {
  test('are not in LevelDB, unless they are small', async () => {
    await engine.write([{ key: 'hsmall', value: value('s', 4_095) }])
    expect(files()).toEqual([])
    await engine.write([{ key: 'hlarge', value: value('l') }])
    await engine.close()
    const database = new ClassicLevel<string, Buffer>(join(folder, 'state'), { valueEncoding: 'buffer' })
    expect([(await database.get('hsmall'))?.length, (await database.get('hlarge'))?.length]).toEqual([4_095, 21])
    await database.close()
    engine = await start('state')
    expect([engine.get('hsmall'), engine.get('hlarge')]).toEqual([value('s', 4_095), value('l')])
  })

  test('go with their file, once nothing in it is referred to and another is written to', async () => {
    await engine.write([{ key: 'h1', value: value('1') }])
    await fillUp('h2')
    await engine.write([{ key: 'h3', value: value('3', 200_000) }])
    expect(files()).toHaveLength(2)
    await remove('h1')
    expect(files()).toHaveLength(2)
    await remove('h2')
    await until('the first file is gone', async () => files().length === 1)
    // Nothing is left in the second, and it is still the one that is written to.
    await engine.write([{ key: 'h3', value: value('small', 10) }])
    await engine.write([{ key: 'h4', value: value('4') }])
    expect([files().length, engine.get('h4')]).toEqual([1, value('4')])
  })

  test('stay for a snapshot that was taken before they were removed, and not for one taken after', async () => {
    await fillUp('h1')
    await engine.write([{ key: 'h2', value: value('2', 200_000) }])
    const before = engine.snapshot()
    await remove('h1')
    const after = engine.snapshot()
    expect(before.get('h1')?.length).toBe(fileBytes - 100_000)
    await before.close()
    await until('the file is gone', async () => files().length === 1)
    expect(after.get('h1')).toBeUndefined()
    await after.close()
  })

  test('are counted again at a start, and what nothing refers to is removed', async () => {
    await engine.write([{ key: 'h1', value: value('1') }])
    await engine.write([{ key: 'nspool/1/0', value: value('0') }])
    await restart()
    await engine.write([{ key: 'h2', value: value('2') }])
    writeFileSync(join(valuesOf('state'), '0000000009.values'), 'a crash came before its batch')
    await restart()
    expect(files()).toEqual(['0000000001.values', '0000000002.values'])
    await remove('nspool/1/0')
    expect(engine.get('h1')).toEqual(value('1'))
    await remove('h1')
    await until('the first file is gone', async () => files().length === 1)
    // No name is used again: something old may still lie about.
    await engine.write([{ key: 'h3', value: value('3') }])
    expect(files()).toEqual(['0000000002.values', '0000000010.values'])
  })

  test('are read back from more files than stay open', async () => {
    const keys = Array.from({ length: 20 }, (_, at) => `h${at}`)
    for (const key of keys) {
      await engine.write([{ key, value: value(key) }])
      await restart()
    }
    expect(files()).toHaveLength(20)
    for (const key of [...keys, ...keys]) expect(engine.get(key)).toEqual(value(key))
  })

  test.each([
    { how: 'gone', spoil: (path: string) => rmSync(path), says: 'is missing' },
    { how: 'shorter', spoil: (path: string) => truncateSync(path, statSync(path).size - 1), says: 'bytes, and values' },
  ])('refuse the start when their file is $how', async ({ spoil, says }) => {
    await engine.write([{ key: 'h1', value: value('1') }])
    await engine.close()
    spoil(pathOf(0))
    const refusal = await start('state').catch((error: unknown) => error)
    rmSync(join(folder, 'state'), { recursive: true })
    engine = await start('state')
    expect(isKvError(refusal, 'data-directory') && refusal.details.reason).toBe('damaged')
    expect(String(refusal)).toMatch(new RegExp(`${says}.*its peers rebuild it`))
  })

  test("are not taken from another database's file of the same name", async () => {
    const other = await start('other')
    await other.write([{ key: 'h1', value: value('x') }])
    await other.close()
    await engine.write([{ key: 'h1', value: value('1') }])
    await engine.close()
    copyFileSync(pathOf(0, 'other'), pathOf(0))
    engine = await start('state')
    expect(() => engine.get('h1')).toThrow(DamageError)
    await expect(engine.read({ start: 'h', end: 'i' }, { limit: 1 })).rejects.toThrow(/another file than it was/)
  })

  test('whose file cannot be opened are not taken for damaged, and are if it is gone', async () => {
    await engine.write([{ key: 'h1', value: value('1') }])
    const path = pathOf(0)
    const kept = join(folder, 'kept')
    renameSync(path, kept)
    expect(() => engine.get('h1')).toThrow(DamageError)
    symlinkSync(path, path)
    expect(() => engine.get('h1')).toThrow(/ELOOP/)
    rmSync(path)
    renameSync(kept, path)
    expect(engine.get('h1')).toEqual(value('1'))
  })

  test('that are staged are in their file long before their batch, and read by nobody until then', async () => {
    const staged = ['h1', 'h2', 'h3'].map(key => ({ key, value: value(key, 50_000) }))
    for (const { key, value: bytes } of staged) engine.stage(key, bytes)
    await until('the file has all of them', async () => files().length === 1 && statSync(pathOf(0)).size > 150_000)
    expect(engine.get('h1')).toBeUndefined()
    await engine.write([...staged.slice(0, 2), { key: 'h4', value: value('4') }])
    expect(statSync(pathOf(0)).size).toBeLessThan(170_000)
    await engine.write(staged.slice(2))
    for (const { key, value: bytes } of staged) expect(engine.get(key)).toEqual(bytes)
    expect(engine.get('h4')).toEqual(value('4'))
    await restart()
    for (const { key, value: bytes } of staged) expect(engine.get(key)).toEqual(bytes)
  })

  test('that were staged in vain keep no file', async () => {
    engine.stage('h1', value('1'))
    engine.stage('h2', value('2', fileBytes - 100_000))
    engine.stage('h3', value('3', 200_000))
    engine.dropStaged()
    await until('the first file is gone', async () => files()[0] === '0000000002.values')
    // Those of before count no longer.
    await engine.write([{ key: 'h3', value: value('anew') }])
    expect(engine.get('h3')).toEqual(value('anew'))
  })

  test('that are staged and cannot be synced are never put: no batch is written any more', async () => {
    let syncs = 0
    const { restore } = await spyOnSyncs(async sync => {
      await sync()
      // The first is of the file's header.
      if (++syncs === 2) throw new Error('the disk is ill')
    })
    engine.stage('h1', value('1', 3 * 1024 * 1024))
    await until('the value was to be synced', async () => syncs === 2)
    restore()
    await expect(engine.write([{ key: 'h2', value: value('2') }])).rejects.toThrow('ill')
    expect(engine.get('h2')).toBeUndefined()
  })

  test.each([
    ['h', 'staged before'],
    ['h', 'not staged'],
    ['d', 'not staged'],
  ])('are synced before LevelDB is told of them (under %s, %s)', async (prefix, how) => {
    const done: string[] = []
    const { restore } = await spyOnSyncs(async sync => {
      await sync()
      done.push('values synced')
    })
    const { batch } = ClassicLevel.prototype
    vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (this: unknown, ...given: unknown[]) {
      const chained = Reflect.apply(batch, this, given) as { write: (how: object) => Promise<void> }
      const write = chained.write.bind(chained)
      chained.write = how => {
        done.push('batch')
        return write(how)
      }
      return chained as never
    })
    const put = (key: string, bytes: Buffer): Promise<void> => {
      if (how === 'staged before') engine.stage(key, bytes)
      return engine.write([{ key, value: bytes }])
    }
    try {
      await put(`${prefix}1`, value('1'))
      await put(`${prefix}2`, value('2'))
      // The first file's header comes first.
      expect(done).toEqual(['values synced', 'values synced', 'batch', 'values synced', 'batch'])
    } finally {
      restore()
      vi.restoreAllMocks()
    }
  })
})

async function spyOnSyncs(instead: (sync: () => Promise<void>) => Promise<void>): Promise<{ restore: () => void }> {
  const handle = await open(join(folder, 'probe'), 'w')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const { datasync } = prototype
  const spy = vi.spyOn(prototype, 'datasync').mockImplementation(function (this: FileHandle) {
    return instead(() => datasync.call(this))
  })
  return { restore: () => spy.mockRestore() }
}
