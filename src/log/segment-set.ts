// The open segments, oldest first; the last one is written to. Makes the next one ahead of need, from what a synced flush has
// called not needed where it can: zeros are not written twice. Knows names and headers, not what is in a segment.
//
// Invariant: a file goes, or becomes another, only after a durable flush header promised `oldestLive` above it.

import { assert, must } from '../base/assert.ts'
import type { LogFiles } from './log-files.ts'
import { Segment } from './segment.ts'
import {
  type Cut,
  type SegmentHeader,
  type SegmentIdentity,
  encodeSegmentHeader,
  flushHeaderBytes,
  segmentHeaderBytes,
} from './segment-format.ts'

export interface SegmentSetOptions {
  readonly directory: string
  readonly files: LogFiles
  readonly identity: SegmentIdentity
  readonly segmentBytes: number
  /** For nonces. */
  readonly randomBytes: (length: number) => Uint8Array
  readonly onFatal: (error: Error) => void
}

const nameForm = /^(\d{12})\.segment$/

export function segmentPath(directory: string, number: number): string {
  return `${directory}/${String(number).padStart(12, '0')}.segment`
}

/** The number in a segment file's name, undefined for other names. */
export function segmentNumber(name: string): number | undefined {
  const match = nameForm.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** A fresh header; `bytes` grows where a flush of `needed` bytes would not fit. */
export function createHeader(
  options: SegmentSetOptions,
  numbers: { readonly number: number; readonly previous: number; readonly oldestLive: number },
  needed: number,
  cut?: Cut,
): SegmentHeader {
  // The last flush of a segment is a bare header that names the next: there is always room for it.
  const bytes = Math.max(options.segmentBytes, segmentHeaderBytes + needed + flushHeaderBytes)
  return { ...options.identity, ...numbers, nonce: options.randomBytes(16), bytes, cut }
}

export class SegmentSet {
  readonly #options: SegmentSetOptions
  #identity: SegmentIdentity
  readonly #segments: Segment[]
  #spare: Promise<Segment> | undefined
  #spareBytes = 0
  /** Not needed, but no durable flush says so yet. */
  readonly #retired: Segment[] = []
  #retiredBytes = 0
  /** Closed, and still under its name: the next segment is made of it. */
  #recyclable: Segment | undefined
  #newestNumber: number
  /** What a durable flush has promised. Nothing else may be told to the disk: the records behind a promise go first. */
  #promised: number
  #background: Promise<void> = Promise.resolve()

  constructor(options: SegmentSetOptions, segments: Segment[]) {
    this.#options = options
    this.#identity = options.identity
    this.#segments = segments
    this.#newestNumber = this.active.number
    this.#promised = this.oldest.number
  }

  get active(): Segment {
    return must(this.#segments.at(-1))
  }

  get oldest(): Segment {
    return must(this.#segments[0])
  }

  get promisedOldest(): number {
    return this.#promised
  }

  get count(): number {
    return this.#segments.length
  }

  get bytesOnDisk(): number {
    let bytes = this.#spareBytes + this.#retiredBytes
    for (const segment of this.#segments) bytes += segment.bytes
    return bytes
  }

  get liveBytes(): number {
    let bytes = 0
    for (const segment of this.#segments) bytes += segment.liveBytes
    return bytes
  }

  /** Segments made from now on carry it. */
  setClusterId(clusterId: string): void {
    this.#identity = { ...this.#identity, clusterId }
  }

  hasRoom(bytes: number): boolean {
    return this.active.end + bytes + flushHeaderBytes <= this.active.bytes
  }

  /** Makes the next segment in the background once half of this one is used. */
  prepareAhead(): void {
    const { end, bytes } = this.active
    if (this.#spare !== undefined || (end - segmentHeaderBytes) * 2 < bytes - segmentHeaderBytes) return
    this.#spare = this.#create(0)
    this.#spare.catch((error: unknown) => this.#options.onFatal(asError(error)))
  }

  /** The segment that follows the active one, with room for `bytes`; not active yet. */
  async next(bytes: number): Promise<Segment> {
    let segment = await (this.#spare ?? this.#create(bytes))
    if (segment.end + bytes + flushHeaderBytes > segment.bytes) {
      // A flush larger than a whole segment: the spare is passed over, and goes.
      this.#retiredBytes += segment.bytes
      this.#discard([segment])
      segment = await this.#create(bytes)
    }
    this.#spare = undefined
    this.#spareBytes = 0
    return segment
  }

  activate(segment: Segment): void {
    this.#segments.push(segment)
  }

  /** The oldest segment is not needed any more. */
  retireOldest(): void {
    assert(this.#segments.length > 1 && this.oldest.liveBytes === 0, 'only a segment that nobody needs is retired')
    const segment = must(this.#segments.shift())
    this.#retired.push(segment)
    this.#retiredBytes += segment.bytes
  }

  hasRetired(): boolean {
    return this.#retired.length > 0
  }

  /** A durable flush header promised that segments below `oldestLive` are not needed. */
  promised(oldestLive: number): void {
    this.#promised = oldestLive
    const gone: Segment[] = []
    while (this.#retired[0] !== undefined && this.#retired[0].number < oldestLive)
      gone.push(must(this.#retired.shift()))
    if (gone.length === 0) return
    this.#discard(gone)
  }

  async close(): Promise<void> {
    await this.#background
    const spare = await this.#spare?.catch(() => undefined)
    for (const segment of [...this.#retired, ...this.#segments]) await segment.file.close()
    await spare?.file.close()
  }

  async #create(bytes: number): Promise<Segment> {
    const number = ++this.#newestNumber
    const numbers = { number, previous: this.active.number, oldestLive: this.#promised }
    const header = createHeader({ ...this.#options, identity: this.#identity }, numbers, bytes)
    this.#spareBytes = header.bytes
    const { directory, files } = this.#options
    const path = segmentPath(directory, number)
    const head = encodeSegmentHeader(header)
    const old = this.#recyclable
    if (old?.bytes !== header.bytes) return new Segment(path, header, await files.create(path, head, header.bytes))
    this.#recyclable = undefined
    this.#retiredBytes -= old.bytes
    return new Segment(path, header, await files.recycle(old.path, path, head))
  }

  #discard(segments: readonly Segment[]): void {
    const { files, directory, segmentBytes, onFatal } = this.#options
    this.#background = this.#background
      .then(async () => {
        for (const segment of segments) {
          await segment.file.close()
          // One is enough: at most one is made ahead.
          if (this.#recyclable === undefined && segment.bytes === segmentBytes) {
            this.#recyclable = segment
            continue
          }
          await files.unlink(segment.path)
          this.#retiredBytes -= segment.bytes
        }
        await files.syncDirectory(directory)
      })
      .catch((error: unknown) => onFatal(asError(error)))
  }
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
