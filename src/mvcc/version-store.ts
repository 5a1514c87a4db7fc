// All versions of all keys of a node (DESIGN.md 7): the latest in the engine, history in runs in the order of time, and
// a write buffer before both, which every read looks through. It knows no range, no log and no clock; callers apply
// entries in order, refuse instants below the collection threshold, and stop at a failed flush.
//
// Invariants: a row is stored under 'd' or under 't', never both; what the buffer holds is newer than what the frozen
// buffer holds, and that is newer than the engine's; timestamps of one key never descend.

import { assert, must } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import { startAnew } from '../base/remedies.ts'
import type { Index, Keyspace, RangeId } from '../base/ids.ts'
import { DamageError, type Engine, type EngineBatchOperation, type EngineKey } from '../engine/engine.ts'
import { type Timestamp, timestampMax, timestampZero } from '../time/timestamp.ts'
import { BatchWriter } from './batch-writer.ts'
import { collectBelow } from './collection.ts'
import { emptyProblem } from './empty-engine.ts'
import {
  decodeRow,
  encodeRow,
  encodeRunId,
  latestPrefix,
  localKey,
  markerPrefix,
  prefixSpan,
  rowSpan,
  runBoundsPrefix,
  runPrefix,
  type Source,
  tombstonePrefix,
} from './engine-keys.ts'
import { type LiveRun, encodeRunBounds } from './history-run.ts'
import { decodeStored, type KeyRecord, latestRecord, toRecord } from './key-record.ts'
import { checkMarkers, firstMarker, firstMarkerOperations } from './marker.ts'
import { ReadView } from './read-view.ts'
import {
  type HistoryPage,
  type HistoryRequest,
  type IsWanted,
  type ScanPage,
  type ScanRequest,
  type VisitOptions,
  checkWanted,
} from './read-requests.ts'
import { OrderTurns, mustOrder, noRows } from './row-order.ts'
import { type Place, RowTable } from './row-table.ts'
import { RunIndex } from './run-index.ts'
import { SharedTurns } from './shared-turns.ts'
import { type Effect, type Latest, type NewVersion, type Version, readLatest, readVersion } from './version.ts'
import { WriteBuffer, storedAs } from './write-buffer.ts'

export type { Source } from './engine-keys.ts'
export type { KeyRecord } from './key-record.ts'
export type { Effect } from './version.ts'

export type OpenResult =
  | { readonly kind: 'opened'; readonly store: VersionStore; readonly recordedFlush: number }
  | { readonly kind: 'damaged'; readonly message: string }

/** Some 160,000 rows with values of 256 bytes. */
export const rowCacheBytesDefault = 64 * 1024 * 1024

export interface VersionStoreOptions {
  /** Lets everything else run for a moment; asked between slices of long work. */
  readonly yieldNow: () => Promise<void>
  readonly cacheBytesMax?: number
  /** A secret of this process, below 2^32: see hashOf. */
  readonly hashSeed?: number
  /** Whose engine this is: another's is refused. */
  readonly owner?: string
  /** The node has been in this engine before: an empty one has lost everything. */
  readonly mustExist?: boolean
}

type BatchWrite = (operations: readonly EngineBatchOperation[]) => Promise<void>

/** 20,000 operations at once block the event loop (DESIGN.md 7). */
const sliceOperations = 2_000
const noValue = new Uint8Array(0)

