import { describe, expect, it } from 'vitest'
import { asRangeId } from '../../src/base/ids.ts'
import { SnapshotSpool } from '../../src/range/snapshot-spool.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'

const rangeId = asRangeId(1)

async function* stream(texts: readonly string[], error?: Error): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
  if (error !== undefined) throw error
}

async function chunksOf(spool: SnapshotSpool): Promise<string[]> {
  const texts: string[] = []
  for await (const chunk of spool.chunks()) texts.push(Buffer.from(chunk).toString())
  return texts
}

describe('a spooled snapshot', () => {
  it('comes back in its order, after a restart too', async () => {
    const engine = createMemoryEngine()
    const texts = Array.from({ length: 12 }, (_, at) => `chunk ${at}`)
    await new SnapshotSpool(engine, rangeId, batch => engine.write(batch)).fill(stream(texts))
    const again = createMemoryEngine(engine.pairs())
    expect(await chunksOf(new SnapshotSpool(again, rangeId, batch => again.write(batch)))).toEqual(texts)
  })

  it('has nothing in it of a longer stream that broke before it', async () => {
    const engine = createMemoryEngine()
    const spool = new SnapshotSpool(engine, rangeId, batch => engine.write(batch))
    await expect(spool.fill(stream(['a', 'b', 'c'], new Error('the stream broke')))).rejects.toThrow('broke')
    await spool.fill(stream(['d']))
    expect(await chunksOf(spool)).toEqual(['d'])
  })
})
