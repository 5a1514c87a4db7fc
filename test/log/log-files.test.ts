import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { nodeLogFiles } from '../../src/log/node-log-files.ts'
import { startVirtualTime } from '../support/virtual-time.ts'
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

describeLogFiles('the fake, in virtual time', () => {
  const time = startVirtualTime()
  const clock = time.createClock()
  const prng = createPrng(1)
  const disk = new FakeLogFiles({ prng })
  const files = disk.mount(complete => void clock.arriveAfter(prng.next() * 3, complete))
  return Promise.resolve({ files, directory: '/log', dispose: () => time.stop() })
})

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

  it('has a file that was being made whole or not at all after a crash', async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 20; seed++) {
      const files = new FakeLogFiles({ prng: createPrng(seed) })
      void files.mount(() => undefined).create('/log/a', Buffer.from('head'), 100)
      files.crash(seed % 2 === 0 ? 'kill' : 'power')
      const there = files.paths()
      if (there.includes('/log/a')) expect(files.contents('/log/a').toString('latin1')).toBe(`head${'\0'.repeat(96)}`)
      outcomes.add(there.join())
    }
    expect(outcomes).toEqual(new Set(['/log/a', '/log/a.new']))
  })

  it('loses none of what was written over pages that a kill had left un-synced', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const files = new FakeLogFiles({ prng: createPrng(seed) })
      const file = await files.create('/log/a', Buffer.alloc(0), pageBytes)
      files.hold()
      void file.write(Buffer.alloc(10, 1), 10, 0)
      files.crash('kill')
      await (await files.open('/log/a')).write(Buffer.alloc(5, 2), 5, 3)
      files.crash('power')
      expect([...files.contents('/log/a').subarray(3, 8)]).toEqual([2, 2, 2, 2, 2])
    }
  })

  it('answers nothing to a process that ended, however late', async () => {
    const waiting: (() => void)[] = []
    const files = new FakeLogFiles({ prng: createPrng(1) })
    const made = await files.create('/log/a', Buffer.alloc(0), pageBytes)
    await made.close()
    const file = await files.mount(complete => waiting.push(complete)).open('/log/a')
    let isAnswered = false
    void file.write(Buffer.alloc(10, 1), 10, 0).finally(() => (isAnswered = true))
    files.crash('power')
    const left = Buffer.from(files.contents('/log/a'))
    for (const complete of waiting) complete()
    await new Promise(resolve => setImmediate(resolve))
    expect([isAnswered, files.contents('/log/a').equals(left)]).toEqual([false, true])
  })
})
