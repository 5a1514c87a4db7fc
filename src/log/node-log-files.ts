// The log's files over Node's file system. Preallocated means written: zeros, not holes, so that a flush later
// changes no metadata and O_DSYNC is one journal-free write.

import { constants, readSync, write } from 'node:fs'
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type LogFile, type LogFiles, unfinishedSuffix } from './log-files.ts'

const zeros = Buffer.alloc(1 << 20)

export const nodeLogFiles: LogFiles = {
  async makeDirectory(path) {
    const made = await mkdir(path, { recursive: true, mode: 0o700 })
    if (made !== undefined) await syncDirectory(dirname(made))
  },

  list(directory) {
    return readdir(directory)
  },

  async create(path, head, bytes) {
    const unfinished = path + unfinishedSuffix
    const handle = await open(unfinished, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600)
    try {
      await writeWhole(handle.fd, head, head.byteLength, 0)
      for (let at = head.byteLength; at < bytes; ) {
        const length = Math.min(zeros.byteLength, bytes - at)
        await writeWhole(handle.fd, zeros, length, at)
        at += length
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(unfinished, path)
    await syncDirectory(dirname(path))
    return openFile(path)
  },

  async recycle(from, path, head) {
    const unfinished = path + unfinishedSuffix
    await rename(from, unfinished)
    // Before a byte is changed: under its old name it would be another segment than that.
    await syncDirectory(dirname(path))
    const file = await openFile(unfinished)
    try {
      await file.write(head, head.byteLength, 0)
      await rename(unfinished, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  },

  open(path) {
    return openFile(path)
  },

  unlink(path) {
    return unlink(path)
  },

  syncDirectory(directory) {
    return syncDirectory(directory)
  },
}

async function openFile(path: string): Promise<LogFile> {
  const handle = await open(path, constants.O_RDWR | constants.O_DSYNC)
  const { size } = await handle.stat()
  const { fd } = handle
  let closed = false
  return {
    bytes: size,
    write(data, length, offset) {
      return writeWhole(fd, data, length, offset)
    },
    read(target, offset) {
      let done = 0
      while (done < target.byteLength) {
        const count = readSync(fd, target, done, target.byteLength - done, offset + done)
        if (count === 0) throw new Error(`${path} ends at ${offset + done}, before ${offset + target.byteLength}`)
        done += count
      }
    },
    async close() {
      if (closed) return
      closed = true
      await handle.close()
    },
  }
}

/** The kernel may write less than it was asked to; the rest follows. An error ends it. */
function writeWhole(fd: number, data: Uint8Array, length: number, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const writeFrom = (done: number): void => {
      write(fd, data, done, length - done, offset + done, (error, count) => {
        if (error !== null) reject(error)
        else if (done + count >= length) resolve()
        else if (count === 0) reject(new Error('a write made no progress'))
        else writeFrom(done + count)
      })
    }
    writeFrom(0)
  })
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
