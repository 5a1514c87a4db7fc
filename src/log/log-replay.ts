// Rebuilds every replica's part of the log from its records, oldest first. Knows no file and judges no checksum.
//
// Segments go oldest first, so what is missing is always a prefix of the records: a replay may meet entries with a
// gap below them that a later copy (`rewrite`) fills. Hence slots are kept sparse, a copy truncates nothing, and a
// reset says itself whether it kept the suffix. A copy was queued with what was true then, so taking records in
// order is all it needs to yield to later ones.

import { type RangeId, type ReplicaId, asIndex, asRangeId, asReplicaId, asTerm, noReplica } from '../base/ids.ts'
import type { HardState } from '../raft/types.ts'
import type { Slot } from './entry-cache.ts'
import type { DecodedRecord } from './record.ts'
import type { ReplicaStart } from './replica-log.ts'
import type { RecordPlace } from './segment.ts'

export const initialHardState: HardState = { term: asTerm(0), vote: noReplica, commit: asIndex(0) }

export interface ReplayedReplica {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly start: ReplicaStart
}

export interface ReplayedTombstone {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly place: RecordPlace
}

interface ReplicaPicture {
  readonly replicaId: number
  hardState: HardState
  hardStatePlace: RecordPlace | undefined
  index: number
  term: number
  truncationPlace: RecordPlace | undefined
  /** No slot is past it. */
  last: number
  readonly slots: Map<number, Slot>
}

export class LogReplay {
  readonly #replicas = new Map<number, ReplicaPicture>()
  readonly #tombstones = new Map<number, { replicaId: number; place: RecordPlace }>()

  apply(record: DecodedRecord, place: RecordPlace): void {
    if (record.kind === 'seal') return
    const { rangeId, replicaId } = record
    if (record.kind === 'tombstone') {
      const live = this.#replicas.get(rangeId)
      if (live !== undefined && live.replicaId <= replicaId) this.#replicas.delete(rangeId)
      if (replicaId >= (this.#tombstones.get(rangeId)?.replicaId ?? 0))
        this.#tombstones.set(rangeId, { replicaId, place })
      return
    }
    const replica = this.#replica(rangeId, replicaId)
    if (replica === undefined) return
    if (record.hardState !== undefined) {
      replica.hardState = record.hardState
      replica.hardStatePlace = place
    }
    if (record.kind === 'entries') setEntries(replica, record, place)
    if (record.kind === 'truncation' || record.kind === 'reset') setTruncation(replica, record, place)
  }

  rangeIds(): readonly RangeId[] {
    return [...this.#replicas.keys()].map(asRangeId)
  }

  /** Every replica, or the one whose entries do not join up. */
  replicas(): readonly ReplayedReplica[] | { readonly gapIn: RangeId; readonly index: number } {
    const replayed: ReplayedReplica[] = []
    for (const [id, picture] of this.#replicas) {
      const { replicaId, index, term, slots: sparse, last: _, ...rest } = picture
      const slots: Slot[] = []
      for (let next = index + 1; slots.length < sparse.size; next++) {
        const slot = sparse.get(next)
        if (slot === undefined) return { gapIn: asRangeId(id), index: next }
        slots.push(slot)
      }
      const start = { ...rest, truncatedIndex: index, truncatedTerm: term, slots }
      replayed.push({ rangeId: asRangeId(id), replicaId: asReplicaId(replicaId), start })
    }
    return replayed
  }

  tombstones(): readonly ReplayedTombstone[] {
    return [...this.#tombstones]
      .filter(([rangeId, { replicaId }]) => (this.#replicas.get(rangeId)?.replicaId ?? 0) <= replicaId)
      .map(([rangeId, { replicaId, place }]) => ({
        rangeId: asRangeId(rangeId),
        replicaId: asReplicaId(replicaId),
        place,
      }))
  }

  /** undefined: the record's replica was removed, or a later one has taken its place. */
  #replica(rangeId: number, replicaId: number): ReplicaPicture | undefined {
    const found = this.#replicas.get(rangeId)
    if (found?.replicaId === replicaId) return found
    if (replicaId <= Math.max(found?.replicaId ?? 0, this.#tombstones.get(rangeId)?.replicaId ?? 0)) return undefined
    const created: ReplicaPicture = {
      replicaId,
      hardState: initialHardState,
      hardStatePlace: undefined,
      index: 0,
      term: 0,
      truncationPlace: undefined,
      last: 0,
      slots: new Map(),
    }
    this.#replicas.set(rangeId, created)
    return created
  }
}

function setEntries(replica: ReplicaPicture, record: DecodedRecord, place: RecordPlace): void {
  const { slots } = replica
  const first = record.entries[0]?.index
  if (first === undefined) return
  if (!record.rewrite) {
    for (let index = first; index <= replica.last; index++) slots.delete(index)
    replica.last = 0
  }
  for (const { term, index, kind, bytes, at } of record.entries) {
    slots.set(index, { term, index, kind, bytes, place, at, entry: undefined, dropped: false })
    if (index > replica.last) replica.last = index
  }
}

function setTruncation(replica: ReplicaPicture, record: DecodedRecord, place: RecordPlace): void {
  const { slots } = replica
  if (record.kind === 'reset' && !record.kept) slots.clear()
  // Step by step where entries follow the old point closely; key by key where a reset jumped.
  if (record.index - replica.index < slots.size) {
    for (let index = replica.index + 1; index <= record.index; index++) slots.delete(index)
  } else {
    for (const index of slots.keys()) if (index <= record.index) slots.delete(index)
  }
  replica.index = record.index
  replica.term = record.term
  replica.truncationPlace = place
}