export class VersionStore {
  readonly #engine: Engine
  readonly #yieldNow: () => Promise<void>
  readonly #turns: SharedTurns
  readonly #orderTurns: OrderTurns
  readonly #rows: RowTable
  readonly #runs: RunIndex
  readonly #writer: BatchWriter
  readonly #lastStored = (source: Source): number =>
    Math.max(this.#frozen?.lastIndex(source) ?? 0, this.#runs.lastIndex(source))
  readonly #onFullRun = (run: LiveRun): void =>
    this.#engine.stage(runPrefix + encodeRunId(run.source, run.firstIndex), run.encode())
  #live: WriteBuffer
  /** On its way into the engine, and read through until it is there. */
  #frozen: WriteBuffer | undefined
  #newestStamp: Timestamp = timestampZero
  /** Odd while stored state is being replaced. */
  #installs = 0

  private constructor(engine: Engine, options: VersionStoreOptions, writer: BatchWriter) {
    this.#engine = engine
    this.#yieldNow = options.yieldNow
    this.#turns = new SharedTurns(options.yieldNow)
    this.#orderTurns = new OrderTurns(options.yieldNow)
    this.#rows = new RowTable(options.cacheBytesMax ?? rowCacheBytesDefault, options.hashSeed)
    this.#live = new WriteBuffer(1, this.#rows, this.#onFullRun)
    this.#runs = new RunIndex(engine)
    this.#writer = writer
  }

  static async open(engine: Engine, options: VersionStoreOptions): Promise<OpenResult> {
    const owner = options.owner ?? ''
    const state = checkMarkers(await engine.read(prefixSpan(markerPrefix), { limit: 16 }), owner)
    if (state.kind === 'damaged') return damaged(state.message)
    if (state.kind === 'none') {
      const problem = await emptyProblem(engine, options.mustExist ?? false)
      if (problem !== undefined) return damaged(problem)
      await engine.write(firstMarkerOperations(owner))
    }
    const { number, recordedFlush } = state.kind === 'whole' ? state : { number: firstMarker, recordedFlush: 0 }
    const store = new VersionStore(engine, options, new BatchWriter(engine, owner, number, recordedFlush))
    try {
      await store.#loadRuns()
    } catch (error) {
      if (error instanceof DamageError) return damaged(error.message)
      throw error
    }
    return { kind: 'opened', store, recordedFlush }
  }

  get dirtyBytes(): number {
    return this.#live.bytes
  }

  /** What a flush has yet to write of it: rows as they are then, without what they were and the history. */
  get dirtyRowBytes(): number {
    return this.#live.rowBytes
  }

  get isDirty(): boolean {
    return this.#live.size > 0
  }

  /** The living latest version. Throws DamageError. */
  get(keyspace: Keyspace, key: Uint8Array): KeyRecord | undefined {
    const place = this.#place(keyspace, key)
    const latest = place === undefined ? this.#fetch(keyspace, key) : this.#rows.latest(place)
    return latest === undefined || latest.deleted ? undefined : latestRecord(latest, key)
  }

  /** The keys are read or written next, all of them: see RowTable. */
  warm(keyspace: Keyspace, keys: readonly Uint8Array[]): void {
    this.#rows.warm(keyspace, keys)
  }

  /** What lived at the instant. Throws DamageError. */
  async getAt(keyspace: Keyspace, key: Uint8Array, at: Timestamp, isWanted?: IsWanted): Promise<KeyRecord | undefined> {
    const installs = this.#installs
    const visible = await this.#visible(this.#latest(keyspace, key), at, isWanted)
    this.#checkInstalls(installs)
    return visible === undefined || visible.deleted ? undefined : toRecord(visible, key)
  }

  /** Newest first, deletions included, as far back as history was kept. */
  async history(keyspace: Keyspace, key: Uint8Array, request: HistoryRequest): Promise<HistoryPage> {
    const { before, limit, bytesMax, isWanted } = request
    const installs = this.#installs
    const items: KeyRecord[] = []
    let bytes = 0
    const latest = this.#latest(keyspace, key)
    // Not through all that is newer, one by one: every page of a long history would go that way again.
    let version: Version | null | undefined =
      latest !== undefined && latest.timestamp >= before
        ? await this.#visible(latest, (before - 1) as Timestamp, isWanted)
        : latest
    while (version && items.length < limit && (bytes < bytesMax || items.length === 0)) {
      const record = toRecord(version)
      items.push(record)
      bytes += record.value.length
      while (this.#turns.isOver) {
        await this.#turns.next()
        checkWanted(isWanted)
      }
      version = this.#before(version, timestampMax)
    }
    this.#checkInstalls(installs)
    return { items, more: version != null }
  }

  /** Every row of a keyspace, its tombstones too, as of this tick. Whoever asks closes it. */
  viewOf(keyspace: Keyspace): ReadView {
    return this.#view({ keyspace, start: noValue, end: noValue, at: timestampZero, limit: 500, reverse: false })
  }

  async scan(request: ScanRequest): Promise<ScanPage> {
    const items: KeyRecord[] = []
    const resume = await this.visit(request, version => {
      const record = toRecord(version)
      items.push(request.keysOnly ? { ...record, value: noValue } : record)
    })
    return { items, resume }
  }

  /** As `scan`, with each version as it is found, instead of a page of them; returns where to go on. */
  async visit(
    request: ScanRequest,
    onVersion: (version: Version) => void,
    { isEnough, isWanted }: VisitOptions = {},
  ): Promise<ScanPage['resume']> {
    const { at, limit, bytesMax, reverse, keysOnly } = request
    const installs = this.#installs
    while (mustOrder(this.#live, this.#frozen)) await this.#orderTurns.next(this.#live, this.#frozen)
    const view = this.#view(request)
    let bytes = 0
    let count = 0
    let lastRow = ''
    try {
      for (let steps = 1; ; steps++) {
        if (view.needsFill) await view.fill()
        else if (steps % sliceOperations === 0) await this.#yieldNow()
        checkWanted(isWanted)
        const latest = view.next()
        this.#checkInstalls(installs)
        if (latest === undefined) return undefined
        const visible = latest.timestamp <= at ? latest : await this.#visible(latest, at, isWanted)
        if (visible === undefined || visible.deleted) continue
        // Decided by living keys alone: what replicas have collected or flushed must not show.
        if (count >= limit || (bytes >= bytesMax && count > 0) || isEnough?.() === true)
          return decodeRow(reverse && count > 0 ? lastRow : visible.row)
        onVersion(visible)
        lastRow = visible.row
        bytes += visible.row.length - 1 + (keysOnly ? 0 : visible.record.length - visible.valueOffset)
        count++
      }
    } finally {
      await view.close()
    }
  }

  /** Living keys of the present, for commands that remove a span. */
  async rangeKeys(
    keyspace: Keyspace,
    start: Uint8Array,
    end: Uint8Array,
    limit: number,
    bytesMax: number,
  ): Promise<{
    readonly keys: readonly Uint8Array[]
    readonly resume: Uint8Array | undefined
  }> {
    const page = await this.scan({
      keyspace,
      start,
      end,
      at: timestampMax,
      limit,
      bytesMax,
      reverse: false,
      keysOnly: false,
    })
    return { keys: page.items.map(item => item.key), resume: page.resume }
  }

  put(
    source: Source,
    index: Index,
    keyspace: Keyspace,
    key: Uint8Array,
    value: Uint8Array,
    timestamp: Timestamp,
  ): Effect {
    const place = this.#place(keyspace, key)
    const latest = place === undefined ? this.#readLatest(keyspace, key) : this.#rows.latest(place)
    const alive = latest !== undefined && !latest.deleted ? latest : undefined
    const created = alive?.created ?? timestamp
    const version = (alive?.version ?? 0) + 1
    const put = { keyspace, key, source, index, timestamp, created, version, deleted: false, value, before: latest }
    const crc = this.#push(put, place)
    const bytesBefore = alive === undefined ? 0 : key.length + alive.end - alive.valueOffset
    return { crc, version, wasAlive: alive !== undefined, bytesDelta: key.length + value.length - bytesBefore }
  }

  /** undefined: the key did not live, and nothing was written. */
  delete(source: Source, index: Index, keyspace: Keyspace, key: Uint8Array, timestamp: Timestamp): Effect | undefined {
    const place = this.#place(keyspace, key)
    const latest = place === undefined ? this.#readLatest(keyspace, key) : this.#rows.latest(place)
    if (latest === undefined || latest.deleted) return undefined
    const deletion = { source, index, timestamp, created: timestamp, version: 0, deleted: true, value: noValue }
    const crc = this.#push({ keyspace, key, ...deletion, before: latest }, place)
    return { crc, version: 0, wasAlive: true, bytesDelta: -(key.length + latest.end - latest.valueOffset) }
  }

  /** What was applied since the last flush never reaches the engine. Within a flush's `betweenEntries` alone. */
  discardBuffer(): void {
    this.#rows.clear()
    this.#live = new WriteBuffer(this.#live.number + 1, this.#rows, this.#onFullRun)
    this.#engine.dropStaged()
  }

  /**
   * One synced batch with everything applied so far. `extra` is asked in the tick in which the buffer is frozen, which
   * must lie between two entries. A failure is for ever.
   */
  flush(
    recordedLogFlush: number,
    extra: () => readonly EngineBatchOperation[],
    betweenEntries: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    return this.#writer.exclusive(async () => {
      await betweenEntries()
      const frozen = this.#live
      this.#live = new WriteBuffer(frozen.number + 1, this.#rows, this.#onFullRun)
      frozen.isFrozen = true
      this.#frozen = frozen
      const operations: EngineBatchOperation[] = [...extra()]
      this.#writer.recordedFlush = recordedLogFlush
      await this.#gather(frozen, operations)
      await this.#writer.write(operations)
      this.#settle(frozen)
    })
  }

  /** Removes history and tombstones that no instant at or past `threshold` needs; returns how many records. */
  collect(threshold: Timestamp): Promise<number> {
    const context = { engine: this.#engine, runs: this.#runs, rows: this.#rows, writer: this.#writer }
    return collectBelow({ ...context, yieldNow: this.#yieldNow }, threshold)
  }

  /** A range-local record as last flushed. */
  readLocal(rangeId: RangeId, name: string): Uint8Array | undefined {
    return this.#engine.get(localKey(rangeId, name))
  }

  localKey(rangeId: RangeId, name: string): EngineKey {
    return localKey(rangeId, name)
  }

  async listLocal(
    rangeId: RangeId,
    prefix: string,
  ): Promise<readonly { readonly name: string; readonly value: Uint8Array }[]> {
    const nameOffset = localKey(rangeId, '').length
    const span = prefixSpan(localKey(rangeId, prefix))
    const pairs = await this.#engine.read(span, { limit: Number.MAX_SAFE_INTEGER })
    return pairs.map(({ key, value }) => ({ name: key.slice(nameOffset), value }))
  }

  /**
   * Replaces stored state: drops buffer and caches, lets `work` write, and reads anew what history there is. The caller
   * keeps entries away until it resolves; reads are refused, those under way included.
   */
  install(work: (write: BatchWrite) => Promise<void>): Promise<void> {
    return this.#writer.exclusive(async () => {
      // Stays odd, and reads refused, when `work` fails: what is stored then is half of each.
      if (this.#installs % 2 === 0) this.#installs++
      this.discardBuffer()
      this.#runs.clear()
      await work(operations => this.#writer.write(operations))
      await this.#loadRuns()
      this.#installs++
    })
  }

  async #loadRuns(): Promise<void> {
    await this.#runs.load()
    this.#newestStamp = this.#runs.newestStamp
  }

  /** `place`: where the row's newest is in memory. Returns the checksum over what all replicas agree on. */
  #push(put: NewVersion, place: Place | undefined): number {
    const { index, timestamp, before: latest } = put
    assert(latest === undefined || timestamp >= latest.timestamp, 'timestamps of one key never descend')
    // Two writes of one key at one instant, in one entry: the first is never visible, and a chain has one way back.
    const replaces = latest !== undefined && latest.timestamp === timestamp && latest.index === index
    const previous = replaces ? this.#replacedBy(put, must(place)) : latest
    this.#live.record(put, previous, this.#lastStored)
    if (timestamp > this.#newestStamp) this.#newestStamp = timestamp
    return this.#live.put(put, place, storedAs(latest))
  }

  /** What the version at `place`, of the same entry as `put`, had replaced. */
  #replacedBy({ keyspace, key }: NewVersion, place: Place): Latest | undefined {
    const previous = this.#live.previous(this.#rows.version(encodeRow(keyspace, key), place))
    return previous ? readLatest(previous.record, 0, previous.record.length) : undefined
  }

  #place(keyspace: Keyspace, key: Uint8Array): Place | undefined {
    if (this.#installs % 2 === 1) this.#checkInstalls(this.#installs)
    return this.#rows.get(keyspace, key)
  }

  #latest(keyspace: Keyspace, key: Uint8Array): Version | undefined {
    const place = this.#place(keyspace, key)
    const latest = place === undefined ? this.#fetch(keyspace, key) : this.#rows.latest(place)
    return latest && readVersion(encodeRow(keyspace, key), latest.bytes.subarray(latest.start, latest.end))
  }

  /** Of a row that is not in memory, where it is from now on: it may be read again. */
  #fetch(keyspace: Keyspace, key: Uint8Array): Latest | undefined {
    const latest = this.#readLatest(keyspace, key)
    if (latest !== undefined) this.#rows.maybeAddStored(keyspace, key, latest.bytes)
    return latest
  }

