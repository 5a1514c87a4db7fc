// Ports over a real disk that fails: the Nth operation of a kind ends in an input/output error, with nothing or half of it
// done. Everything after that is written down.

import type { Engine } from '../../src/engine/engine.ts'
import type { LogFile, LogFiles } from '../../src/log/log-files.ts'

export type DiskOperation = 'write' | 'create' | 'unlink' | 'sync'

export interface DiskFault {
  readonly operation: DiskOperation
  /** Which one of its kind fails, from 1. */
  readonly number: number
  /** Half of a write reaches the disk. */
  readonly isTorn: boolean
}

export class FailingDisk {
  readonly fault: DiskFault
  /** When it failed, on the monotonic clock. */
  failedMs: number | undefined
  /** What was asked of the disk after that, and would have changed it. */
  readonly later: { readonly operation: DiskOperation; readonly path: string; readonly ms: number }[] = []
  #count = 0

  constructor(fault: DiskFault) {
    this.fault = fault
  }

  /** True: this one fails. */
  #fails(operation: DiskOperation, path: string): boolean {
    if (this.failedMs !== undefined) this.later.push({ operation, path, ms: performance.now() })
    if (operation !== this.fault.operation || ++this.#count !== this.fault.number) return false
    this.failedMs = performance.now()
    return true
  }

  logFiles(files: LogFiles): LogFiles {
    const wrap = (path: string, file: LogFile): LogFile => ({
      bytes: file.bytes,
      write: async (data, length, offset) => {
        if (!this.#fails('write', path)) return file.write(data, length, offset)
        if (this.fault.isTorn) await file.write(data, Math.floor(length / 2), offset)
        throw eio('write', path)
      },
      read: (target, offset) => file.read(target, offset),
      close: () => file.close(),
    })
    return {
      makeDirectory: path => files.makeDirectory(path),
      list: directory => files.list(directory),
      create: async (path, head, bytes) => {
        if (!this.#fails('create', path)) return wrap(path, await files.create(path, head, bytes))
        if (this.fault.isTorn) await (await files.create(`${path}.new`, head, Math.floor(bytes / 2))).close()
        throw eio('create', path)
      },
      recycle: async (from, path, head) => {
        if (!this.#fails('create', path)) return wrap(path, await files.recycle(from, path, head))
        throw eio('create', path)
      },
      open: async path => wrap(path, await files.open(path)),
      unlink: async path => {
        if (this.#fails('unlink', path)) throw eio('unlink', path)
        await files.unlink(path)
      },
      syncDirectory: async path => {
        if (this.#fails('sync', path)) throw eio('fsync', path)
        await files.syncDirectory(path)
      },
    }
  }

  engine(engine: Engine): Engine {
    return {
      get: key => engine.get(key),
      getPart: (key, start, end) => engine.getPart(key, start, end),
      read: (span, options) => engine.read(span, options),
      snapshot: () => engine.snapshot(),
      stage: (key, value) => engine.stage(key, value),
      dropStaged: () => engine.dropStaged(),
      approximateBytes: span => engine.approximateBytes(span),
      close: () => engine.close(),
      write: async batch => {
        if (!this.#fails('write', 'the engine')) return engine.write(batch)
        // What fails may have been done.
        if (this.fault.isTorn) await engine.write(batch)
        throw eio('fsync', 'the engine')
      },
    }
  }
}

function eio(call: string, path: string): Error {
  return Object.assign(new Error(`EIO: i/o error, ${call} '${path}'`), { code: 'EIO', syscall: call })
}
