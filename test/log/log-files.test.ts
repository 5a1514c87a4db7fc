import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { nodeLogFiles } from '../../src/log/node-log-files.ts'
import { FakeLogFiles, pageBytes } from './fake-log-files.ts'
import { describeLogFiles } from './log-files-contract.ts'

describeLogFiles('the file system adapter', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'quorate-log-'))
  return {
    files: nodeLogFiles,
    directory: join(parent, 'log'),
    dispose: () => rm(parent, { recursive: true, force: true }),
  }
})

describeLogFiles('the fake', () =>
  Promise.resolve({
    files: new FakeLogFiles({ prng: createPrng(1) }),
    directory: '/log',
    dispose: () => Promise.resolve(),
  }),
)

describe('the file system adapter, beyond the contract', () => {
  it('takes over the name of an unfinished file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'quorate-log-'))
    try {
      await writeFile(join(directory, 'a.segment.new'), Buffer.alloc(10_000, 7))
      const file = await nodeLogFiles.create(join(directory, 'a.segment'), Buffer.from('head'), 4096)
      const whole = Buffer.alloc(4096)
      file.read(whole, 0)
      expect(whole.subarray(4).every(byte => byte === 0)).toBe(true)
      expect(await readdir(directory)).toEqual(['a.segment'])
      await file.close()
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})

describe('the fake disk', () => {
  it('keeps what was synced, and of a write under way any subset of its pages, through a power cut', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 50; seed++) {
      const files = new FakeLogFiles({ prng: createPrng(seed) })
      const file = await files.create('/log/a', Buffer.alloc(0), 4 * pageBytes)
      await file.write(Buffer.alloc(pageBytes, 1), pageBytes, 0)
      files.hold()
      void file.write(Buffer.alloc(3 * pageBytes, 2), 3 * pageBytes, pageBytes)
      files.crash('power')
      const bytes = files.contents('/log/a')
      expect(bytes[0]).toBe(1)
      outcomes.add([1, 2, 3].map(page => bytes[page * pageBytes]).join())
    }
    expect(outcomes.size).toBe(8)
  })

  it('shows after a kill what a later power cut may still take away', async () => {
    const kept = new Set<number | undefined>()
    for (let seed = 0; seed < 50; seed++) {
      const files = new FakeLogFiles({ prng: createPrng(seed) })
      const file = await files.create('/log/a', Buffer.alloc(0), pageBytes)
      files.hold()
      void file.write(Buffer.alloc(10, 2), 10, 0)
      files.crash('kill')
      if (files.contents('/log/a')[0] !== 2) continue
      files.crash('power')
      kept.add(files.contents('/log/a')[0])
    }
    expect(kept).toEqual(new Set([0, 2]))
  })
})
