// A segment that nobody needs becomes the next one, with the flushes of its former life behind its end.

import { describe, expect, it, vi } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { createPrng } from '../../src/base/prng.ts'
import { asIndex } from '../../src/base/ids.ts'
import { flushMagic } from '../../src/log/segment-format.ts'
import { FakeLogFiles } from './fake-log-files.ts'
import {
  createDisk,
  createReplica,
  entry,
  flushed,
  hardState,
  openLog,
  picture,
  settle,
  tryOpen,
  turn,
} from './log-harness.ts'

const generations = 60

/** Fills segment after segment, of which none is needed for long; `step` after each flush. */
async function run(files: FakeLogFiles, step: () => Promise<void> = async () => {}): Promise<void> {
  const log = await openLog(files)
  const replica = createReplica(log, 1)
  for (let index = 1; index <= generations; index++) {
    replica.append([entry(index, 1, `${index}`.padEnd(5_000, 'x'))], hardState(1, 1, index - 1))
    await flushed(log)
    settle(log, { 1: index - 1 })
    replica.truncateTo(asIndex(Math.max(0, index - 2)))
    await turn()
    await step()
  }
}

describe('a segment made of an old one', () => {
  it('spares the zeros: after the first few none is made anew', async () => {
    const files = createDisk()
    const created = vi.spyOn(files, 'create')
    const recycled = vi.spyOn(files, 'recycle')
    await run(files)
    expect(recycled.mock.calls.length).toBeGreaterThan(10)
    expect(created.mock.calls.length).toBeLessThan(6)
    expect(files.paths().length).toBeLessThan(6)
  })

  it('ends where its own flushes end, whatever is left behind them', async () => {
    const files = createDisk()
    let withRemains = 0
    await run(files, async () => {
      const copy = files.copy()
      const newest = must(copy.paths().at(-1))
      // More magics than flushes of this life: each holds one entry, and a segment three of them.
      withRemains += copy.contents(newest).indexOf(flushMagic, 12_000) > 0 ? 1 : 0
      const before = picture(await openLog(files.copy()))[1]
      copy.crash('power')
      expect(picture(await openLog(copy))[1]).toEqual(before)
    })
    expect(withRemains).toBeGreaterThan(10)
  })

  it('is this one, the old one, or gone, whenever the power is cut while it is made', async () => {
    let cutInBetween = 0
    const cut = new Error('the power was cut')
    for (let at = 1; at <= 120; at++) {
      // Everything takes a turn of its own, so that a step may fall between any two.
      const schedule = (complete: () => void): void => void setImmediate(complete)
      const files = new FakeLogFiles({ prng: createPrng(at), schedule })
      let steps = 0
      const ran = run(files, async () => {
        if (++steps === 20 + (at % 30)) throw cut
      })
      await expect(ran).rejects.toBe(cut)
      const mayBeCut = files.paths().some(path => path.endsWith('.new'))
      cutInBetween += mayBeCut ? 1 : 0
      files.crash('power')
      const opened = await tryOpen(files)
      if (opened.kind !== 'opened') throw new Error(opened.message)
      expect(must(opened.log.recovered[0]).log.lastIndex).toBeGreaterThanOrEqual(steps)
    }
    expect(cutInBetween).toBeGreaterThan(5)
  })
})
