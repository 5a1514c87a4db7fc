// One replica's part of the log: its HardState, its truncation point and the index of its entries. It answers from
// memory what is not on disk yet. Knows no flush: it queues records, and is told when one is durable and where it
// stands.
//
// Invariants: slots are (truncatedIndex, lastIndex]; each durable slot, the newest durable HardState and the
// newest durable truncation point hold their segment; a copy written by `rewriteFrom` carries what is true when it
// is queued.

import { type Index, type RangeId, type ReplicaId, type Term, asIndex, asTerm } from '../base/ids.ts'
import { assert, must } from '../base/assert.ts'
import type { Entry, HardState } from '../raft/types.ts'
import type { EntryCache, Slot } from './entry-cache.ts'
import type { ReplicaLog } from './log.ts'
import { type RecordContent, type RecordKind, encodedBytes, entryHeaderBytes } from './record.ts'
import { ReplicaSlots } from './replica-slots.ts'
import type { RecordPlace, Segment, SegmentHolder } from './segment.ts'

export interface PendingRecord {
  readonly content: RecordContent
  readonly bytes: number
  readonly owner: RecordOwner | undefined
  /** entries: one each, in the same order. */
  readonly slots: readonly Slot[]
}

export interface RecordOwner {
  recordDurable(record: PendingRecord, place: RecordPlace): void
}

/** What replicas share. */
export interface ReplicaHost {
  readonly cache: EntryCache
  queue(record: PendingRecord): void
  removed(replica: DurableReplica): void
  /** The first record of this replica is durable: what told of the ones before it is not needed any more. */
  begun(replica: DurableReplica): void
}

export interface ReplicaStart {
  readonly hardState: HardState
  readonly hardStatePlace: RecordPlace | undefined
  readonly truncatedIndex: number
  readonly truncatedTerm: number
  readonly truncationPlace: RecordPlace | undefined
  readonly slots: Slot[]
}

/** What a HardState or a truncation point is taken to hold. */
export const smallRecordBytes = 64
/** A copied record carries about this much at most. */
const rewriteRecordBytes = 256 * 1024

export function slotBytes(slot: Slot): number {
  return entryHeaderBytes + slot.bytes
}

export class DurableReplica implements ReplicaLog, RecordOwner, SegmentHolder {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly #host: ReplicaHost
  readonly #slots: ReplicaSlots
  #hardState: HardState
  #hardStatePlace: RecordPlace | undefined
  #truncatedTerm: Term
  #truncationPlace: RecordPlace | undefined
  #truncationWanted = 0
  #settledApplied = 0
  #begun: boolean
  #removed = false

  constructor(rangeId: RangeId, replicaId: ReplicaId, host: ReplicaHost, start: ReplicaStart) {
    this.rangeId = rangeId
    this.replicaId = replicaId
    this.#host = host
    this.#slots = new ReplicaSlots(start.truncatedIndex + 1, start.slots)
    this.#hardState = start.hardState
    this.#hardStatePlace = start.hardStatePlace
    this.#truncatedTerm = asTerm(start.truncatedTerm)
    this.#truncationPlace = start.truncationPlace
    this.#begun = start.hardStatePlace !== undefined || start.truncationPlace !== undefined || start.slots.length > 0
    start.hardStatePlace?.segment.hold(this, smallRecordBytes)
    start.truncationPlace?.segment.hold(this, smallRecordBytes)
    for (const slot of start.slots) slot.place?.segment.hold(this, slotBytes(slot))
  }

