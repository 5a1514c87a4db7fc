import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { makeRoomToStart, openNodeDisk, startError } from '../../src/node-disk.ts'
import type { NodeDisk } from '../../src/range/disk-room.ts'

const mebibyte = 1024 * 1024
const limits = { diskBallastBytes: 256 * mebibyte, diskReserveBytes: 256 * mebibyte, logSegmentBytes: 16 * mebibyte }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-node-disk-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('the ballast', () => {
  it('takes up blocks, is found again, and goes', async () => {
    const disk = await openNodeDisk(folder)
    expect(disk.ballastBytes).toBe(0)
    await disk.growBallast(1.5 * mebibyte)
    await disk.growBallast(2.5 * mebibyte)
    expect(disk.ballastBytes).toBe(2.5 * mebibyte)
    const { blocks, size } = statSync(join(folder, 'ballast'))
    expect(size).toBe(2.5 * mebibyte)
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
    const again = await openNodeDisk(folder)
    expect(again.ballastBytes).toBe(2.5 * mebibyte)
    await again.releaseBallast()
    expect(again.ballastBytes).toBe(0)
    expect(statSync(folder).isDirectory() && (await openNodeDisk(folder)).ballastBytes).toBe(0)
  })

  it('tells how much is free, and of how much', async () => {
    const { freeBytes, totalBytes } = await (await openNodeDisk(folder)).space()
    expect(freeBytes).toBeGreaterThan(0)
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes)
  })
})

describe('a start', () => {
  /** 100 MiB, of which so much is free beside a ballast of 5 MiB. */
  const createDisk = (freeBytes: number): NodeDisk & { ballastBytes: number } => ({
    ballastBytes: 5 * mebibyte,
    async space() {
      return { freeBytes: freeBytes + 5 * mebibyte - this.ballastBytes, totalBytes: 100 * mebibyte }
    },
    async growBallast() {},
    async releaseBallast() {
      this.ballastBytes = 0
    },
  })

  it('with room leaves the ballast where it is', async () => {
    const disk = createDisk(50 * mebibyte)
    await makeRoomToStart(disk, folder, limits)
    expect(disk.ballastBytes).toBe(5 * mebibyte)
  })

  it('on a full disk gives the ballast up, and goes on with what there is', async () => {
    mkdirSync(join(folder, 'log'))
    writeFileSync(join(folder, 'log', '000000000001.segment'), '')
    const disk = createDisk(mebibyte)
    await makeRoomToStart(disk, folder, limits)
    expect(disk.ballastBytes).toBe(0)
  })

  it('of a new node on a file system that is too small says what it needs, and why', async () => {
    const error = await makeRoomToStart(createDisk(3 * mebibyte), folder, limits).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(KvError)
    expect(error).toMatchObject({ code: 'disk-full' })
    expect((error as KvError).message).toMatch(/8\.0 MiB free of 100\.0 MiB.*needs 34\.0 MiB.*logSegmentBytes/)
  })

  it('that meets a full disk all the same says so, whoever met it', () => {
    const found = new Error('the engine does not open', { cause: new Error('IO error: No space left on device') })
    expect(startError(found, '/data')).toMatchObject({ code: 'disk-full', cause: found })
    const other = new Error('EIO: i/o error')
    expect(startError(other, '/data')).toBe(other)
  })
})
