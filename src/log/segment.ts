// One open segment file: where its next flush goes, and who still needs something in it.
//
// Invariant: `liveBytes` is what its holders said they hold; at 0, with no segment before it, the file may go.

import { assert } from '../base/assert.ts'
import type { LogFile } from './log-files.ts'
import { verifyRecord } from './record.ts'
import { type SegmentHeader, segmentHeaderBytes, segmentSeed } from './segment-format.ts'

/** Where a durable record is. */
export interface RecordPlace {
  readonly segment: Segment
  readonly offset: number
  readonly bytes: number
}

/** Whoever owns records, and can write what it still needs of a segment anew. */
export interface SegmentHolder {
  /** Queues copies of what it holds in `segment`, about `bytesMax` of them at most; returns how many bytes. */
  rewriteFrom(segment: Segment, bytesMax: number): number
}

export class Segment {
  readonly number: number
  readonly path: string
  readonly bytes: number
  readonly seed: number
  readonly file: LogFile
  /** Where the next flush begins. */
  end = segmentHeaderBytes
  liveBytes = 0
  readonly #held = new Map<SegmentHolder, number>()

  constructor(path: string, header: SegmentHeader, file: LogFile) {
    this.number = header.number
    this.path = path
    this.bytes = header.bytes
    this.seed = segmentSeed(header.nonce, header.number)
    this.file = file
  }

  hold(holder: SegmentHolder, bytes: number): void {
    this.liveBytes += bytes
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + bytes)
  }

  release(holder: SegmentHolder, bytes: number): void {
    const left = (this.#held.get(holder) ?? 0) - bytes
    assert(left >= 0, 'nothing is released that was not held')
    this.liveBytes -= bytes
    if (left === 0) this.#held.delete(holder)
    else this.#held.set(holder, left)
  }

  holders(): readonly SegmentHolder[] {
    return [...this.#held.keys()]
  }

  /** Reads a record back and verifies it. Throws: never another record's bytes. */
  readRecord(place: RecordPlace): Buffer {
    const record = Buffer.allocUnsafe(place.bytes)
    this.file.read(record, place.offset)
    if (verifyRecord(record, 0, place.bytes, this.seed, place.offset) !== place.bytes) {
      throw new Error(
        `the log is damaged: ${this.path} holds no whole record at offset ${place.offset}; rebuild this node from its peers`,
      )
    }
    return record
  }
}
