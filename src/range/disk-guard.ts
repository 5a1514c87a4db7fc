// What a node knows of disks that run short, its own and others': leaders refuse writes by it, replicas take no entries
// while their own is full, and a leadership goes to a node that has room.

import type { NodeId } from '../base/ids.ts'
import type { Clock } from '../time/clock.ts'
import type { DiskBand, PeerHealth } from '../transport/transport.ts'
import { type DiskView, successorWithRoom } from './disk-refusal.ts'
import type { DiskRoom } from './disk-room.ts'
import type { Replica } from './replica.ts'

export interface DiskGuardOptions {
  readonly clock: Clock
  readonly room: Pick<DiskRoom, 'band' | 'hasRoomFor'>
  readonly health: () => readonly PeerHealth[]
  readonly replicas: () => readonly Replica[]
  /** A leadership that could not be handed over is tried again after this. */
  readonly handOverEveryMs: number
}

export class DiskGuard implements DiskView {
  readonly #options: DiskGuardOptions
  /** Those alone that are short of room. */
  #short: ReadonlyMap<NodeId, DiskBand> = new Map()
  #handOverMs = Number.NEGATIVE_INFINITY

  constructor(options: DiskGuardOptions) {
    this.#options = options
  }

  get own(): DiskBand {
    return this.#options.room.band
  }

  get isShort(): boolean {
    return this.own !== 'ok' || this.#short.size > 0
  }

  of(node: NodeId): DiskBand {
    return this.#short.get(node) ?? 'ok'
  }

  hasRoomFor(bytes: number): Promise<boolean> {
    return this.#options.room.hasRoomFor(bytes)
  }

  tick(): void {
    const { health, replicas } = this.#options
    const short = health().filter(({ live, diskBand }) => live && diskBand !== 'ok')
    this.#short = new Map(short.map(({ node, diskBand }) => [node, diskBand]))
    if (this.own === 'ok') return
    for (const replica of replicas()) if (replica.isLeader) this.#handOver(replica)
  }

  #handOver(replica: Replica): void {
    const { clock, handOverEveryMs } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#handOverMs < handOverEveryMs) return
    const successor = successorWithRoom(this, replica.status(), id => replica.nodeOf(id))
    if (successor === undefined) return
    this.#handOverMs = nowMs
    replica.transferLeadership(successor)
  }
}
