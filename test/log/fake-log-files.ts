// The log's files in memory, on a disk that crashes: a kill leaves what the page cache holds, a power cut keeps
// any subset of the 4 KiB pages that were not synced and may tear one of them anywhere. Passes the adapter's
// contract suite.

import { type LogFile, type LogFiles, unfinishedSuffix } from '../../src/log/log-files.ts'
import { must } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'

export const pageBytes = 4096

interface Inode {
  /** What a reader sees. */
  readonly bytes: Buffer
  /** What is on disk of the pages that are not synced. */
  readonly unsynced: Map<number, Buffer>
}

interface Write {
  readonly inode: Inode
  readonly data: Buffer
  readonly offset: number
}

/** Completes an operation on so many bytes, later: at once or in virtual time. */
export type LogFilesSchedule = (complete: () => void, operation: 'write' | 'create' | 'sync', bytes: number) => void

export interface FakeLogFilesOptions {
  readonly prng: Prng
  /** The default is a microtask. */
  readonly schedule?: LogFilesSchedule
  /** Whether `writes` fills. */
  readonly recordsWrites?: boolean
}

export class FakeLogFiles implements LogFiles {
  readonly #prng: Prng
  readonly #recordsWrites: boolean
  #schedule: LogFilesSchedule
  readonly #directories = new Set<string>()
  #names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  #inFlight = new Set<Write>()
  /** Files that are being made. */
  #unfinished = new Map<string, Buffer>()
  #life = 0
  #held: (() => void)[] | undefined
  /** Every completed and attempted write since the start, for tests that count, where `recordsWrites`. */
  writes: { readonly path: string; readonly offset: number; readonly data: Buffer }[] = []
  /** Asked before each operation; an error fails it. */
  fault: (operation: 'write' | 'read' | 'create' | 'sync', path: string) => Error | undefined = () => undefined

  constructor(options: FakeLogFilesOptions) {
    this.#prng = options.prng
    this.#schedule = options.schedule ?? queueMicrotask
    this.#recordsWrites = options.recordsWrites ?? false
  }

  /** Writes and creations that a crash would meet now. */
  get inFlightCount(): number {
    return this.#inFlight.size + this.#unfinished.size
  }

  /** Writes wait until `release`. */
  hold(): void {
    this.#held = []
  }

