// Group commit (DESIGN.md 6): one write in flight; what arrives meanwhile goes into the next. Numbers the flushes,
// seals the log when it falls idle, moves on to the next segment when one is full.
//
// Invariants: a flush is written only after the one before it is durable; numbers rise by one; waiters are
// answered in order, each after a flush that took everything queued before it; after a failure nothing is answered
// any more.

import { assert, must } from '../base/assert.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { type PendingRecord, recordContent } from './replica-log.ts'
import { encodeRecord, encodedBytes } from './record.ts'
import type { Segment } from './segment.ts'
import { encodeFlushHeader, flushHeaderBytes } from './segment-format.ts'
import { type SegmentSet, asError } from './segment-set.ts'

export type FlushDone = (ceilingSynced: number) => void

export interface FlushWriterOptions {
  readonly segments: SegmentSet
  readonly clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  /** The timestamp that the next flush header may promise. */
  readonly ceiling: () => number
  /** Promised already: no later header says less. */
  readonly ceilingFloor: number
  /** The newest durable flush. */
  readonly number: number
  readonly onFatal: (error: Error) => void
  /** After each durable flush, before its waiters are answered. */
  readonly onFlushed: () => void
}

interface Waiter {
  /** How many records had been queued when it came. */
  readonly position: number
  readonly done: FlushDone
}

/** Twice this, at the latest, after the last flush an idle log is sealed. */
const sealDelayMs = 45
/** A flush takes no further record once it has this many bytes. */
const flushBytesMax = 8 * 1024 * 1024

export class FlushWriter {
  readonly #options: FlushWriterOptions
  readonly #segments: SegmentSet
  #queue: PendingRecord[] = []
  #waiters: Waiter[] = []
  /** How many records were ever queued, and how many of them the newest flush and those before it took. */
  #queuedCount = 0
  #takenCount = 0
  #number: number
  #ceiling: number
  #buffer: Buffer = Buffer.allocUnsafe(256 * 1024)
  #running = false
  #stopped = false
  #sealWanted = false
  #sealed = false
  #sealTimer: Timer | undefined
  #idle: (() => void)[] = []
  #flushMicros = 0

  constructor(options: FlushWriterOptions) {
    this.#options = options
    this.#segments = options.segments
    this.#number = options.number
    this.#ceiling = options.ceilingFloor
  }

  get flushedNumber(): number {
    return this.#number
  }

  get flushMicros(): number {
    return this.#flushMicros
  }

  queue(record: PendingRecord): void {
    this.#queue.push(record)
    this.#queuedCount++
  }

