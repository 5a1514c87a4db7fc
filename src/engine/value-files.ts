// Values in files of their own (Lu et al., "WiscKey", FAST 2016): what is written once, seldom read and removed in the order
// it came costs LevelDB two writes and every compaction it lies in the way of. Here it costs one.
//
// Values are appended to one file after another, and synced before anything refers to them; those that are staged are written
// long before. A file goes when nothing refers to it any more, nor will, no reader that may still follow such a reference is
// left, and it is not the newest. A process never writes to a file of the one before it: what a crash left behind the last
// reference is nobody's, and goes with its file.
//
// Invariants: a reference that LevelDB holds leads to bytes that were synced before it; after a write or a sync that failed there
// are no more of either. What the values say, and whether they are whole, is their owner's affair (Engine: callers checksum them).

import { randomInt } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { must } from '../base/assert.ts'
import type { ValueReference } from './value-reference.ts'

/** Small enough that history of ten minutes goes piece by piece, large enough that files are few. */
export const valueFileBytesDefault = 64 * 1024 * 1024
/** Of files that are read, the last so many stay open. */
const openFilesMax = 16
/** What is read at once of many values. */
const readBytesMax = 1024 * 1024
/** What is staged is synced so often: a batch would have to wait for all of it. */
const unsyncedBytesMax = 2 * 1024 * 1024
const magic = Buffer.from('quorate-values-1')
const headerBytes = magic.length + 4
const numberDigits = 10
const filePattern = /^(\d{10})\.values$/

/** A value that cannot be had; the message says why, without the key. */
export class ValueMissingError extends Error {
  override readonly name = 'ValueMissingError'
}

/** What a reader may still follow. */
export interface ValuePin {
  release(): void
}

interface ValueFile {
  readonly number: number
  readonly nonce: number
  /** How many LevelDB holds, or will: those written, until they are released. */
  references: number
  /** Of what is referred to, and of the file. */
  liveBytes: number
  bytes: number
}

interface OpenedFile {
  readonly number: number
  readonly descriptor: number
}

interface ActiveFile {
  readonly file: ValueFile
  readonly handle: FileHandle
  end: number
  /** Written since the last sync. */
  unsyncedBytes: number
}

export class ValueFiles {
  /** Of a file, unless what is appended at once takes more. */
  readonly fileBytes: number
  readonly #directory: string
  readonly #files = new Map<number, ValueFile>()
  #nextNumber: number
  #active: ActiveFile | undefined
  /** Oldest use first. */
  readonly #opened = new Map<number, OpenedFile>()
  /** In the order they came; each holds what was referred to when it came. */
  readonly #pins = new Set<number>()
  #pinNumber = 0
  /** Files that nothing refers to, each with the newest pin that may still read it. */
  #dead: { readonly number: number; readonly pin: number }[] = []
  #removing: Promise<void> = Promise.resolve()
  /** By value: where it is written, or will be. */
  readonly #staged = new Map<Uint8Array, Promise<ValueReference>>()
  /** One piece of writing after another, until one fails. */
  #writing: Promise<unknown> = Promise.resolve()

  private constructor(directory: string, fileBytes: number, nextNumber: number) {
    this.#directory = directory
    this.fileBytes = fileBytes
    this.#nextNumber = nextNumber
  }

