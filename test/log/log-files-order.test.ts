// In which order the adapter asks the file system for what a power cut must find done. No test could cut the power of a real
// disk, so what is asked of it is written down.

import { constants } from 'node:fs'
import { type FileHandle, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { nodeLogFiles } from '../../src/log/node-log-files.ts'

const asked = vi.hoisted(() => [] as string[])
vi.mock('node:fs/promises', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  return {
    ...real,
    async open(path: string, flags: number): Promise<FileHandle> {
      const handle = await real.open(path, flags)
      asked.push(`open ${basename(path)}${(flags & constants.O_DSYNC) === constants.O_DSYNC ? ', synced' : ''}`)
      const sync = handle.sync.bind(handle)
      handle.sync = () => {
        asked.push(`sync ${basename(path)}`)
        return sync()
      }
      return handle
    },
    rename(from: string, to: string): Promise<void> {
      asked.push(`rename ${basename(from)} ${basename(to)}`)
      return real.rename(from, to)
    },
  }
})

let directory = ''
beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'quorate-')), 'log')
  await nodeLogFiles.makeDirectory(directory)
  asked.length = 0
})
afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }))

describe('a new log file', () => {
  it('is on disk before it gets its name, and its name before it is used', async () => {
    const file = await nodeLogFiles.create(join(directory, 'a'), Buffer.from('head'), 8_192)
    await file.close()
    const unfinished = asked[0]?.replace('open ', '') ?? ''
    expect(asked).toEqual([
      `open ${unfinished}`,
      `sync ${unfinished}`,
      `rename ${unfinished} a`,
      'open log',
      'sync log',
      'open a, synced',
    ])
  })

  it('is written so that each write is on disk when it resolves, also when it was there before', async () => {
    await (await nodeLogFiles.create(join(directory, 'a'), Buffer.from('head'), 8_192)).close()
    asked.length = 0
    const file = await nodeLogFiles.open(join(directory, 'a'))
    await file.close()
    expect(asked).toEqual(['open a, synced'])
  })
})

it('an old log file has lost its name for good before a byte of it changes, and has its head before it gets the new one', async () => {
  await (await nodeLogFiles.create(join(directory, 'a'), Buffer.from('head'), 8_192)).close()
  asked.length = 0
  const head = Buffer.from('anew')
  const file = await nodeLogFiles.recycle(join(directory, 'a'), join(directory, 'b'), head)
  await file.close()
  const unfinished = asked[0]?.replace('rename a ', '') ?? ''
  expect(asked).toEqual([
    `rename a ${unfinished}`,
    'open log',
    'sync log',
    `open ${unfinished}, synced`,
    `rename ${unfinished} b`,
    'open log',
    'sync log',
  ])
})

it('the directory is synced when it is asked for', async () => {
  await nodeLogFiles.syncDirectory(directory)
  expect(asked).toEqual(['open log', 'sync log'])
})
