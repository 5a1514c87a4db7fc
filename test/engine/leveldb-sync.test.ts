// No test could cut the power of a real disk: so it is looked at whether LevelDB is asked to sync.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { expect, test, vi } from 'vitest'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'

test('every batch is synced, the first one of a new database included', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-'))
  const batch = vi.spyOn(ClassicLevel.prototype, 'batch')
  try {
    const engine = await openLevelEngine(join(directory, 'state'))
    await engine.write([{ key: 'a', value: Uint8Array.of(1) }])
    await engine.write([{ key: 'a', value: undefined }])
    await engine.close()
    const options = batch.mock.calls.map(call => (call as readonly unknown[])[1])
    expect(options.length).toBeGreaterThanOrEqual(2)
    expect(options).toEqual(options.map(() => ({ sync: true })))
  } finally {
    batch.mockRestore()
    await rm(directory, { recursive: true, force: true })
  }
})