  get truncatedIndex(): Index {
    return asIndex(this.#slots.first - 1)
  }

  get lastIndex(): Index {
    return asIndex(this.#slots.end - 1)
  }

  get hardState(): HardState {
    return this.#hardState
  }

  term(index: Index): Term | undefined {
    return index === this.truncatedIndex ? this.#truncatedTerm : this.#slots.at(index)?.term
  }

  entries(from: Index, toExclusive: Index, bytesMax: number): readonly Entry[] {
    assert(from > this.truncatedIndex && toExclusive <= this.lastIndex + 1, 'entries are read where the log holds them')
    const entries: Entry[] = []
    let bytes = 0
    let place: RecordPlace | undefined
    let record: Buffer | undefined
    for (let index: number = from; index < toExclusive; index++) {
      const slot = must(this.#slots.at(index))
      bytes += slot.bytes
      if (bytes > bytesMax && entries.length > 0) break
      if (slot.entry !== undefined) {
        entries.push(slot.entry)
        continue
      }
      // A record often holds several of the entries asked for: it is read and verified once.
      if (record === undefined || place !== slot.place) {
        place = must(slot.place, 'an entry is in memory or on disk')
        record = place.segment.readRecord(place)
      }
      const data = record.subarray(slot.at, slot.at + slot.bytes)
      entries.push({ term: slot.term, index: slot.index, kind: slot.kind, data })
    }
    return entries
  }

  append(entries: readonly Entry[], hardState: HardState | undefined): void {
    assert(!this.#removed, 'nothing is appended to a removed replica')
    if (hardState !== undefined) this.#hardState = hardState
    const first = entries[0]
    if (first === undefined) {
      if (hardState !== undefined) this.#queue('hard-state', { hardState })
      return
    }
    assert(first.index > this.truncatedIndex && first.index <= this.lastIndex + 1, 'entries join what the log holds')
    for (const slot of this.#slots.dropFrom(first.index)) this.#drop(slot)
    const slots = entries.map(createSlot)
    for (const slot of slots) {
      this.#slots.push(slot)
      this.#host.cache.add(slot)
    }
    this.#queue('entries', { hardState, entries }, slots)
  }

  truncateTo(index: Index): void {
    assert(!this.#removed && index <= this.lastIndex, 'truncation stays inside the log')
    if (index > this.#truncationWanted) this.#truncationWanted = index
    this.#maybeTruncate()
  }

  /** `applied` is below the engine flush before the last: should the last be missing after a crash, it is still there. */
  settledTo(applied: Index): void {
    if (applied > this.#settledApplied) this.#settledApplied = applied
    this.#maybeTruncate()
  }

  reset(index: Index, term: Term): void {
    assert(!this.#removed, 'a removed replica is not reset')
    assert(index >= this.truncatedIndex, 'a snapshot is not older than the truncation point')
    const kept = this.term(index) === term
    if (kept) {
      for (const slot of this.#slots.dropBelow(index + 1)) this.#drop(slot)
    } else {
      for (const slot of this.#slots.dropFrom(0)) this.#drop(slot)
      this.#slots.restart(index + 1)
    }
    this.#truncatedTerm = term
    this.#queue('reset', { index, term, kept })
  }

  remove(): void {
    if (this.#removed) return
    this.#removed = true
    for (const slot of this.#slots.dropFrom(0)) this.#drop(slot)
    this.#hardStatePlace?.segment.release(this, smallRecordBytes)
    this.#truncationPlace?.segment.release(this, smallRecordBytes)
    this.#hardStatePlace = undefined
    this.#truncationPlace = undefined
    this.#host.removed(this)
  }

  recordDurable(record: PendingRecord, place: RecordPlace): void {
    if (this.#removed) return
    if (!this.#begun) {
      this.#begun = true
      this.#host.begun(this)
    }
    const { content, slots } = record
    if (content.hardState !== undefined) {
      this.#hardStatePlace?.segment.release(this, smallRecordBytes)
      place.segment.hold(this, smallRecordBytes)
      this.#hardStatePlace = place
    }
    if (content.kind === 'truncation' || content.kind === 'reset') {
      this.#truncationPlace?.segment.release(this, smallRecordBytes)
      place.segment.hold(this, smallRecordBytes)
      this.#truncationPlace = place
    }
    // Entries stand at the end of their record.
    let at = record.bytes
    for (let i = slots.length - 1; i >= 0; i--) {
      const slot = must(slots[i])
      at -= slot.bytes
      if (!slot.dropped) {
        slot.place?.segment.release(this, slotBytes(slot))
        slot.place = place
        slot.at = at
        place.segment.hold(this, slotBytes(slot))
      }
      at -= entryHeaderBytes
    }
  }

  rewriteFrom(segment: Segment, bytesMax: number): number {
    let bytes = 0
    if (this.#hardStatePlace?.segment === segment) {
      bytes += this.#queue('hard-state', { hardState: this.#hardState, rewrite: true })
    }
    if (this.#truncationPlace?.segment === segment) {
      const point = { index: this.truncatedIndex, term: this.#truncatedTerm }
      bytes += this.#queue('truncation', { ...point, rewrite: true })
    }
    for (let index = this.#slots.first; index < this.#slots.end && bytes < bytesMax; index++) {
      if (this.#slots.at(index)?.place?.segment !== segment) continue
      const from = index
      let run = 0
      for (; run < rewriteRecordBytes && this.#slots.at(index)?.place?.segment === segment; index++) {
        run += slotBytes(must(this.#slots.at(index)))
      }
      const slots: Slot[] = []
      for (let i = from; i < index; i++) slots.push(must(this.#slots.at(i)))
      const entries = this.entries(asIndex(from), asIndex(index), Number.POSITIVE_INFINITY)
      bytes += this.#queue('entries', { entries, rewrite: true }, slots)
      index--
    }
    return bytes
  }

  #maybeTruncate(): void {
    const index = asIndex(Math.min(this.#truncationWanted, this.#settledApplied, this.lastIndex))
    if (this.#removed || index <= this.truncatedIndex) return
    const term = must(this.term(index))
    for (const slot of this.#slots.dropBelow(index + 1)) this.#drop(slot)
    this.#truncatedTerm = term
    this.#queue('truncation', { index, term })
  }

  #drop(slot: Slot): void {
    slot.place?.segment.release(this, slotBytes(slot))
    slot.place = undefined
    slot.dropped = true
    this.#host.cache.drop(slot)
  }

  #queue(kind: RecordKind, fields: RecordFields, slots: readonly Slot[] = []): number {
    const content = recordContent(kind, this.rangeId, this.replicaId, fields)
    const bytes = encodedBytes(content)
    this.#host.queue({ content, bytes, owner: this, slots })
    return bytes
  }
}

type RecordFields = { readonly [Field in keyof RecordContent]?: RecordContent[Field] | undefined }

export function recordContent(
  kind: RecordKind,
  rangeId: number,
  replicaId: number,
  fields: RecordFields = {},
): RecordContent {
  return {
    kind,
    rangeId,
    replicaId,
    rewrite: fields.rewrite ?? false,
    hardState: fields.hardState,
    entries: fields.entries ?? [],
    index: fields.index ?? 0,
    term: fields.term ?? 0,
    kept: fields.kept ?? false,
  }
}

function createSlot(entry: Entry): Slot {
  return {
    term: entry.term,
    index: entry.index,
    kind: entry.kind,
    bytes: entry.data.byteLength,
    place: undefined,
    at: 0,
    entry,
    dropped: false,
  }
}
