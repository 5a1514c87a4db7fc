// How much room a simulated machine has. It outlives processes, as the ballast on it does. Nothing that the node writes takes
// any of it: others fill the disk up, and free it.

import { type DiskLimits, type DiskSpace, type NodeDisk, diskNeeds } from '../../src/range/disk-room.ts'
import type { DiskBand } from '../../src/transport/transport.ts'
import type { SimClock } from './sim-clock.ts'

const totalBytes = 1 << 30

/** What a process was told of the room, and when: by that it must act. */
interface Told {
  readonly clock: SimClock
  readonly band: DiskBand
  readonly atMs: number
}

export class SimDisk {
  readonly #limits: DiskLimits
  readonly #ballast = { bytes: 0 }
  #band: DiskBand = 'ok'
  #told: Told | undefined

  constructor(limits: DiskLimits) {
    this.#limits = limits
  }

  /** Others fill the disk up to where the band begins to be this one, or free it. */
  fill(band: DiskBand): void {
    this.#band = band
  }

  /** Since when, by its own clock, a process on it knows that its disk is in this band or in a worse one. */
  knownMs(clock: SimClock, bands: readonly DiskBand[]): number {
    const told = this.#told
    if (told === undefined || told.clock !== clock || !bands.includes(told.band)) return 0
    return clock.monotonicMs() - told.atMs
  }

  open(clock: SimClock): NodeDisk {
    const ballast = this.#ballast
    return {
      space: async () => {
        this.#tell(clock)
        return this.#space()
      },
      get ballastBytes() {
        return ballast.bytes
      },
      async growBallast(bytes) {
        ballast.bytes = bytes
      },
      async releaseBallast() {
        ballast.bytes = 0
      },
    }
  }

  #tell(clock: SimClock): void {
    const told = this.#told
    if (told?.clock === clock && told.band === this.#band) return
    this.#told = { clock, band: this.#band, atMs: clock.monotonicMs() }
  }

  #space(): DiskSpace {
    const { ballast, reserve, hard } = diskNeeds(this.#limits, totalBytes)
    const room = { ok: totalBytes / 2, low: hard + reserve / 2, full: hard / 2 }[this.#band]
    return { freeBytes: Math.max(0, room + ballast - this.#ballast.bytes), totalBytes }
  }
}
