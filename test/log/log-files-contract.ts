// What every implementation of the log's files owes.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LogFiles } from '../../src/log/log-files.ts'

export interface FilesUnderTest {
  readonly files: LogFiles
  /** Not there yet, but its parent is. */
  readonly directory: string
  dispose(): Promise<void>
}

export function describeLogFiles(name: string, open: () => Promise<FilesUnderTest>): void {
  describe(name, () => {
    let under: FilesUnderTest
    let path: string
    beforeEach(async () => {
      under = await open()
      path = `${under.directory}/a.segment`
      await under.files.makeDirectory(under.directory)
    })
    afterEach(() => under.dispose())

    it('makes a directory once and again', async () => {
      await under.files.makeDirectory(under.directory)
      expect(await under.files.list(under.directory)).toEqual([])
    })

    it('creates a file of zeros behind its head, under its name alone', async () => {
      const file = await under.files.create(path, Buffer.from('head'), 3_000_000)
      expect(file.bytes).toBe(3_000_000)
      const whole = Buffer.alloc(3_000_000, 1)
      file.read(whole, 0)
      expect(whole.equals(Buffer.concat([Buffer.from('head'), Buffer.alloc(2_999_996)]))).toBe(true)
      expect(await under.files.list(under.directory)).toEqual(['a.segment'])
      await file.close()
    })

    it('writes the first bytes of a buffer at an offset and reads them through another handle', async () => {
      const file = await under.files.create(path, Buffer.from('head'), 8192)
      await file.write(Buffer.from('record, not this'), 6, 4093)
      const other = await under.files.open(path)
      expect(other.bytes).toBe(8192)
      const read = Buffer.alloc(10)
      other.read(read, 4091)
      expect(read.toString('latin1')).toBe('\0\0record\0\0')
      await file.close()
      await other.close()
    })

    it('refuses to read past the end', async () => {
      const file = await under.files.create(path, Buffer.from('head'), 4096)
      expect(() => file.read(Buffer.alloc(2), 4095)).toThrow()
      await file.close()
    })

    it('makes a new file of an old one: its length, the new head, the old bytes behind it, one name', async () => {
      const old = await under.files.create(path, Buffer.from('head'), 8192)
      await old.write(Buffer.from('old'), 3, 5000)
      await old.close()
      const file = await under.files.recycle(path, `${under.directory}/b.segment`, Buffer.from('anew'))
      expect(file.bytes).toBe(8192)
      await file.write(Buffer.from('new'), 3, 5003)
      const read = Buffer.alloc(8)
      file.read(read, 4999)
      expect(read.toString('latin1')).toBe('\0oldnew\0')
      file.read(read, 0)
      expect(read.toString('latin1')).toBe('anew\0\0\0\0')
      expect(await under.files.list(under.directory)).toEqual(['b.segment'])
      await file.close()
    })

    it('refuses to open, recycle or unlink what is not there', async () => {
      await expect(under.files.open(path)).rejects.toThrow()
      await expect(under.files.recycle(path, `${path}2`, Buffer.alloc(1))).rejects.toThrow()
      await expect(under.files.unlink(path)).rejects.toThrow()
    })

    it('reads an unlinked file through an open handle, and makes a new one under its name', async () => {
      const old = await under.files.create(path, Buffer.from('old'), 4096)
      await under.files.unlink(path)
      await under.files.syncDirectory(under.directory)
      expect(await under.files.list(under.directory)).toEqual([])
      const fresh = await under.files.create(path, Buffer.from('new'), 4096)
      const read = Buffer.alloc(3)
      old.read(read, 0)
      expect(read.toString()).toBe('old')
      fresh.read(read, 0)
      expect(read.toString()).toBe('new')
      await old.close()
      await fresh.close()
    })
  })
}
