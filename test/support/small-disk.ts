// A file system of its own, small and in memory, that can be filled up for real: for a node's data directory. Needs root.

import { execFile } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, rmdirSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ballast = 'ballast'
const blockBytes = 64 * 1024

export class SmallDisk implements AsyncDisposable {
  /** The file system's root: empty at first. */
  readonly path: string
  #isMounted = true

  private constructor(path: string) {
    this.path = path
  }

  /** Throws where the process may not mount: a skipped full disk would look like a passed one. */
  static async mount(bytes: number): Promise<SmallDisk> {
    const path = mkdtempSync(join(tmpdir(), 'quorate-disk-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', path])
    } catch (error) {
      rmdirSync(path)
      throw new Error('a small file system needs root and mount(8): run as root, in a container with CAP_SYS_ADMIN', {
        cause: error,
      })
    }
    return new SmallDisk(path)
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }

  /** Takes all the space there is, but for `leaveBytes`: what others write afterwards ends in ENOSPC. */
  fill(leaveBytes = 0): void {
    const file = openSync(join(this.path, ballast), 'a', 0o600)
    try {
      const zeros = Buffer.alloc(blockBytes)
      for (;;) {
        const length = Math.min(blockBytes, this.freeBytes - leaveBytes)
        if (length <= 0) return
        try {
          writeSync(file, zeros, 0, length)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
          throw error
        }
      }
    } finally {
      closeSync(file)
    }
  }

  /** Gives back what `fill` took. */
  free(): void {
    rmSync(join(this.path, ballast), { force: true })
  }

  /** Nobody may have a file open in it any more. */
  async close(): Promise<void> {
    if (!this.#isMounted) return
    this.#isMounted = false
    await run('umount', [this.path])
    rmdirSync(this.path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
