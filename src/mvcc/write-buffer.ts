// What has been applied and is not yet in the engine: the rows that were written, where overwrites collapse, and the runs,
// which keep every step. It knows no engine; its owner freezes it whole, by writing to the next one from then on.

import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import { apartBytesMin } from '../engine/engine.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { RowSpan, Source } from './engine-keys.ts'
import { LiveRun, runBytesMax } from './history-run.ts'
import { type BufferedRows, RowOrder } from './row-order.ts'
import type { Place, RowTable } from './row-table.ts'
import type { Latest, NewVersion, Version } from './version.ts'

/** What the engine holds for a row before the buffer goes in. `large latest`: it may keep that apart. */
export type Stored = 'nothing' | 'latest' | 'large latest' | 'tombstone'

export class WriteBuffer {
  /** Above 0, and each above the one before. */
  readonly number: number
  readonly runs: LiveRun[] = []
  readonly #table: RowTable
  readonly #onFullRun: (run: LiveRun) => void
  /** Of each row where its newest version in this buffer is, and what the engine holds: by position. */
  readonly #places: Place[] = []
  readonly #stored: Stored[] = []
  /** Of the first so many rows, once scans have asked. */
  readonly #order = new RowOrder()
  /** `#places`, as scans of this tick see them; undefined: something was put since. */
  #snapshot: Uint32Array | undefined
  /** No more is put. */
  isFrozen = false
  /** Of its rows, each as it was first put: about what the engine will get under 'd'. */
  rowBytes = 0
  /** Of everything in it, rows that were overwritten in it and history included. */
  bytes = 0
  /** Of `runs`, the one that effects go to; one a source. */
  readonly #open: LiveRun[] = []

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
    assert(!this.isFrozen, 'no more is put into a buffer that is frozen')
    this.#snapshot = undefined
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

  /** Rows that no scan has asked for yet. */
  get unordered(): number {
    return this.#places.length - this.#order.names.length
  }

  /** Makes ready for scans what the next one would have to do at once. */
  orderSome(rowsMax: number): void {
    const from = this.#order.names.length
    const some = this.#places.slice(from, from + rowsMax)
    if (some.length > 0) this.#order.add(some.map(place => this.#table.nameOf(place)))
  }

  /** The rows of a span as they are now, in ascending order. */
  inSpan(span: RowSpan): BufferedRows {
    this.orderSome(this.unordered)
    this.#snapshot ??= Uint32Array.from(this.#places)
    const { names, order } = this.#order
    const from = this.#order.firstAtOrAfter(span.start)
    const to = Math.max(from, this.#order.firstAtOrAfter(span.end))
    return { names, order, places: this.#snapshot, from, to }
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
