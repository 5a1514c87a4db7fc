// Large rows, as LevelDB's engine keeps them beside it: whatever is replaced, moved and restarted, each is what was put last, and
// what nobody can read any more takes no more room than is lived in.

import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { type Prng, createPrng } from '../../src/base/prng.ts'
import {
  DamageError,
  type Engine,
  type EngineBatchOperation,
  apartBytesMin,
  apartPrefixes,
} from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { until } from '../support/until.ts'

const fileBytes = 256 * 1024
const keys = Array.from({ length: 120 }, (_, at) => `d\0key ${at}\xff`)
const all = { start: '', end: '\xff\xff' }
let folder: string
let engine: Engine
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-rows-'))
  engine = await start()
})
afterEach(async () => {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
})

const start = (): Promise<Engine> => openLevelEngine(folder, { clock: systemClock, fileBytes })
const restart = async (): Promise<void> => {
  await engine.close()
  engine = await start()
}
const rowFiles = (): string[] => {
  const directory = join(folder, 'rows')
  return existsSync(directory) ? readdirSync(directory).map(name => join(directory, name)) : []
}
const bytesOnDisk = (): number =>
  rowFiles().reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)
const valueOf = (prng: Prng, bytes: number): Buffer => Buffer.alloc(bytes, `${prng.below(1e9)};`)
const large = (prng: Prng): number => apartBytesMin + prng.below(12_000)

describe('large rows', () => {
  test('are in LevelDB by their places alone, which no reader sees', async () => {
    const prng = createPrng(1)
    const [small, big] = [valueOf(prng, apartBytesMin - 1), valueOf(prng, apartBytesMin)]
    await engine.write([
      { key: 'dsmall', value: small },
      { key: 'dbig', value: big },
    ])
    expect([engine.get('dsmall'), engine.get('dbig')]).toEqual([small, big])
    expect((await engine.read(all, { limit: 10 })).map(({ key }) => key)).toEqual(['dbig', 'dsmall'])
    await engine.close()
    const database = new ClassicLevel<string, Buffer>(folder, { valueEncoding: 'buffer' })
    const stored = await database.iterator().all()
    expect(stored.map(([, value]) => value.length)).toEqual([21, apartBytesMin - 1, 21 + 'dbig'.length])
    await database.close()
    engine = await start()
  })

  test.each([1, 2, 3])(
    'agree with a map through replacing, removing, shrinking, moving and restarts (seed %i)',
    async seed => {
      const prng = createPrng(seed)
      const model = new Map<string, Buffer>()
      let worstFactor = 0
      for (let round = 0; round < 150; round++) {
        const batch = batchOf(prng, model)
        const before = new Map(model)
        const view = engine.snapshot()
        for (const { key, value } of batch) {
          if (value === undefined) model.delete(key)
          else model.set(key, Buffer.from(value))
        }
        await engine.write(batch)
        const key = must(keys[prng.below(keys.length)])
        expect(view.get(key)).toEqual(before.get(key))
        await view.close()
        if (prng.below(10) === 0) await restart()
        if (round % 10 === 0) await expectSame(model)
        const live = [...model.values()].reduce(
          (sum, value) => sum + (value.length < apartBytesMin ? 0 : value.length),
          0,
        )
        worstFactor = Math.max(worstFactor, bytesOnDisk() / (live + 4 * fileBytes))
      }
      await expectSame(model)
      // Three times would be what is not collected at all after a few rounds more.
      expect(worstFactor).toBeLessThan(2)
      expect(worstFactor).toBeGreaterThan(0.5)
    },
  )

  test('leave one that stays no file to itself', async () => {
    const prng = createPrng(7)
    const put = (names: readonly string[]): Promise<void> =>
      engine.write(names.map(key => ({ key, value: valueOf(prng, 10_000) })))
    // One in each file of twenty-five stays for good.
    for (let file = 0; file < 20; file++) await put([`dstays ${file}`, ...keys.slice(0, 24)])
    const stays = engine.get('dstays 0')
    for (let round = 0; round < 60; round++) await put(keys.slice(0, 24))
    await until('their files are gone', async () => bytesOnDisk() < 2 * 44 * 10_000 + 4 * fileBytes)
    expect(engine.get('dstays 0')).toEqual(stays)
    await restart()
    expect(engine.get('dstays 0')).toEqual(stays)
  })

  test('that were moved stay for a snapshot where they were', async () => {
    const prng = createPrng(8)
    const put = (names: readonly string[]): Promise<void> =>
      engine.write(names.map(key => ({ key, value: valueOf(prng, 10_000) })))
    await put(['dstays 0', ...keys.slice(0, 24)])
    const stays = engine.get('dstays 0')
    const view = engine.snapshot()
    const oldest = must(rowFiles().sort()[0])
    for (let file = 1; file < 10; file++) await put([`dstays ${file}`, ...keys.slice(0, 24)])
    for (let round = 0; round < 60; round++) await put(keys.slice(0, 24))
    expect([view.get('dstays 0'), existsSync(oldest)]).toEqual([stays, true])
    await view.close()
    await until('its file is gone', async () => !existsSync(oldest))
    expect(engine.get('dstays 0')).toEqual(stays)
  })

  test('refuse the start, or the read, where their file is gone', async () => {
    await engine.write([{ key: 'dbig', value: valueOf(createPrng(1), 5_000) }])
    rmSync(must(rowFiles()[0]))
    expect(() => engine.get('dbig')).toThrow(DamageError)
    await engine.close()
    await expect(start()).rejects.toThrow(/is missing.*its peers rebuild it/)
    rmSync(folder, { recursive: true })
    engine = await start()
  })
})

async function expectSame(model: ReadonlyMap<string, Buffer>): Promise<void> {
  const pairs = await engine.read(all, { limit: keys.length + 1 })
  expect(pairs.map(({ key }) => key)).toEqual([...model.keys()].sort())
  for (const { key, value } of pairs) expect(must(model.get(key)).equals(value)).toBe(true)
  for (const [key, value] of model) expect(value.equals(engine.get(key) ?? Buffer.alloc(0))).toBe(true)
}

function batchOf(prng: Prng, model: ReadonlyMap<string, Buffer>): EngineBatchOperation[] {
  const batch: EngineBatchOperation[] = []
  const names = new Set(Array.from({ length: 1 + prng.below(30) }, () => must(keys[prng.below(keys.length)])))
  for (const key of names) {
    const replacesSmall = (model.get(key)?.length ?? 0) < apartBytesMin && prng.below(2) === 0
    const what = prng.below(10)
    if (what === 0) batch.push({ key, value: undefined, replacesSmall })
    else batch.push({ key, value: valueOf(prng, what < 3 ? prng.below(apartBytesMin) : large(prng)), replacesSmall })
    // The last one counts.
    if (!replacesSmall && prng.below(10) === 0) batch.push({ key, value: valueOf(prng, large(prng)) })
  }
  batch.push({ key: `${apartPrefixes.history}${prng.below(3)}`, value: undefined })
  return batch
}
