// What every part of the transport needs of the node around it.

import type { NodeId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import type { Lineage } from './incarnation.ts'
import type { Identity } from './transport.ts'

export interface PeerContext {
  readonly identity: () => Identity
  /** This node's own record, for its Hello. */
  readonly record: () => quorate.v1.INodeRecord
  /** The store that the registry has under a name; undefined: not registered. */
  readonly knownStore: (node: NodeId) => StoreId | undefined
  /** The incarnation that the registry has of this very store under the name; undefined: not registered. */
  readonly knownIncarnation?: (node: NodeId, store: StoreId) => number | undefined
  /** Another node has proved itself in a Hello: this is its record, which the registry may not have yet. */
  readonly heard?: (record: quorate.v1.INodeRecord, lineage: Lineage) => void
  /** A peer of this cluster knows a newer incarnation of this store: this node must not go on. */
  readonly superseded?: (reason: string) => void
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly logger: Logger
  /** The shortest one. A silent link is given up after about this long. */
  readonly electionTimeoutMs: number
}

/** host:port, as an override or the registry has it. */
export interface PeerLocation {
  readonly host: string
  readonly port: number
}

/** undefined when it is no host:port. An IPv6 host stands in brackets. */
export function parsePeerAddress(address: string): PeerLocation | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(address)
  if (match === null) return undefined
  const port = Number(match[3])
  const host = match[1] ?? match[2]
  if (host === undefined || port > 65535) return undefined
  return { host, port }
}

/** Lets a repeated complaint through once an interval, per key; forgets keys when there are many. */
export class LogLimit {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #lastMs = new Map<string, number>()

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  allow(key: string): boolean {
    const now = this.#clock.monotonicMs()
    const last = this.#lastMs.get(key)
    if (last !== undefined && now - last < this.#intervalMs) return false
    if (this.#lastMs.size >= 1000) this.#lastMs.clear()
    this.#lastMs.set(key, now)
    return true
  }
}
