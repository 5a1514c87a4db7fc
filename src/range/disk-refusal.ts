// What a leader refuses for want of room on disks: its own, or those of so many voters that no quorum could take it. A write
// that could only hang is refused at once, and by name.

import { addsData } from '../base/key-operations.ts'
import type { NodeId, ReplicaId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import type { Configuration, ProgressStatus, RaftStatus } from '../raft/types.ts'
import type { DiskBand } from '../transport/transport.ts'
import { type Refusal, transferQueue } from './local-store.ts'

export interface DiskView {
  readonly own: DiskBand
  /** Somebody's is not `ok`: only then need anybody be asked about. */
  readonly isShort: boolean
  /** Who is not heard has no known want of room. */
  of(node: NodeId): DiskBand
  /** A flush that met a full disk would end the node; put off, reads go on. The engine writes it twice: log and table. */
  hasRoomFor(bytes: number): Promise<boolean>
}

/** What a write asks of a disk. One without any operation, by which a read closes an instant, asks for next to nothing. */
type Need = 'data' | 'room' | 'nothing'

export function diskRefusal(
  disks: Omit<DiskView, 'hasRoomFor'>,
  replica: { status(): RaftStatus; nodeOf(replica: ReplicaId): NodeId | undefined },
  { writes }: quorate.v1.IWriteBatch,
  isInternal: boolean,
): Refusal | undefined {
  if (!disks.isShort) return undefined
  const status = replica.status()
  const nodeOf = (id: ReplicaId): NodeId | undefined => replica.nodeOf(id)
  const need: Need = writes?.length ? (!isInternal && writes.some(addsData) ? 'data' : 'room') : 'nothing'
  const bandOf = (id: ReplicaId): DiskBand => {
    if (id === status.id) return disks.own
    const node = nodeOf(id)
    return node === undefined ? 'ok' : disks.of(node)
  }
  const hasRoom = (band: DiskBand): boolean => band === 'ok' || (band === 'low' && need !== 'data')
  if (!isQuorum(status.configuration, id => hasRoom(bandOf(id))))
    return refusal(status.configuration.voters.length === 1 ? 'of the leader' : 'of a majority', need)
  if (need === 'nothing' || hasRoom(disks.own)) return undefined
  // It hands over in a moment, to one that has room: then this is no want of room of the range's.
  if (successorWithRoom(disks, status, nodeOf) !== undefined)
    return { kind: 'overloaded', queue: transferQueue, retryAfterMs: 50 }
  return refusal('of the leader', need)
}

/** Who could lead in place of a node whose disk is short: a voter that is up, keeps up and has room. */
export function successorWithRoom(
  disks: Pick<DiskView, 'of'>,
  status: RaftStatus,
  nodeOf: (replica: ReplicaId) => NodeId | undefined,
): ReplicaId | undefined {
  const fits = ({ replica, learner, recentActive, held, state }: ProgressStatus): boolean => {
    if (replica === status.id || learner || !recentActive || held || state !== 'replicate') return false
    const node = nodeOf(replica)
    return node !== undefined && disks.of(node) === 'ok'
  }
  return status.progress.filter(fits).sort((a, b) => b.match - a.match)[0]?.replica
}

function isQuorum({ voters, votersOutgoing }: Configuration, counts: (replica: ReplicaId) => boolean): boolean {
  return [voters, votersOutgoing].every(half => half.length === 0 || half.filter(counts).length * 2 > half.length)
}

function refusal(whose: string, need: Need): Refusal {
  const what =
    need === 'data' ? 'nearly full: writes that add data are refused, deletions go on' : 'full: writes are refused'
  return {
    kind: 'disk-full',
    message: `the disk ${whose} is ${what}; reads go on, and writes are taken again by themselves once there is room`,
  }
}