  /**
   * `references`: all that LevelDB holds. Files that nothing refers to are removed. Throws ValueMissingError where what is
   * referred to is not there.
   */
  static async open(
    directory: string,
    fileBytes: number,
    references: AsyncIterable<ValueReference>,
  ): Promise<ValueFiles> {
    const names = await readdir(directory).catch((error: unknown) => {
      if (isNotThere(error)) return []
      throw error
    })
    const numbers = names.filter(name => filePattern.test(name)).map(name => Number.parseInt(name, 10))
    const files = new ValueFiles(directory, fileBytes, Math.max(0, ...numbers) + 1)
    const ends = new Map<number, number>()
    for await (const { file: number, nonce, offset, bytes } of references) {
      const file = files.#files.get(number)
      if (file === undefined) files.#files.set(number, { number, nonce, references: 1, liveBytes: bytes, bytes: 0 })
      else {
        file.references++
        file.liveBytes += bytes
      }
      ends.set(number, Math.max(ends.get(number) ?? 0, offset + bytes))
    }
    for (const [number, end] of ends) await files.#check(number, end)
    for (const number of numbers) if (!files.#files.has(number)) await unlink(files.#path(number))
    return files
  }

  /** Begins to write a value that will be appended, so that there is less to do then. */
  stage(value: Uint8Array): void {
    const written = this.#inTurn(async () => {
      const [reference] = await this.#write([value])
      if (must(this.#active).unsyncedBytes >= unsyncedBytesMax) await this.#sync()
      return must(reference)
    })
    // Whoever appends it hears of a failure.
    written.catch(() => {})
    this.#staged.set(value, written)
  }

  /** None of what is staged will be appended. */
  dropStaged(): void {
    const staged = [...this.#staged.values()]
    this.#staged.clear()
    const dropped = this.#inTurn(async () => this.release(await Promise.all(staged)))
    dropped.catch(() => {})
  }

  /** Synced when it resolves: the references are for LevelDB to hold, until they are released. */
  append(values: readonly Uint8Array[]): Promise<readonly ValueReference[]> {
    if (values.length === 0) return Promise.resolve([])
    const staged = values.map(value => this.#staged.get(value))
    for (const value of values) this.#staged.delete(value)
    return this.#inTurn(async () => {
      const rest = values.filter((_, at) => staged[at] === undefined)
      const added = rest.length > 0 ? await this.#write(rest) : []
      const written = added.values()
      const references: ValueReference[] = []
      for (const one of staged) references.push(one === undefined ? must(written.next().value) : await one)
      await this.#sync()
      return references
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#writing.then(work)
    this.#writing = result
    return result
  }

  async #write(values: readonly Uint8Array[]): Promise<readonly ValueReference[]> {
    const bytes = values.reduce((sum, value) => sum + value.length, 0)
    const active = await this.#activeFor(bytes)
    const { number, nonce } = active.file
    let offset = active.end
    const references = values.map(value => {
      const reference = { file: number, nonce, offset, bytes: value.length }
      offset += value.length
      return reference
    })
    active.file.references += values.length
    active.file.liveBytes += bytes
    active.file.bytes += bytes
    active.unsyncedBytes += bytes
    await writeAll(active.handle, values, active.end)
    active.end = offset
    return references
  }

  async #sync(): Promise<void> {
    const active = must(this.#active)
    if (active.unsyncedBytes === 0) return
    await active.handle.datasync()
    active.unsyncedBytes = 0
  }

  /** LevelDB holds these no longer, or never will. */
  release(references: readonly ValueReference[]): void {
    for (const { file: number, bytes } of references) {
      const file = must(this.#files.get(number))
      file.liveBytes -= bytes
      if (--file.references === 0 && number !== this.#active?.file.number) this.#bury(number)
    }
    this.#removeDead()
  }

  /** The values of one file, in the order in which they are there. Throws ValueMissingError. */
  async readMany(references: readonly ValueReference[]): Promise<readonly Uint8Array[]> {
    const [first] = references
    if (first === undefined) return []
    // It is the right one; but it must stay open for longer than `#opened` would keep it.
    closeSync(openFile(this.#path(first.file), first.nonce))
    const handle = await open(this.#path(first.file), 'r')
    try {
      const values: Uint8Array[] = []
      for (const group of groupsOf(references, readBytesMax)) {
        const start = must(group[0]).offset
        const last = must(group.at(-1))
        const bytes = Buffer.allocUnsafeSlow(last.offset + last.bytes - start)
        await readAll(handle, bytes, start)
        for (const { offset, bytes: length } of group)
          values.push(bytes.subarray(offset - start, offset - start + length))
      }
      return values
    } finally {
      await handle.close()
    }
  }

  /** The file with the least in it that is still referred to, once all together waste more than they hold and `slackBytes`. */
  worst(slackBytes: number): number | undefined {
    let wasted = -slackBytes
    let worst: ValueFile | undefined
    for (const file of this.#files.values()) {
      wasted += file.bytes - 2 * file.liveBytes
      const isActive = file.number === this.#active?.file.number
      if (!isActive && (worst === undefined || shareOf(file) < shareOf(worst))) worst = file
    }
    return wasted > 0 ? worst?.number : undefined
  }

  /** Throws ValueMissingError. */
  read(reference: ValueReference): Buffer {
    const target = Buffer.allocUnsafe(reference.bytes)
    const { descriptor } = this.#open(reference)
    let done = 0
    while (done < target.length) {
      const read = readSync(descriptor, target, done, target.length - done, reference.offset + done)
      if (read === 0) throw new ValueMissingError(`${this.#path(reference.file)} ends before it`)
      done += read
    }
    return target
  }

  /** Whatever is referred to now can be read until it is released. */
  pin(): ValuePin {
    const pin = ++this.#pinNumber
    this.#pins.add(pin)
    return {
      release: () => {
        this.#pins.delete(pin)
        this.#removeDead()
      },
    }
  }

  async close(): Promise<void> {
    for (const { descriptor } of this.#opened.values()) closeSync(descriptor)
    this.#opened.clear()
    await this.#writing.catch(() => {})
    await this.#active?.handle.close()
    this.#active = undefined
    await this.#removing
  }

  async #activeFor(bytes: number): Promise<ActiveFile> {
    const before = this.#active
    if (before !== undefined && before.end + bytes <= this.fileBytes) return before
    if (before !== undefined) await this.#sync()
    const made = await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    if (made !== undefined) await syncDirectory(dirname(this.#directory))
    const number = this.#nextNumber++
    const nonce = randomInt(2 ** 32)
    const header = Buffer.alloc(headerBytes)
    magic.copy(header)
    header.writeUInt32LE(nonce, magic.length)
    const handle = await open(this.#path(number), 'wx', 0o600)
    try {
      await writeAll(handle, [header], 0)
      await handle.datasync()
      await syncDirectory(this.#directory)
    } catch (error) {
      await handle.close()
      throw error
    }
    const file = { number, nonce, references: 0, liveBytes: 0, bytes: 0 }
    this.#files.set(number, file)
    this.#active = { file, handle, end: headerBytes, unsyncedBytes: 0 }
    if (before !== undefined) {
      await before.handle.close()
      if (before.file.references === 0) this.#bury(before.file.number)
    }
    return this.#active
  }

  #bury(number: number): void {
    this.#files.delete(number)
    this.#dead.push({ number, pin: this.#pinNumber })
  }

  #removeDead(): void {
    const [oldest = Infinity] = this.#pins
    const removable = this.#dead.filter(({ pin }) => pin < oldest)
    if (removable.length === 0) return
    this.#dead = this.#dead.filter(({ pin }) => pin >= oldest)
    for (const { number } of removable) {
      this.#close(number)
      // One that cannot be removed is in nobody's way: the next start removes it.
      this.#removing = this.#removing.then(() => unlink(this.#path(number))).catch(() => {})
    }
  }

  #open({ file: number, nonce }: ValueReference): OpenedFile {
    const known = this.#opened.get(number)
    if (known !== undefined) {
      this.#opened.delete(number)
      this.#opened.set(number, known)
      return known
    }
    const opened = { number, descriptor: openFile(this.#path(number), nonce) }
    this.#opened.set(number, opened)
    for (const oldest of this.#opened.keys()) {
      if (this.#opened.size <= openFilesMax) break
      this.#close(oldest)
    }
    return opened
  }

  #close(number: number): void {
    const opened = this.#opened.get(number)
    if (opened === undefined) return
    this.#opened.delete(number)
    closeSync(opened.descriptor)
  }

  async #check(number: number, end: number): Promise<void> {
    const path = this.#path(number)
    const found = await stat(path).catch((error: unknown) => {
      throw isNotThere(error) ? new ValueMissingError(`${path} is missing`, { cause: error }) : error
    })
    if (found.size < end) throw new ValueMissingError(`${path} has ${found.size} bytes, and values up to ${end}`)
    must(this.#files.get(number)).bytes = found.size
  }

  #path(number: number): string {
    return join(this.#directory, `${String(number).padStart(numberDigits, '0')}.values`)
  }
}

function shareOf({ liveBytes, bytes }: ValueFile): number {
  return liveBytes / Math.max(1, bytes)
}

function isNotThere(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

/** Throws ValueMissingError where it is not there, or not the file that was referred to. */
function openFile(path: string, nonce: number): number {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    // Whatever else keeps it from being opened, such as too many files, is no damage.
    throw isNotThere(error) ? new ValueMissingError(`${path} is missing`, { cause: error }) : error
  }
  try {
    const header = Buffer.alloc(headerBytes)
    if (fstatSync(descriptor).size >= headerBytes) readSync(descriptor, header, 0, headerBytes, 0)
    const isRight = header.subarray(0, magic.length).equals(magic) && header.readUInt32LE(magic.length) === nonce
    if (!isRight) throw new ValueMissingError(`${path} is another file than it was`)
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  return descriptor
}

/** Neighbours, so that each group spans at most `bytesMax` bytes, or has one value. */
function* groupsOf(references: readonly ValueReference[], bytesMax: number): Generator<readonly ValueReference[]> {
  let group: ValueReference[] = []
  for (const reference of references) {
    if (reference.offset + reference.bytes - (group[0]?.offset ?? 0) > bytesMax && group.length > 0) {
      yield group
      group = []
    }
    group.push(reference)
  }
  yield group
}

async function readAll(handle: FileHandle, target: Buffer, position: number): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await handle.read(target, done, target.length - done, position + done)
    if (bytesRead === 0) throw new ValueMissingError('a file of values ends before one of them')
    done += bytesRead
  }
}

async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let rest = [...pieces]
  let at = position
  while (rest.length > 0) {
    let { bytesWritten } = await handle.writev(rest, at)
    at += bytesWritten
    while (rest.length > 0 && bytesWritten >= must(rest[0]).length) bytesWritten -= must(rest.shift()).length
    if (bytesWritten > 0) rest = [must(rest[0]).subarray(bytesWritten), ...rest.slice(1)]
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
