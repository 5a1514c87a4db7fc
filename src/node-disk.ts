// The file system under the data directory, and the ballast on it: a file that nobody needs, so that there is something to
// give up when the disk is full (DESIGN.md 15).

import { constants } from 'node:fs'
import { open, rm, stat, statfs } from 'node:fs/promises'
import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import { KvError } from './base/errors.ts'
import { type DiskLimits, type NodeDisk, diskNeeds } from './range/disk-room.ts'

const ballastFile = 'ballast'
const pieceBytes = 1024 * 1024
/** Beside the log's segments: the engine's own files, and the identity. */
const firstStartBytes = 2 * 1024 * 1024

export async function openNodeDisk(directory: string): Promise<NodeDisk> {
  const path = join(directory, ballastFile)
  let ballastBytes = await stat(path).then(
    ({ blocks, size }) => Math.min(size, blocks * 512),
    () => 0,
  )
  return {
    async space() {
      const { bavail, blocks, bsize } = await statfs(directory)
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    },
    get ballastBytes() {
      return ballastBytes
    },
    async growBallast(bytes) {
      const handle = await open(path, constants.O_WRONLY | constants.O_CREAT, 0o600)
      // Not zeros, which a file system may keep as nothing at all.
      const piece = randomFillSync(Buffer.allocUnsafe(pieceBytes))
      try {
        while (ballastBytes < bytes) {
          const length = Math.min(pieceBytes, bytes - ballastBytes)
          const { bytesWritten } = await handle.write(piece, 0, length, ballastBytes)
          ballastBytes += bytesWritten
        }
        await handle.sync()
      } finally {
        await handle.close()
      }
    },
    async releaseBallast() {
      await rm(path, { force: true })
      ballastBytes = 0
    },
  }
}

/** Before anything is opened: room for what a start writes. Throws KvError where a new node could not even begin. */
export async function makeRoomToStart(disk: NodeDisk, directory: string, limits: DiskLimits): Promise<void> {
  const { totalBytes } = await disk.space()
  const { hard } = diskNeeds(limits, totalBytes)
  const needed = hard + firstStartBytes
  if ((await disk.space()).freeBytes < needed) await disk.releaseBallast()
  const { freeBytes } = await disk.space()
  const isNew = await stat(join(directory, 'log')).then(
    () => false,
    () => true,
  )
  if (!isNew || freeBytes >= needed) return
  throw new KvError(
    'disk-full',
    `the file system of ${directory} has ${mebibytes(freeBytes)} free of ${mebibytes(totalBytes)}, and a new node needs ${mebibytes(needed)}: two segments of its log (limit logSegmentBytes, ${mebibytes(limits.logSegmentBytes)} each), and a little for its state. Give a larger file system with --data, free some space, or set smaller segments with --set logSegmentBytes=BYTES.`,
  )
}

/** What a start came to that met a full disk, as an error that says so. */
export function startError(error: unknown, directory: string): unknown {
  if (error instanceof KvError || !isNoSpace(error)) return error
  return new KvError(
    'disk-full',
    `the file system of ${directory} has no space left: ${error instanceof Error ? error.message : String(error)}. Free some space there, and start the node again: nothing is lost.`,
    { cause: error },
  )
}

function isNoSpace(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (/ENOSPC|No space left on device/.test(cause.message)) return true
  return false
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
