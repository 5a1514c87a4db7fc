import { describe, expect, it } from 'vitest'
import { systemKeyspace, userKeyspace } from '../../src/base/ids.ts'
import { DamageError } from '../../src/engine/engine.ts'
import { digestRows } from '../../src/mvcc/row-digest.ts'
import type { VersionStore } from '../../src/mvcc/version-store.ts'
import { type Timestamp, timestampZero } from '../../src/time/timestamp.ts'
import { type MemoryEngine, createMemoryEngine } from '../support/memory-engine.ts'
import { nothingExtra, open, put, remove } from './store-steps.ts'

function digest(store: VersionStore, threshold: number = timestampZero, yieldNow = async () => {}): Promise<string> {
  const views = [systemKeyspace, userKeyspace].map(keyspace => store.viewOf(keyspace))
  return digestRows(views, threshold as Timestamp, yieldNow)
}

async function filled(flushAt: readonly number[]): Promise<{ engine: MemoryEngine; store: VersionStore }> {
  const engine = createMemoryEngine()
  const store = await open(engine)
  for (let index = 1; index <= 900; index++) {
    if (index % 9 === 0) remove(store, index, `key ${(index * 7) % 300}`)
    else put(store, index, `key ${(index * 7) % 300}`, `value ${index}`)
    if (flushAt.includes(index)) await store.flush(1, nothingExtra)
  }
  return { engine, store }
}

describe('the checksum of all rows', () => {
  it('is the same whatever was flushed when, and whatever else is done while it is taken', async () => {
    const { store } = await filled([])
    const expected = await digest(store)
    for (const flushAt of [[900], [1, 2, 3, 450], [333, 666, 899]])
      expect(await digest((await filled(flushAt)).store)).toBe(expected)
    let index = 1_000
    const busy = async (): Promise<void> => {
      put(store, index++, `key ${index % 300}`, 'later')
      if (index % 2 === 0) await store.flush(1, nothingExtra)
    }
    expect(await digest(store, timestampZero, busy)).toBe(expected)
    expect(index).toBeGreaterThan(1_000)
    expect(await digest(store)).not.toBe(expected)
  })

  it('shows a row that has vanished from the engine, deleted or not', async () => {
    const whole = await filled([900])
    const expected = await digest(whole.store)
    for (const prefix of ['d', 't']) {
      const { engine } = await filled([900])
      const gone = [...engine.pairs().keys()].filter(key => key.startsWith(prefix))[5] as string
      await engine.write([{ key: gone, value: undefined }])
      expect(await digest(await open(engine))).not.toBe(expected)
    }
  })

  it('leaves out the tombstones that each replica collects when it likes', async () => {
    const [early, late] = [await filled([900]), await filled([900])]
    await early.store.collect(8_000 as Timestamp)
    expect(await digest(early.store, 8_000)).toBe(await digest(late.store, 8_000))
    expect(await digest(early.store)).not.toBe(await digest(late.store))
  })

  it('fails where a row is damaged', async () => {
    const { engine } = await filled([900])
    const key = [...engine.pairs().keys()].filter(name => name.startsWith('d'))[7] as string
    const value = Buffer.from(engine.get(key) as Uint8Array)
    value[value.length - 1] = (value.at(-1) as number) ^ 1
    await engine.write([{ key, value }])
    await expect(digest(await open(engine))).rejects.toThrow(DamageError)
  })
})
