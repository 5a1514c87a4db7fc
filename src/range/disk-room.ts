// The disk reserve (DESIGN.md 15): how much room the data directory's file system has, and what may still be written.
//
//   free space    | ok: everything                                                             |
//   then          | low: no more data is added; deletions, which take room before they give any, |
//                 |      have what is left (diskReserveBytes)                                   |
//   then          | full: nothing is taken but what carries no data; the log's next segments and |
//                 |      the flush of what is in memory have what is left                        |
//   then          | the ballast: given up at once when it comes to that, or at a start           |
//
// Nobody is told of a band for ever: it is judged anew at each look, and ends by itself when there is room.

import type { Logger } from '../base/logger.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { DiskBand } from '../transport/transport.ts'

export interface DiskSpace {
  /** What this process may still write. */
  readonly freeBytes: number
  readonly totalBytes: number
}

/** The file system under the data directory, and the ballast file on it. */
export interface NodeDisk {
  space(): Promise<DiskSpace>
  /** How much of the ballast is there. */
  readonly ballastBytes: number
  /** It takes up `bytes` when it resolves, for real: written, not a hole. */
  growBallast(bytes: number): Promise<void>
  releaseBallast(): Promise<void>
}

export interface DiskLimits {
  readonly diskBallastBytes: number
  readonly diskReserveBytes: number
  readonly logSegmentBytes: number
}

/** Neither ballast nor reserve is more of a small file system than this. */
const shareMax = 0.05
/** The segment that is made ahead, and one more. */
const segmentsAhead = 2
/** The look at the disk: seldom while there is plenty, often where a second's writes could matter. */
const lookSeldomMs = 1_000
const lookOftenMs = 250
const plentyFactor = 4
/** The ballast is made in the background, without hurry: a quick start and a short life shall not pay for it. */
const ballastDelayMs = 5_000
const ballastStepBytes = 4 * 1024 * 1024
/** One that is no larger is made at the second look: it takes a moment, and a small disk is soon full. */
const ballastAtOnceBytes = 16 * 1024 * 1024
/** Of the reserve, so much more than where a band begins must be free before it ends: no flicker at its edge. */
const clearShare = 0.25

export interface DiskNeeds {
  readonly ballast: number
  readonly reserve: number
  /** For what must be written whatever is refused. */
  readonly hard: number
}

export function diskNeeds(limits: DiskLimits, totalBytes: number): DiskNeeds {
  const share = Math.floor(totalBytes * shareMax)
  return {
    ballast: Math.min(limits.diskBallastBytes, share),
    reserve: Math.min(limits.diskReserveBytes, share),
    hard: segmentsAhead * limits.logSegmentBytes,
  }
}

/** `roomBytes`: free, as if the ballast were whole, and what is in memory written. */
export function bandOf(roomBytes: number, { reserve, hard }: DiskNeeds, before: DiskBand): DiskBand {
  const more = reserve * clearShare
  const isAbove = (bytes: number, wasBelow: boolean): boolean => roomBytes >= (wasBelow ? bytes + more : bytes)
  if (isAbove(hard + reserve, before !== 'ok')) return 'ok'
  return isAbove(hard, before === 'full') ? 'low' : 'full'
}

export interface DiskRoomOptions {
  readonly disk: NodeDisk
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: DiskLimits
  /** Applied, and not in the engine yet. */
  readonly dirtyBytes: () => number
}

export class DiskRoom {
  readonly #options: DiskRoomOptions
  #band: DiskBand = 'ok'
  #freeBytes = 0
  #isUnknown = false
  #timer: Timer | undefined
  #looking: Promise<void> | undefined
  #beganMs = 0
  #isClosed = false

  constructor(options: DiskRoomOptions) {
    this.#options = options
  }

  get band(): DiskBand {
    return this.#band
  }

  get freeBytes(): number {
    return this.#freeBytes
  }

  get ballastBytes(): number {
    return this.#options.disk.ballastBytes
  }

  /** Resolves once the disk was looked at; from then on it looks again and again. */
  async start(): Promise<void> {
    this.#beganMs = this.#options.clock.monotonicMs()
    await this.look()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  /** One at a time. A disk that cannot be asked is no reason to refuse anything: what it knew before holds. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        this.#isUnknown = true
        this.#options.logger.warn({ error: String(error) }, 'free space is not known')
      })
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** Whether `bytes` more can be written now. The ballast goes before that fails. */
  async hasRoomFor(bytes: number): Promise<boolean> {
    const { disk } = this.#options
    await this.look()
    if (this.#freeBytes >= bytes || this.#isUnknown) return true
    if (disk.ballastBytes > 0) await this.#release()
    // That look may have given it up as well.
    await this.look()
    return this.#freeBytes >= bytes
  }

  async #look(): Promise<void> {
    const { disk, limits, dirtyBytes, clock } = this.#options
    this.#timer?.cancel()
    let pauseMs = lookSeldomMs
    try {
      const { freeBytes, totalBytes } = await disk.space()
      const needs = diskNeeds(limits, totalBytes)
      const roomBytes = freeBytes + disk.ballastBytes - needs.ballast - dirtyBytes()
      this.#freeBytes = freeBytes
      this.#isUnknown = false
      this.#enter(bandOf(roomBytes, needs, this.#band), roomBytes, needs)
      if (this.#band === 'full' && disk.ballastBytes > 0) await this.#release()
      const isGrowing = this.#band === 'ok' && disk.ballastBytes < needs.ballast
      const isSmall = needs.ballast <= ballastAtOnceBytes
      const upMs = clock.monotonicMs() - this.#beganMs
      if (isGrowing && upMs >= (isSmall ? lookOftenMs : ballastDelayMs))
        await disk.growBallast(isSmall ? needs.ballast : Math.min(needs.ballast, disk.ballastBytes + ballastStepBytes))
      if (isGrowing || roomBytes < plentyFactor * (needs.hard + needs.reserve)) pauseMs = lookOftenMs
    } finally {
      if (!this.#isClosed) this.#timer = clock.setTimer(pauseMs, () => void this.look())
    }
  }

  async #release(): Promise<void> {
    const { disk, logger } = this.#options
    const bytes = disk.ballastBytes
    await disk.releaseBallast()
    logger.warn({ bytes }, 'the disk is full: the ballast is given up, so that what must be written has room')
  }

  #enter(band: DiskBand, roomBytes: number, { hard, reserve }: DiskNeeds): void {
    if (band === this.#band) return
    const { logger } = this.#options
    const before = this.#band
    this.#band = band
    const fields = {
      before,
      freeBytes: this.#freeBytes,
      roomBytes,
      reserveBytes: reserve,
      leastBytes: hard,
    }
    if (band === 'ok') logger.info(fields, 'there is room on the disk again: all writes are taken')
    else if (band === 'low')
      logger.warn(fields, 'the disk is nearly full: what adds data is refused; reads and deletions go on')
    else logger.error(fields, 'the disk is full: all writes are refused and no entries are taken; reads go on')
  }
}
