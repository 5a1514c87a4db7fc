// No test could cut the power of a real disk: so it is looked at whether LevelDB is asked to sync.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChainedBatch, ClassicLevel } from 'classic-level'
import { expect, test, vi } from 'vitest'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { systemClock } from '../../src/time/system-clock.ts'

test('every batch is synced, the first one of a new database included', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-'))
  const options: unknown[] = []
  const { batch } = ClassicLevel.prototype
  // With operations it writes them; without, it makes a batch that is filled and written later.
  const spied = vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: unknown,
    ...given: unknown[]
  ) {
    const made: unknown = Reflect.apply(batch, this, given)
    if (given.length > 0) options.push(given[1])
    else {
      const chained = made as ChainedBatch<never, never, never>
      const write = chained.write.bind(chained)
      chained.write = (how?: object) => {
        options.push(how)
        return how === undefined ? write() : write(how)
      }
    }
    return made as never
  })
  try {
    const engine = await openLevelEngine(join(directory, 'state'), { clock: systemClock })
    await engine.write([{ key: 'a', value: Uint8Array.of(1) }])
    await engine.write([{ key: 'a', value: undefined }])
    await engine.close()
    expect(options).toEqual([{ sync: true }, { sync: true }, { sync: true }])
  } finally {
    spied.mockRestore()
    await rm(directory, { recursive: true, force: true })
  }
})
