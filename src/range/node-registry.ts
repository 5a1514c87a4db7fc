// Who the nodes of the cluster are: records under `node/<id>` in the system keyspace, as applied here. It is what this
// node dials its peers by; the range's descriptor alone says who votes.

import { type NodeId, type StoreId, asNodeId, asStoreId, systemKeyspace } from '../base/ids.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import { quorate } from '../proto/quorate.js'
import { timestampMax } from '../time/timestamp.ts'
import type { NodeAddress } from '../transport/transport.ts'

const prefix = 'node/'
const nodesMax = 1_000

export class NodeRegistry {
  readonly #records = new Map<NodeId, quorate.v1.INodeRecord>()
  /** Whose records this node has applied itself. */
  readonly #applied = new Set<NodeId>()
  /** What nodes said of themselves and this node has not applied yet: it is dialled by, and no more. */
  readonly #heard = new Map<NodeId, quorate.v1.INodeRecord>()
  /** Stores that were seen to be replaced. */
  readonly #former = new Set<StoreId>()
  readonly #onChange: () => void

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** A write of the system keyspace was applied. Other keys are not its business. */
  applied(key: Uint8Array, value: Uint8Array | undefined): void {
    if (this.#set(key, value)) this.#onChange()
  }

  #set(key: Uint8Array, value: Uint8Array | undefined): boolean {
    const name = Buffer.from(key).toString('latin1')
    if (!name.startsWith(prefix)) return false
    const node = asNodeId(name.slice(prefix.length))
    const before = this.#records.get(node)
    const record = value === undefined ? undefined : quorate.v1.NodeRecord.decode(Uint8Array.from(value))
    if (before !== undefined && (record === undefined || storeIdOf(before) !== storeIdOf(record)))
      this.#former.add(storeIdOf(before))
    this.#applied.add(node)
    if (record === undefined) this.#records.delete(node)
    else this.#records.set(node, record)
    this.#settleHeard(node)
    return true
  }

  /** What a node says of itself counts until its own record says the same, or is known to be newer. */
  #settleHeard(node: NodeId): void {
    const heard = this.#heard.get(node)
    const record = this.#records.get(node)
    if (heard === undefined) return
    const store = storeIdOf(heard)
    if (this.#former.has(store) || (record !== undefined && storeIdOf(record) === store)) this.#heard.delete(node)
  }

  /**
   * A node has introduced itself, as another store than the one registered here, or before anything was: a follower that
   * slept while its leader joined anew can learn of it from that leader alone.
   */
  heard(record: quorate.v1.INodeRecord): void {
    const node = asNodeId(record.id ?? '')
    const store = storeIdOf(record)
    if (store === this.storeId(node) || this.#former.has(store) || this.#heard.size >= nodesMax) return
    this.#heard.set(node, record)
    this.#settleHeard(node)
    this.#onChange()
  }

  /** Reads back what was applied before the last restart, or what a snapshot brought: all of it, and nothing else. */
  async load(versions: VersionStore): Promise<void> {
    const found = await versions.scan({
      keyspace: systemKeyspace,
      ...registrySpan,
      at: timestampMax,
      limit: nodesMax,
      bytesMax: Number.MAX_SAFE_INTEGER,
      reverse: false,
      keysOnly: false,
    })
    this.#records.clear()
    this.#applied.clear()
    for (const item of found.items) this.#set(item.key, item.value)
    // Once, for all: a link to a peer that is missing half-way through would be closed.
    this.#onChange()
  }

  /** What a joining node was told. What it has applied, a removal too, is the cluster's own word and stays. */
  seed(records: readonly quorate.v1.INodeRecord[]): void {
    for (const record of records) {
      const node = asNodeId(record.id ?? '')
      if (!this.#applied.has(node)) this.#records.set(node, record)
    }
    this.#onChange()
  }

  records(): readonly quorate.v1.INodeRecord[] {
    return [...this.#records.values()].sort((a, b) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
  }

  record(node: NodeId): quorate.v1.INodeRecord | undefined {
    return this.#records.get(node)
  }

  /** The store that is dialled under this name. */
  storeId(node: NodeId): StoreId | undefined {
    const record = this.#heard.get(node) ?? this.#records.get(node)
    return record === undefined ? undefined : storeIdOf(record)
  }

  addresses(): readonly NodeAddress[] {
    const addresses = new Map(this.#records)
    for (const [node, record] of this.#heard) addresses.set(node, record)
    return [...addresses].map(([node, record]) => ({
      node,
      storeId: storeIdOf(record),
      peerAddress: record.peerAddress ?? '',
    }))
  }
}

export function registryKey(node: NodeId): Uint8Array {
  return Buffer.from(prefix + node, 'latin1')
}

const registrySpan = { start: Buffer.from(prefix), end: Buffer.from('node0') }

export function storeIdOf(record: quorate.v1.INodeRecord): StoreId {
  return asStoreId(Buffer.from(record.storeId ?? []).toString('hex'))
}
