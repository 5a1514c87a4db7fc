import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import type { Engine, EngineBatchOperation } from '../../src/engine/engine.ts'
import { SimEngineDisk } from './sim-engine.ts'

const everything = { start: '', end: '\xff\xff' }
const put = (key: string, value = key): EngineBatchOperation => ({ key, value: Buffer.from(value) })
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()
const stored = (disk: SimEngineDisk): string =>
  [...disk.pairs()]
    .map(([key, value]) => `${key}=${text(value)}`)
    .sort()
    .join(' ')

/** Writes wait until they are told to complete. */
function openHeld(disk: SimEngineDisk): { engine: Engine; complete: () => void } {
  const waiting: (() => void)[] = []
  const engine = disk.open({ schedule: complete => waiting.push(complete) })
  return { engine, complete: () => waiting.shift()?.() }
}

/** Whether both promises and what follows them are done. */
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('the simulated engine disk', () => {
  it('keeps, of a batch under way when the process ends, all or nothing, and never answers it', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const disk = new SimEngineDisk({ prng: createPrng(seed) })
      const { engine, complete } = openHeld(disk)
      let answers = 0
      engine.write([put('a'), put('b')]).then(
        () => answers++,
        () => answers++,
      )
      disk.crash()
      const left = stored(disk)
      outcomes.add(left)
      complete()
      await turn()
      expect([answers, stored(disk)]).toEqual([0, left])
      expect([...(await disk.open().read(everything, { limit: 9 }))].length).toBe(left === '' ? 0 : 2)
    }
    expect(outcomes).toEqual(new Set(['', 'a=a b=b']))
  })

  it('keeps what was acknowledged through any crash', async () => {
    const disk = new SimEngineDisk({ prng: createPrng(1) })
    await disk.open().write([put('a')])
    disk.crash()
    await disk.open().write([put('b')])
    disk.crash()
    expect(stored(disk)).toBe('a=a b=b')
  })

  it('writes nothing more after a failed write, whose batch may be found at the next start', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const disk = new SimEngineDisk({ prng: createPrng(seed) })
      const engine = disk.open()
      disk.fault = operation => (operation === 'write' ? new Error('ENOSPC') : undefined)
      await expect(engine.write([put('a')])).rejects.toThrow('ENOSPC')
      disk.fault = () => undefined
      expect(engine.get('a')).toBeUndefined()
      await expect(engine.write([put('b')])).rejects.toThrow('failed before')
      disk.crash()
      outcomes.add(stored(disk))
    }
    expect(outcomes).toEqual(new Set(['', 'a=a']))
  })

  it('fails reads when told to', async () => {
    const disk = new SimEngineDisk({ prng: createPrng(1) })
    const engine = disk.open()
    disk.fault = operation => new Error(`EIO: ${operation}`)
    expect(() => engine.get('a')).toThrow('EIO: get')
    await expect(engine.read(everything, { limit: 1 })).rejects.toThrow('EIO: read')
  })

  it('lets one process in at a time', async () => {
    const disk = new SimEngineDisk({ prng: createPrng(1) })
    const engine = disk.open()
    expect(() => disk.open()).toThrow('open')
    await engine.close()
    disk.open()
    await engine.close()
    expect(() => disk.open()).toThrow('open')
  })

  it('loses a batch from the middle, and leaves the later ones as they were written', async () => {
    const disk = new SimEngineDisk({ prng: createPrng(1), undoBatches: 3 })
    const engine = disk.open()
    await engine.write([put('a', '1'), put('b', '1')])
    await engine.write([put('a', '2'), put('c', '2'), { key: 'b', value: undefined }])
    await engine.write([put('a', '3')])
    expect(disk.copy().loseBatch(3)).toBe(false)
    expect(disk.loseBatch(1)).toBe(true)
    expect(stored(disk)).toBe('a=3 b=1')
    expect(disk.loseBatch(0)).toBe(true)
    expect(stored(disk)).toBe('a=1 b=1')
    expect(disk.loseBatch(1)).toBe(false)
  })

  it('rots, and shares nothing with its copies', async () => {
    const disk = new SimEngineDisk({ prng: createPrng(1) })
    await disk.open().write([put('a'), put('b')])
    const twin = disk.copy()
    disk.corrupt('a', bytes => bytes.fill(0x78))
    disk.lose('b')
    expect([stored(disk), stored(twin)]).toEqual(['a=x', 'a=a b=b'])
    disk.crash()
    disk.wipe()
    expect([stored(disk), stored(twin)]).toEqual(['', 'a=a b=b'])
  })

  it('agrees with a plain map, snapshots included, whatever is written between reads', async () => {
    const prng = createPrng(11)
    const disk = new SimEngineDisk({ prng })
    const engine = disk.open()
    const model = new Map<string, string>()
    const views: { snapshot: ReturnType<Engine['snapshot']>; model: Map<string, string> }[] = []
    const key = (): string => `k${String(prng.below(300)).padStart(3, '0')}`
    for (let round = 0; round < 2_000; round++) {
      const batch = Array.from(
        { length: prng.below(8) },
        (): EngineBatchOperation => (prng.below(3) === 0 ? { key: key(), value: undefined } : put(key(), `${round}`)),
      )
      await engine.write(batch)
      for (const { key: written, value } of batch)
        if (value === undefined) model.delete(written)
        else model.set(written, `${round}`)
      if (prng.below(20) === 0) views.push({ snapshot: engine.snapshot(), model: new Map(model) })
      if (views.length > 4) await views.shift()?.snapshot.close()
      const subject = prng.below(2) === 0 ? undefined : views[prng.below(views.length || 1)]
      const [start = '', end = ''] = [key(), key()].sort()
      const reverse = prng.below(2) === 0
      const limit = 1 + prng.below(40)
      const read = await (subject?.snapshot ?? engine).read({ start, end }, { limit, reverse })
      const expected = [...(subject?.model ?? model)]
        .filter(([one]) => one >= start && one < end)
        .sort(([a], [b]) => (a < b ? -1 : 1))
      if (reverse) expected.reverse()
      expect(read.map(pair => [pair.key, text(pair.value)])).toEqual(expected.slice(0, limit))
    }
  })
})
