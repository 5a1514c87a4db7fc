// Remembers that a replica was removed, so that it is never made again: the highest id of its range, until a later
// replica's first record is durable (that one's id tells as much). Segments go oldest first, so it outlives every
// record it voids.

import type { RangeId, ReplicaId } from '../base/ids.ts'
import {
  type PendingRecord,
  type RecordOwner,
  type ReplicaHost,
  recordContent,
  smallRecordBytes,
} from './replica-log.ts'
import { recordHeaderBytes } from './record.ts'
import type { RecordPlace, Segment, SegmentHolder } from './segment.ts'

export class Tombstone implements RecordOwner, SegmentHolder {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly #host: Pick<ReplicaHost, 'queue'>
  #place: RecordPlace | undefined
  #dropped = false

  constructor(
    rangeId: RangeId,
    replicaId: ReplicaId,
    host: Pick<ReplicaHost, 'queue'>,
    place: RecordPlace | undefined,
  ) {
    this.rangeId = rangeId
    this.replicaId = replicaId
    this.#host = host
    this.#place = place
    place?.segment.hold(this, smallRecordBytes)
  }

  /** Queues the record. */
  write(rewrite = false): number {
    const content = recordContent('tombstone', this.rangeId, this.replicaId, { rewrite })
    this.#host.queue({ content, bytes: recordHeaderBytes, owner: this, slots: [] })
    return recordHeaderBytes
  }

  recordDurable(_record: PendingRecord, place: RecordPlace): void {
    if (this.#dropped) return
    this.#place?.segment.release(this, smallRecordBytes)
    place.segment.hold(this, smallRecordBytes)
    this.#place = place
  }

  rewriteFrom(segment: Segment): number {
    return this.#place?.segment === segment ? this.write(true) : 0
  }

  drop(): void {
    this.#place?.segment.release(this, smallRecordBytes)
    this.#place = undefined
    this.#dropped = true
  }
}