  flush(done: FlushDone): void {
    if (this.#stopped) return
    this.#waiters.push({ position: this.#queuedCount, done })
    this.#start()
  }

  /** Writes a flush that proves the one before it was synced. Resolves when there is nothing left to write, or it failed. */
  sealNow(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    this.#sealWanted = true
    this.#start()
    return this.#untilIdle()
  }

  /** A seal is due although nothing was written since the last one: its header has news of its own. */
  sealSoon(): void {
    this.#sealed = false
    this.#armSeal()
  }

  /** Flushes, seals and stops. */
  async close(): Promise<void> {
    if (!this.#stopped) {
      if (this.#queue.length > 0) this.flush(() => undefined)
      if (!this.#sealed || this.#running) await this.sealNow()
    }
    this.stop()
    await this.#untilIdle()
  }

  /** Nothing is written or answered from now on. */
  stop(): void {
    this.#stopped = true
    this.#waiters = []
    this.#sealTimer?.cancel()
    this.#sealTimer = undefined
  }

  #untilIdle(): Promise<void> {
    if (!this.#running) return Promise.resolve()
    return new Promise(resolve => this.#idle.push(resolve))
  }

  /** Not at once: everything that asks in this turn of the event loop goes together. */
  #start(): void {
    if (this.#running) return
    this.#running = true
    void Promise.resolve().then(() => this.#run())
  }

  async #run(): Promise<void> {
    while (!this.#stopped && (this.#waiters.length > 0 || this.#sealWanted)) {
      const flushed = await this.#writeNext()
      if (!flushed || this.#stopped) break
      this.#options.onFlushed()
      this.#answer()
    }
    this.#running = false
    this.#armSeal()
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** False: it failed, which has been reported. */
  async #writeNext(): Promise<boolean> {
    const records = this.#take()
    let bytes = flushHeaderBytes
    for (const record of records) bytes += record.bytes
    try {
      if (!this.#segments.hasRoom(bytes)) await this.#moveOn(bytes)
      const segment = this.#segments.active
      const offset = segment.end
      // A promise about segments rests on records that may still be queued: only a flush that takes all of them makes it.
      const oldestLive = this.#queue.length === 0 ? this.#segments.oldest.number : this.#segments.promisedOldest
      await this.#write(segment, records, bytes, oldestLive, 0)
      let at = offset + flushHeaderBytes
      for (const record of records) {
        record.owner?.recordDurable(record, { segment, offset: at, bytes: record.bytes })
        at += record.bytes
      }
      this.#segments.promised(oldestLive)
      this.#segments.prepareAhead()
      return true
    } catch (error) {
      this.stop()
      this.#options.onFatal(asError(error))
      return false
    }
  }

  #take(): readonly PendingRecord[] {
    const queue = this.#queue
    let count = 0
    let bytes = 0
    for (; count < queue.length && (count === 0 || bytes < flushBytesMax); count++) bytes += must(queue[count]).bytes
    this.#queue = queue.slice(count)
    const records = count === queue.length ? queue : queue.slice(0, count)
    this.#takenCount += count
    const sealing = this.#sealWanted && count === 0 && this.#waiters.length === 0
    if (sealing) this.#sealWanted = false
    this.#sealed = sealing
    return sealing ? [sealRecord(this.#number)] : records
  }

  /** The full segment's last flush names the next, which exists by then: a missing one is noticed. */
  async #moveOn(bytes: number): Promise<void> {
    const next = await this.#segments.next(bytes)
    await this.#write(this.#segments.active, [], flushHeaderBytes, this.#segments.promisedOldest, next.number)
    this.#segments.activate(next)
  }

  async #write(
    segment: Segment,
    records: readonly PendingRecord[],
    bytes: number,
    oldestLive: number,
    next: number,
  ): Promise<void> {
    assert(segment.end + bytes <= segment.bytes, 'a flush fits its segment')
    const number = this.#number + 1
    const ceiling = Math.max(this.#ceiling, this.#options.ceiling())
    this.#ceiling = ceiling
    // One write is in flight, so the buffer of the one before is free.
    if (this.#buffer.byteLength < bytes) this.#buffer = Buffer.allocUnsafe(2 * bytes)
    const buffer = this.#buffer
    const header = { number, synced: this.#number, ceiling, oldestLive, next, bodyBytes: bytes - flushHeaderBytes }
    encodeFlushHeader(buffer, 0, segment.seed, segment.end, header)
    let at = flushHeaderBytes
    for (const record of records) {
      encodeRecord(buffer, at, record.bytes, segment.seed, segment.end + at, record.content)
      at += record.bytes
    }
    const started = this.#options.clock.monotonicMs()
    await segment.file.write(buffer, bytes, segment.end)
    const micros = (this.#options.clock.monotonicMs() - started) * 1000
    this.#flushMicros = this.#flushMicros === 0 ? micros : this.#flushMicros * 0.9 + micros * 0.1
    segment.end += bytes
    this.#number = number
  }

  #answer(): void {
    const waiters = this.#waiters
    let count = 0
    while (count < waiters.length && must(waiters[count]).position <= this.#takenCount) count++
    this.#waiters = waiters.slice(count)
    for (let i = 0; i < count && !this.#stopped; i++) must(waiters[i]).done(this.#ceiling)
  }

  #armSeal(): void {
    if (this.#stopped || this.#sealed || this.#sealTimer !== undefined) return
    const number = this.#number
    this.#sealTimer = this.#options.clock.setTimer(sealDelayMs, () => {
      this.#sealTimer = undefined
      if (this.#running || this.#sealed) return
      if (this.#number === number) void this.sealNow()
      else this.#armSeal()
    })
  }
}

function sealRecord(synced: number): PendingRecord {
  const content = recordContent('seal', 0, 0, { index: synced })
  return { content, bytes: encodedBytes(content), owner: undefined, slots: [] }
}
