// What has been applied and is not yet in the engine: the rows that were written, where overwrites collapse, and the runs,
// which keep every step. It knows no engine; its owner freezes it whole, by writing to the next one from then on.

import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import { apartBytesMin } from '../engine/engine.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { RowSpan, Source } from './engine-keys.ts'
import { LiveRun, runBytesMax } from './history-run.ts'
import type { Place, RowTable } from './row-table.ts'
import type { Latest, NewVersion, Version } from './version.ts'

/** What the engine holds for a row before the buffer goes in. `large latest`: it may keep that apart. */
export type Stored = 'nothing' | 'latest' | 'large latest' | 'tombstone'

/** By row; the versions are decoded when they are wanted. */
export interface BufferedRows {
  readonly names: readonly string[]
  readonly places: readonly Place[]
}

export const noRows: BufferedRows = { names: [], places: [] }

export class WriteBuffer {
  /** Above 0, and each above the one before. */
  readonly number: number
  readonly runs: LiveRun[] = []
  readonly #table: RowTable
  readonly #onFullRun: (run: LiveRun) => void
  /** Of each row where its newest version in this buffer is, and what the engine holds: by position. */
  readonly #places: Place[] = []
  readonly #stored: Stored[] = []
  /** Of the first so many rows, once a scan has asked. */
  readonly #names: string[] = []
  /** Of its rows, each as it was first put: about what the engine will get under 'd'. */
  rowBytes = 0
  /** Of everything in it, rows that were overwritten in it and history included. */
  bytes = 0
  /** Of `runs`, the one that effects go to; one a source. */
  readonly #open: LiveRun[] = []
  /** Once frozen: positions by name. */
  #sorted: readonly number[] | undefined

  /** `onFullRun`: the run takes no more, and is still looked through. */
  constructor(number: number, table: RowTable, onFullRun: (run: LiveRun) => void) {
    this.number = number
    this.#table = table
    this.#onFullRun = onFullRun
  }

  get size(): number {
    return this.#places.length
  }

  /**
   * `before`: where the row's newest version is, if it is in memory; `stored`: counts if this buffer has not written the row yet.
   * Returns the checksum over what all replicas agree on.
   */
  put(from: NewVersion, before: Place | undefined, stored: Stored): number {
    assert(this.#sorted === undefined, 'no more is put into a buffer that is frozen')
    const isHere = before !== undefined && this.#table.bufferOf(before) === this.number
    const position = isHere ? this.#table.positionOf(before) : this.#places.length
    const { place, crc } = this.#table.put(from, before, this.number, position)
    this.#places[position] = place
    const bytes = 1 + from.key.length + from.value.length
    this.bytes += bytes
    if (!isHere) {
      this.rowBytes += bytes
      this.#stored.push(stored)
    }
    return crc
  }

  /** `previous`: what was there; `lastStored`: the last index of the source's runs outside this buffer, asked once a run. */
  record(from: NewVersion, previous: Latest | undefined, lastStored: (source: Source) => number): void {
    this.bytes += this.#runFor(from.source, from.index, from.timestamp, lastStored).push(from, previous)
  }

  version(position: number): Version {
    const place = must(this.#places[position])
    return this.#table.version(this.#table.nameOf(place), place)
  }

  stored(position: number): Stored {
    return must(this.#stored[position])
  }

  /** What `version` replaced; null: nothing. undefined: it did not come with this buffer. */
  previous(version: Version): Version | null | undefined {
    for (const run of this.runs)
      if (isSame(run.source, version.source) && run.firstIndex <= version.index && version.index <= run.lastIndex)
        return run.previous(version.row, version.index, version.timestamp)
    return undefined
  }

  lastIndex(source: Source): number {
    return this.#open.find(run => isSame(run.source, source))?.lastIndex ?? 0
  }

  /** The rows of a span in ascending order. `isFrozen`: no more is put. */
  inSpan(span: RowSpan, isFrozen: boolean): BufferedRows {
    const names = this.#names
    while (names.length < this.#places.length) names.push(this.#table.nameOf(must(this.#places[names.length])))
    const rows = (positions: readonly number[]): BufferedRows => ({
      names: positions.map(at => names[at] ?? ''),
      places: positions.map(at => this.#places[at] as Place),
    })
    if (isFrozen) {
      // Sorted once, for the many scans that may come while it is written.
      this.#sorted ??= this.#sort([...names.keys()])
      const from = this.#firstAtOrAfter(this.#sorted, span.start)
      return rows(this.#sorted.slice(from, this.#firstAtOrAfter(this.#sorted, span.end)))
    }
    const found: number[] = []
    for (let at = 0; at < names.length; at++) {
      const name = names[at] ?? ''
      if (name >= span.start && name < span.end) found.push(at)
    }
    return rows(this.#sort(found))
  }

  #runFor(source: Source, index: Index, timestamp: Timestamp, lastStored: (source: Source) => number): LiveRun {
    let position = 0
    while (position < this.#open.length && !isSame(source, this.#open[position]?.source)) position++
    const open = this.#open[position]
    if (open !== undefined) {
      assert(index >= open.lastIndex, 'indexes of one source ascend')
      // A run never ends inside an entry: its first index names it.
      if (open.bytes < runBytesMax || index === open.lastIndex) return open
      this.#onFullRun(open)
    } else {
      assert(index > lastStored(source), 'the buffer is frozen between entries only, and indexes of one source ascend')
    }
    const run = new LiveRun(source, index, timestamp, open === undefined)
    this.#open[position] = run
    this.runs.push(run)
    return run
  }

  #sort(positions: number[]): number[] {
    const names = this.#names
    return positions.sort((a, b) => ((names[a] ?? '') < (names[b] ?? '') ? -1 : 1))
  }

  #firstAtOrAfter(sorted: readonly number[], row: string): number {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#names[sorted[middle] ?? 0] ?? '') < row) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** `latest`: what a first write to the buffer finds. The engine has it, or will before it gets this buffer. */
export function storedAs(latest: Latest | undefined): Stored {
  if (latest === undefined) return 'nothing'
  if (latest.deleted) return 'tombstone'
  return latest.end - latest.start < apartBytesMin ? 'latest' : 'large latest'
}

function isSame(a: Source, b: Source | undefined): boolean {
  return a === b || (a.replicaId === b?.replicaId && a.rangeId === b.rangeId)
}