  get heldCount(): number {
    return this.#held?.length ?? 0
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const complete of held) complete()
  }

  releaseOne(): void {
    this.#held?.shift()?.()
  }

  /** The bytes of a file as a reader sees them: change them at will, on disk too. */
  corrupt(path: string, change: (bytes: Buffer) => void): void {
    const { bytes, unsynced } = this.#inode(path)
    change(bytes)
    for (const page of unsynced.keys())
      bytes.copy(must(unsynced.get(page)), 0, page * pageBytes, (page + 1) * pageBytes)
  }

  contents(path: string): Buffer {
    return this.#inode(path).bytes
  }

  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  /** Puts a file there as it is, durably: an old copy, another's file, a shorter one. */
  place(path: string, bytes: Buffer): void {
    this.#place(path, Buffer.from(bytes))
  }

  lose(path: string): void {
    this.#names.delete(path)
    this.#durableNames.delete(path)
  }

  /** A disk with the same bytes: what happens to one does not happen to the other. */
  copy(): FakeLogFiles {
    const twin = new FakeLogFiles({ prng: this.#prng, schedule: this.#schedule, recordsWrites: this.#recordsWrites })
    for (const directory of this.#directories) twin.#directories.add(directory)
    for (const [path, inode] of this.#names) twin.place(path, inode.bytes)
    return twin
  }

  wipe(): void {
    this.#names.clear()
    this.#durableNames.clear()
  }

  /** The process ends. Nothing under way is answered; handles are void. */
  crash(kind: 'kill' | 'power'): void {
    this.#life++
    for (const write of this.#inFlight) this.#crashWrite(write, kind)
    this.#inFlight = new Set()
    for (const [path, whole] of this.#unfinished) if (this.#flip()) this.#finish(path, whole)
    this.#unfinished = new Map()
    this.#held = undefined
    if (kind === 'kill') return
    for (const [path, inode] of this.#names)
      if (!this.#durableNames.has(path) && this.#flip()) this.#durableNames.set(path, inode)
    for (const path of this.#durableNames.keys())
      if (!this.#names.has(path) && this.#flip()) this.#durableNames.delete(path)
    this.#names = new Map(this.#durableNames)
    for (const { bytes, unsynced } of this.#names.values()) {
      for (const [page, onDisk] of unsynced) if (this.#flip()) onDisk.copy(bytes, page * pageBytes)
      unsynced.clear()
    }
  }

  /** The disk as one process sees it: after a crash, what it still asks is not done and never answered. */
  mount(schedule = this.#schedule): LogFiles {
    this.#schedule = schedule
    const life = this.#life
    const alive = <T>(operation: () => Promise<T>): Promise<T> =>
      life === this.#life ? operation() : new Promise<T>(() => undefined)
    return {
      makeDirectory: path => alive(() => this.makeDirectory(path)),
      list: path => alive(() => this.list(path)),
      create: (path, head, bytes) => alive(() => this.create(path, head, bytes)),
      recycle: (from, path, head) => alive(() => this.recycle(from, path, head)),
      open: path => alive(() => this.open(path)),
      unlink: path => alive(() => this.unlink(path)),
      syncDirectory: () => alive(() => this.syncDirectory()),
    }
  }

  makeDirectory(path: string): Promise<void> {
    this.#directories.add(path)
    return Promise.resolve()
  }

  list(directory: string): Promise<readonly string[]> {
    const prefix = `${directory}/`
    return Promise.resolve(this.paths().flatMap(path => (path.startsWith(prefix) ? [path.slice(prefix.length)] : [])))
  }

  create(path: string, head: Uint8Array, bytes: number): Promise<LogFile> {
    const whole = Buffer.alloc(bytes)
    whole.set(head)
    this.#place(path + unfinishedSuffix, Buffer.alloc(0))
    this.#unfinished.set(path, whole)
    return this.#complete('create', path, bytes, () => {
      this.#unfinished.delete(path)
      this.#finish(path, whole)
      return this.#open(path)
    })
  }

  async recycle(from: string, path: string, head: Uint8Array): Promise<LogFile> {
    const unfinished = path + unfinishedSuffix
    this.#rename(from, unfinished)
    await this.syncDirectory()
    await this.#open(unfinished).write(head, head.byteLength, 0)
    this.#rename(unfinished, path)
    await this.syncDirectory()
    return this.#open(path)
  }

  open(path: string): Promise<LogFile> {
    return new Promise(resolve => resolve(this.#open(path)))
  }

  unlink(path: string): Promise<void> {
    return new Promise(resolve => {
      this.#inode(path)
      this.#names.delete(path)
      resolve()
    })
  }

  syncDirectory(): Promise<void> {
    return this.#complete('sync', '', 0, () => {
      this.#durableNames = new Map(this.#names)
    })
  }

  #open(path: string): LogFile {
    const inode = this.#inode(path)
    const life = this.#life
    let isOpen = true
    const check = (): void => {
      if (!isOpen || life !== this.#life) throw new Error('this handle is closed')
    }
    return {
      bytes: inode.bytes.byteLength,
      write: (data, length, offset) => {
        check()
        // Taken when it completes, so that whoever changes the bytes before that is found out.
        const write = { inode, data: Buffer.from(data.buffer, data.byteOffset, length), offset }
        if (offset + length > inode.bytes.byteLength) throw new Error('a write past the end of a preallocated file')
        this.#inFlight.add(write)
        if (this.#recordsWrites) this.writes.push({ path, offset, data: Buffer.from(write.data) })
        return this.#complete('write', path, length, () => {
          this.#inFlight.delete(write)
          write.data.copy(inode.bytes, offset)
          copyToDisk(inode, write.data, offset)
        })
      },
      read: (target, offset) => {
        check()
        const fault = this.fault('read', path)
        if (fault !== undefined) throw fault
        if (offset + target.byteLength > inode.bytes.byteLength) throw new Error(`${path} ends before ${offset}`)
        inode.bytes.copy(target, 0, offset, offset + target.byteLength)
      },
      close: () => {
        isOpen = false
        return Promise.resolve()
      },
    }
  }

  #complete<T>(operation: 'write' | 'create' | 'sync', path: string, bytes: number, effect: () => T): Promise<T> {
    const life = this.#life
    return new Promise((resolve, reject) => {
      const complete = (): void => {
        if (life !== this.#life) return
        const fault = this.fault(operation, path)
        if (fault === undefined) resolve(effect())
        else reject(fault)
      }
      if (operation === 'write' && this.#held !== undefined) this.#held.push(complete)
      else this.#schedule(complete, operation, bytes)
    })
  }

  #crashWrite({ inode, data, offset }: Write, kind: 'kill' | 'power'): void {
    const first = Math.floor(offset / pageBytes)
    const last = Math.floor((offset + data.byteLength - 1) / pageBytes)
    // A killed process has handed over a prefix of its pages; each of them may reach the disk or not.
    const handedOver = first + this.#prng.below(last - first + 2)
    for (let page = first; page <= last; page++) {
      const from = Math.max(offset, page * pageBytes)
      const to = Math.min(offset + data.byteLength, (page + 1) * pageBytes)
      const torn = this.#prng.below(8) === 0 ? from + this.#prng.below(to - from) : to
      if (kind === 'kill') {
        if (page >= handedOver) break
        if (!inode.unsynced.has(page))
          inode.unsynced.set(page, Buffer.from(inode.bytes.subarray(page * pageBytes, (page + 1) * pageBytes)))
        data.copy(inode.bytes, from, from - offset, to - offset)
      } else if (this.#flip()) {
        data.copy(inode.bytes, from, from - offset, torn - offset)
        copyToDisk(inode, data.subarray(from - offset, torn - offset), from)
      }
    }
  }

  #place(path: string, bytes: Buffer): void {
    const inode = { bytes, unsynced: new Map<number, Buffer>() }
    this.#names.set(path, inode)
    this.#durableNames.set(path, inode)
  }

  /** The file is whole, under its name. */
  #finish(path: string, whole: Buffer): void {
    this.lose(path + unfinishedSuffix)
    this.#place(path, whole)
  }

  #rename(from: string, to: string): void {
    const inode = this.#inode(from)
    this.#names.delete(from)
    this.#names.set(to, inode)
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw new Error(`ENOENT: ${path}`)
    return inode
  }

  #flip(): boolean {
    return this.#prng.below(2) === 0
  }
}

/** What was written, in those pages of which the disk would otherwise keep something older. */
function copyToDisk({ unsynced }: Inode, data: Buffer, offset: number): void {
  for (const [page, onDisk] of unsynced) {
    const from = Math.max(offset, page * pageBytes)
    const to = Math.min(offset + data.byteLength, page * pageBytes + onDisk.byteLength)
    if (from < to) data.copy(onDisk, from - page * pageBytes, from - offset, to - offset)
  }
}
