import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { type Engine, type EngineBatchOperation, apartPrefixes } from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { createSerialEngine } from '../../src/engine/serial-engine.ts'
import { createPrng } from '../../src/base/prng.ts'
import { SimEngineDisk } from '../sim/sim-engine.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { startVirtualTime } from '../support/virtual-time.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-engine-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function openLevel(): Promise<Engine> {
  const engine = await openLevelEngine(join(await temporaryDirectory(), 'state'), { clock: systemClock })
  closers.push(() => engine.close())
  return engine
}

/** Reads and writes take time, virtually. */
async function openSimulated(): Promise<Engine> {
  const time = startVirtualTime()
  const clock = time.createClock()
  const prng = createPrng(1)
  const engine = new SimEngineDisk({ prng }).open({
    schedule: complete => clock.arriveAfter(prng.next() * 3, complete),
  })
  closers.push(async () => {
    await engine.close()
    await time.stop()
  })
  return engine
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const puts = (...keys: string[]): EngineBatchOperation[] => keys.map(key => ({ key, value: bytes(`value of ${key}`) }))
const keysOf = (pairs: readonly { key: string }[]): string[] => pairs.map(pair => pair.key)
const everything = { start: '', end: '\xff\xff\xff' }

describe.each([
  { name: 'LevelDB', open: openLevel },
  { name: 'the simulated disk', open: openSimulated },
  { name: 'memory', open: async () => createMemoryEngine() as Engine },
  { name: 'serial over memory', open: async () => createSerialEngine(createMemoryEngine()) },
])('the engine port over $name', ({ open }) => {
  test('gives back what was written, and nothing for a key that was deleted or never there', async () => {
    const engine = await open()
    await engine.write(puts('a', 'b'))
    await engine.write([
      { key: 'a', value: undefined },
      { key: 'c', value: new Uint8Array(0) },
    ])
    expect(engine.get('a')).toBeUndefined()
    expect(engine.get('never')).toBeUndefined()
    expect(Buffer.from(engine.get('b') ?? []).toString()).toBe('value of b')
    expect(engine.get('c')?.length).toBe(0)
  })

  test.each([
    { what: 'many operations', count: 2_345, valueBytes: 3 },
    { what: 'large values', count: 7, valueBytes: 300_000 },
  ])('writes all of a batch of $what, deletions among them', async ({ count, valueBytes }) => {
    const engine = await open()
    const keys = Array.from({ length: count }, (_, at) => `d${String(at).padStart(5, '0')}`)
    await engine.write(keys.map(key => ({ key, value: Buffer.alloc(valueBytes, key) })))
    const kept = keys.filter((_, at) => at % 3 !== 0)
    await engine.write(
      keys.map((key, at) => ({ key, value: at % 3 === 0 ? undefined : Buffer.alloc(valueBytes, 'x') })),
    )
    const pairs = await engine.read(everything, { limit: count })
    expect(keysOf(pairs)).toEqual(kept)
    expect(pairs.every(({ value }) => Buffer.alloc(valueBytes, 'x').equals(value))).toBe(true)
  })

  test('gives back values of every size from where large ones may be kept apart, and one like what stands for them', async () => {
    const engine = await open()
    const sizes = [0, 1, 4_095, 4_096, 70_000]
    const keys = Object.values(apartPrefixes).flatMap(prefix => sizes.map(size => `${prefix}${size}`))
    const valueOf = (key: string, fill: string): Buffer => Buffer.alloc(Number(/\d+$/.exec(key)?.[0]), fill)
    await engine.write(keys.map(key => ({ key, value: valueOf(key, 'first') })))
    const snapshot = engine.snapshot()
    await engine.write([
      ...keys.map(key => ({ key, value: undefined })),
      ...keys.map(key => ({ key, value: valueOf(key, `of ${key}`) })),
      { key: 'h', value: Buffer.alloc(21, 0xff) },
      { key: 'dsmall', value: bytes('elsewhere') },
    ])
    for (const key of keys) expect(valueOf(key, `of ${key}`).equals(engine.get(key) ?? bytes('nothing'))).toBe(true)
    for (const key of keys) expect(valueOf(key, 'first').equals(snapshot.get(key) ?? bytes('nothing'))).toBe(true)
    expect(engine.get('h')).toEqual(Buffer.alloc(21, 0xff))
    const pairs = await engine.read({ start: 'd', end: 'o' }, { limit: 100 })
    expect(keysOf(pairs)).toEqual(['dsmall', 'h', ...keys].sort())
    const found = new Map(pairs.map(({ key, value }) => [key, value]))
    expect(keys.every(key => valueOf(key, `of ${key}`).equals(found.get(key) ?? bytes('nothing')))).toBe(true)
    expect(await engine.read({ start: 'h4', end: 'o' }, { limit: 100, bytesMax: 5_000 })).toHaveLength(2)
    await engine.write(['h', ...keys].map(key => ({ key, value: undefined })))
    expect(keysOf(await engine.read(everything, { limit: 10 }))).toEqual(['dsmall'])
    expect(keysOf(await snapshot.read(everything, { limit: 100 }))).toEqual([...keys].sort())
    await snapshot.close()
  })

  test('orders keys by their bytes, high bytes and zeros included', async () => {
    const engine = await open()
    const keys = ['', '\0', '\0\0', 'a', 'a\0', 'ab', '\x7f', '\x80', '\xc3\xa9', '\xe9', '\xff', '\xff\xff'].map(
      key => `d${key}`,
    )
    await engine.write(puts(...keys.toReversed()))
    expect(keysOf(await engine.read(everything, { limit: 100 }))).toEqual(keys)
    expect(keysOf(await engine.read(everything, { limit: 100, reverse: true }))).toEqual(keys.toReversed())
  })

  test('reads a span from its start or its end, up to a limit, with the end left out', async () => {
    const engine = await open()
    await engine.write(puts('a', 'b', 'c', 'd', 'e'))
    const span = { start: 'b', end: 'e' }
    expect(keysOf(await engine.read(span, { limit: 2 }))).toEqual(['b', 'c'])
    expect(keysOf(await engine.read(span, { limit: 2, reverse: true }))).toEqual(['d', 'c'])
    expect(await engine.read({ start: 'c', end: 'c' }, { limit: 2 })).toEqual([])
    expect(await engine.read({ start: 'x', end: 'z' }, { limit: 2 })).toEqual([])
  })

  test('reads at least one pair and not much more than the bytes asked for', async () => {
    const engine = await open()
    const value = new Uint8Array(10_000)
    await engine.write(
      Array.from({ length: 20 }, (_, number) => ({ key: `k${String(number).padStart(2, '0')}`, value })),
    )
    expect(await engine.read(everything, { limit: 20, bytesMax: 1 })).toHaveLength(1)
    const some = await engine.read(everything, { limit: 20, bytesMax: 50_000 })
    expect(some.length).toBeGreaterThan(3)
    expect(some.length).toBeLessThan(8)
    expect(await engine.read(everything, { limit: 20 })).toHaveLength(20)
  })

  test.each(['d', apartPrefixes.history])('reads a part of a value, small or large (under %s)', async prefix => {
    const engine = await open()
    const values = [100, 50_000].map(length => Buffer.from(Array.from({ length }, (_, at) => at % 251)))
    await engine.write(values.map((value, at) => ({ key: prefix + at, value })))
    for (const [at, value] of values.entries()) {
      for (const [start, end] of [
        [0, 10],
        [90, 100],
        [40, 40],
        [0, value.length],
        [value.length - 1, value.length],
      ] as const)
        expect(Buffer.from(engine.getPart(prefix + at, start, end) ?? [-1])).toEqual(value.subarray(start, end))
      expect(engine.getPart(prefix + at, 50, value.length + 1)).toBeUndefined()
    }
    expect(engine.getPart(`${prefix}9`, 0, 1)).toBeUndefined()
  })

  test('ends a read before its limits only at the end of its span', async () => {
    const engine = await open()
    await engine.write(
      Array.from({ length: 3_000 }, (_, number) => ({ key: `k${number}`, value: new Uint8Array(number % 700) })),
    )
    for (const [limit, bytesMax] of [
      [2_500, 100_000],
      [2_500, 10_000_000],
      [40, 100_000],
      [4_000, 10_000_000],
    ] as const) {
      const pairs = await engine.read(everything, { limit, bytesMax })
      const bytesRead = pairs.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
      if (pairs.length < 3_000 && pairs.length < limit) expect(bytesRead).toBeGreaterThanOrEqual(bytesMax)
      else expect(pairs).toHaveLength(Math.min(limit, 3_000))
    }
  })

  test('orders keys like their bytes, whatever the bytes', async () => {
    const engine = await open()
    const prng = createPrng(3)
    const keys = Array.from({ length: 500 }, () =>
      Buffer.from(Array.from({ length: 1 + prng.below(6) }, () => prng.below(256))),
    )
    await engine.write(keys.map(key => ({ key: key.toString('latin1'), value: key })))
    const ordered = [...new Set(keys.toSorted(Buffer.compare).map(key => key.toString('latin1')))]
    const pairs = await engine.read({ start: '', end: '\xff'.repeat(7) }, { limit: 1_000 })
    expect(keysOf(pairs)).toEqual(ordered)
    expect(pairs.map(({ value }) => Buffer.from(value).toString('latin1'))).toEqual(ordered)
    for (const key of ordered.slice(0, 50))
      expect(Buffer.from(engine.get(key) ?? [])).toEqual(Buffer.from(key, 'latin1'))
  })

  test('leaves values out where only keys are asked for', async () => {
    const engine = await open()
    await engine.write(puts('a', 'b'))
    const pairs = await engine.read(everything, { limit: 10, keysOnly: true })
    expect(pairs.map(pair => [pair.key, pair.value.length])).toEqual([
      ['a', 0],
      ['b', 0],
    ])
  })

  test('a snapshot keeps seeing what was written before it, and nothing after', async () => {
    const engine = await open()
    await engine.write(puts('a', 'b'))
    const snapshot = engine.snapshot()
    await engine.write([...puts('c'), { key: 'a', value: undefined }, { key: 'b', value: bytes('new') }])
    expect(keysOf(await snapshot.read(everything, { limit: 10 }))).toEqual(['a', 'b'])
    expect(Buffer.from(snapshot.get('b') ?? []).toString()).toBe('value of b')
    expect(snapshot.get('c')).toBeUndefined()
    await snapshot.close()
    expect(keysOf(await engine.read(everything, { limit: 10 }))).toEqual(['b', 'c'])
  })

  test('the last operation on a key of one batch counts', async () => {
    const engine = await open()
    await engine.write([...puts('a'), { key: 'a', value: undefined }, ...puts('b'), { key: 'b', value: bytes('last') }])
    expect(engine.get('a')).toBeUndefined()
    expect(Buffer.from(engine.get('b') ?? []).toString()).toBe('last')
  })

  test('a read sees what was there when it was asked for, however long it takes', async () => {
    const engine = await open()
    await engine.write(puts('a'))
    const reading = engine.read(everything, { limit: 10 })
    await engine.write(puts('b'))
    expect(keysOf(await reading)[0]).toBe('a')
  })

  test('is not harmed by bytes that change once its write has resolved', async () => {
    const engine = await open()
    const value = bytes('first')
    await engine.write([{ key: 'a', value }])
    value.fill(0)
    expect(Buffer.from(engine.get('a') ?? []).toString()).toBe('first')
  })

  test('refuses everything once closed, and its snapshots with it', async () => {
    const engine = await open()
    await engine.write(puts('a'))
    const snapshot = engine.snapshot()
    const other = engine.snapshot()
    await other.close()
    await expect((async () => await other.read(everything, { limit: 1 }))()).rejects.toThrow()
    await snapshot.close()
    await engine.close()
    expect(() => engine.get('a')).toThrow()
    await expect(engine.read(everything, { limit: 1 })).rejects.toThrow()
    await expect(engine.write(puts('b'))).rejects.toThrow()
    expect(() => engine.snapshot()).toThrow()
  })

  test('estimates the bytes of a span', async () => {
    const engine = await open()
    await engine.write(puts('a', 'b'))
    expect(await engine.approximateBytes({ start: 'x', end: 'z' })).toBe(0)
    expect(await engine.approximateBytes(everything)).toBeGreaterThanOrEqual(0)
  })
})

test('what LevelDB acknowledged is there after it was closed and opened again', async () => {
  const directory = join(await temporaryDirectory(), 'state')
  const first = await openLevelEngine(directory, { clock: systemClock })
  await first.write(puts('a'))
  await first.close()
  const second = await openLevelEngine(directory, { clock: systemClock })
  closers.push(() => second.close())
  expect(Buffer.from(second.get('a') ?? []).toString()).toBe('value of a')
})

test('a directory that another owner has open is refused, with the remedy', async () => {
  const directory = join(await temporaryDirectory(), 'state')
  const engine = await openLevelEngine(directory, { clock: systemClock })
  closers.push(() => engine.close())
  const refusal = await openLevelEngine(directory, { clock: systemClock }).catch((error: unknown) => error)
  expect(isKvError(refusal, 'data-directory') && refusal.details.reason).toBe('locked')
  expect(String(refusal)).toMatch(/another process .* Stop that node/)
})

test('a damaged database is refused as such', async () => {
  const directory = join(await temporaryDirectory(), 'state')
  await (await openLevelEngine(directory, { clock: systemClock })).close()
  await writeFile(join(directory, 'CURRENT'), 'no such manifest\n')
  const refusal = await openLevelEngine(directory, { clock: systemClock }).catch((error: unknown) => error)
  expect(isKvError(refusal, 'data-directory') && refusal.details.reason).toBe('damaged')
  expect(String(refusal)).toMatch(/damaged .* its peers rebuild it/)
})

test('a file in the place of the directory is no database', async () => {
  const path = join(await temporaryDirectory(), 'state')
  await writeFile(path, 'a file')
  const refusal = await openLevelEngine(path, { clock: systemClock }).catch((error: unknown) => error)
  expect(isKvError(refusal, 'data-directory') && refusal.details.reason).toBe('not-a-database')
})