  /** Of a row that is not in memory. */
  #readLatest(keyspace: Keyspace, key: Uint8Array): Latest | undefined {
    const row = encodeRow(keyspace, key)
    for (const prefix of [latestPrefix, tombstonePrefix]) {
      const stored = this.#engine.get(prefix + row)
      if (stored === undefined) continue
      const { record } = decodeStored(prefix + row, stored)
      return readLatest(record, 0, record.length)
    }
    return undefined
  }

  /** What `version` replaced, or a version before that which is still after `at`, or the first that is not. */
  #before(version: Version, at: Timestamp): Version | null {
    let before = this.#live.previous(version)
    if (before === undefined) before = this.#frozen?.previous(version)
    const spent = this.#runs.spent
    if (before === undefined) before = this.#runs.before(version, at)
    this.#turns.spend(Math.max(1, this.#runs.spent - spent))
    return before
  }

  async #visible(
    latest: Version | undefined,
    at: Timestamp,
    isWanted: IsWanted | undefined,
  ): Promise<Version | undefined> {
    let version: Version | null | undefined = latest
    while (version && version.timestamp > at) {
      // Asked again in the same breath: others may have been first to use up the next turn.
      while (this.#turns.isOver) {
        await this.#turns.next()
        checkWanted(isWanted)
      }
      version = this.#before(version, at)
    }
    return version ?? undefined
  }

  #view(request: Omit<ScanRequest, 'bytesMax' | 'keysOnly'>): ReadView {
    const { keyspace, start, end, at, limit, reverse } = request
    const span = rowSpan(keyspace, start, end)
    const buffered = [this.#live.inSpan(span), this.#frozen?.inSpan(span) ?? noRows] as const
    const withTombstones = at < this.#newestStamp
    return new ReadView(this.#engine, this.#rows.pin(), buffered, {
      span,
      reverse,
      withTombstones,
      rowsHint: limit + 1,
    })
  }

  #checkInstalls(before: number): void {
    if (before !== this.#installs || before % 2 === 1)
      throw new KvError('unavailable', 'the state was replaced by a snapshot while it was read')
  }

  async #gather(frozen: WriteBuffer, operations: EngineBatchOperation[]): Promise<void> {
    let sliceEnd = operations.length + sliceOperations
    for (let position = 0; position < frozen.size; position++) {
      const version = frozen.version(position)
      const own = version.deleted ? tombstonePrefix : latestPrefix
      const other = version.deleted ? latestPrefix : tombstonePrefix
      const stored = frozen.stored(position)
      const replacesSmall = stored !== 'large latest'
      operations.push({ key: own + version.row, value: version.record, replacesSmall })
      const isOtherStored = stored !== 'nothing' && (stored === 'tombstone') !== version.deleted
      if (isOtherStored) operations.push({ key: other + version.row, value: undefined, replacesSmall })
      if (operations.length < sliceEnd) continue
      sliceEnd += sliceOperations
      await this.#yieldNow()
    }
    for (const run of frozen.runs) {
      const id = encodeRunId(run.source, run.firstIndex)
      operations.push(
        { key: runPrefix + id, value: run.encode() },
        { key: runBoundsPrefix + id, value: encodeRunBounds(run) },
      )
      await this.#yieldNow()
    }
  }

  /** The frozen buffer is in the engine: its runs are found there from now on, and its rows may go. */
  #settle(frozen: WriteBuffer): void {
    for (const { source, firstIndex, lastIndex, lastStamp, outlineStart, outlineEnd } of frozen.runs)
      this.#runs.add(source, { firstIndex, lastIndex, lastStamp, outlineStart, outlineEnd })
    this.#rows.settle(frozen.number)
    this.#frozen = undefined
  }
}

function damaged(what: string): OpenResult {
  return { kind: 'damaged', message: `${what}. ${startAnew}` }
}
