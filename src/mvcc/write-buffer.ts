// What has been applied and is not yet in the engine: the rows that were written, where overwrites collapse, and the runs,
// which keep every step. It knows no engine; its owner freezes it whole, in one tick.

import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { RowSpan, Source } from './engine-keys.ts'
import { LiveRun, runBytesMax } from './history-run.ts'
import type { Row } from './row-table.ts'
import type { Version } from './version.ts'

export class WriteBuffer {
  /** Above 0, and each above the one before. */
  readonly number: number
  readonly runs: LiveRun[] = []
  readonly #rows: Row[] = []
  bytes = 0
  /** Of `runs`, the one that effects go to; one a source. */
  readonly #open: LiveRun[] = []
  /** Once frozen: of each row the version that it had then. */
  #frozen: readonly Version[] | undefined
  #sorted: readonly Version[] | undefined

  constructor(number: number) {
    this.number = number
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0
  }

  /** The rows as they were when the buffer was frozen. */
  get versions(): readonly Version[] {
    return must(this.#frozen, 'the buffer is frozen')
  }

  /** The row is written for the first time in this buffer. */
  addRow(row: Row): void {
    this.#rows.push(row)
  }

  /** `lastStored`: the last index of the source's runs outside this buffer, asked once a run. */
  push(version: Version, lastStored: (source: Source) => number): void {
    const runBytes = this.#runFor(version.source, version.index, version.timestamp, lastStored).push(version)
    this.bytes += version.record.length + version.row.length + runBytes
  }

  lastIndex(source: Source): number {
    return this.#open.find(run => isSame(run.source, source))?.lastIndex ?? 0
  }

  /** No more is pushed. */
  freeze(): void {
    this.#frozen = this.#rows.map(row => row.version)
  }

  /** The buffered rows of a span in ascending order; the array is the caller's. */
  inSpan(span: RowSpan): Version[] {
    if (this.#frozen !== undefined) {
      // Sorted once, for the many scans that may come while it is written.
      this.#sorted ??= sortByRow([...this.#frozen])
      return this.#sorted.slice(firstAtOrAfter(this.#sorted, span.start), firstAtOrAfter(this.#sorted, span.end))
    }
    const found: Version[] = []
    for (const { name, version } of this.#rows) if (name >= span.start && name < span.end) found.push(version)
    return sortByRow(found)
  }

  #runFor(source: Source, index: Index, timestamp: Timestamp, lastStored: (source: Source) => number): LiveRun {
    let position = 0
    while (position < this.#open.length && !isSame(source, this.#open[position]?.source)) position++
    const open = this.#open[position]
    if (open !== undefined) {
      assert(index >= open.lastIndex, 'indexes of one source ascend')
      // A run never ends inside an entry: its first index names it.
      if (open.bytes < runBytesMax || index === open.lastIndex) return open
    } else {
      assert(index > lastStored(source), 'the buffer is frozen between entries only, and indexes of one source ascend')
    }
    const run = new LiveRun(source, index, timestamp)
    this.#open[position] = run
    this.runs.push(run)
    return run
  }
}

function sortByRow(versions: Version[]): Version[] {
  return versions.sort((a, b) => (a.row < b.row ? -1 : 1))
}

function firstAtOrAfter(sorted: readonly Version[], row: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle]?.row ?? '') < row) low = middle + 1
    else high = middle
  }
  return low
}

function isSame(a: Source, b: Source | undefined): boolean {
  return a === b || (a.replicaId === b?.replicaId && a.rangeId === b.rangeId)
}
