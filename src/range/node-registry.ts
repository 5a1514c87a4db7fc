// Who the nodes of the cluster are: records under `node/<id>` in the system keyspace, as applied here. It is what this
// node dials its peers by; the range's descriptor alone says who votes. And which stores an operator removed.

import { type NodeId, type StoreId, asNodeId, asStoreId, systemKeyspace } from '../base/ids.ts'
import type { ScanPage } from '../mvcc/read-requests.ts'
import type { KeyRecord, VersionStore } from '../mvcc/version-store.ts'
import { quorate } from '../proto/quorate.js'
import { timestampMax } from '../time/timestamp.ts'
import { type Lineage, incarnationOf, standingOf } from '../transport/incarnation.ts'
import type { NodeAddress } from '../transport/transport.ts'
import { type RemovedStore, decodeRemovedStore, isRemovedStoreKey, removedStoresSpan } from './removed-stores.ts'

const prefix = 'node/'
const nodesMax = 1_000
const pageMax = 1_000

interface HeardNode {
  readonly record: quorate.v1.INodeRecord
  readonly lineage: Lineage
}

export class NodeRegistry {
  readonly #records = new Map<NodeId, quorate.v1.INodeRecord>()
  /** What this node has applied itself, as it is stored; of what was deleted as well. */
  readonly #applied = new Map<NodeId, Uint8Array | undefined>()
  /** What nodes said of themselves and this node has not applied yet: it is dialled by, and no more. */
  readonly #heard = new Map<NodeId, HeardNode>()
  /** Stores that were seen to be replaced. */
  readonly #former = new Set<StoreId>()
  readonly #removed = new Map<StoreId, RemovedStore>()
  readonly #onChange: () => void

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** A write of the system keyspace was applied. Other keys are not its business. */
  applied(key: Uint8Array, value: Uint8Array | undefined): void {
    if (this.#set(key, value)) this.#onChange()
  }

  #set(key: Uint8Array, value: Uint8Array | undefined): boolean {
    if (isRemovedStoreKey(key) && value !== undefined) {
      const removed = decodeRemovedStore(Uint8Array.from(value))
      this.#removed.set(removed.storeId, removed)
      return false
    }
    const name = Buffer.from(key).toString('latin1')
    if (!name.startsWith(prefix)) return false
    const node = asNodeId(name.slice(prefix.length))
    const before = this.#records.get(node)
    const stored = value === undefined ? undefined : Uint8Array.from(value)
    const record = stored === undefined ? undefined : quorate.v1.NodeRecord.decode(stored)
    if (before !== undefined && (record === undefined || storeIdOf(before) !== storeIdOf(record)))
      this.#former.add(storeIdOf(before))
    this.#applied.set(node, stored)
    if (record === undefined) this.#records.delete(node)
    else this.#records.set(node, record)
    // It was let back in.
    if (record !== undefined) this.#former.delete(storeIdOf(record))
    this.#settleHeard(node)
    return true
  }

  /** What a node says of itself counts until its own record says the same, or is known to be newer. */
  #settleHeard(node: NodeId): void {
    const heard = this.#heard.get(node)
    const record = this.#records.get(node)
    if (heard === undefined) return
    const store = storeIdOf(heard.record)
    const isKnown =
      record !== undefined &&
      storeIdOf(record) === store &&
      standingOf(heard.lineage, record.incarnation ?? 0) !== 'newer'
    if (this.#former.has(store) || isKnown) this.#heard.delete(node)
  }

  /**
   * A node has introduced itself, as another store than the one registered here, or from another place, or before anything
   * was: a follower that slept while its leader joined anew, or moved, can learn of it from that leader alone; and where all
   * nodes have moved at once, there is no leader who could record it before they have found each other.
   */
  heard(record: quorate.v1.INodeRecord, lineage: Lineage): void {
    const node = asNodeId(record.id ?? '')
    const store = storeIdOf(record)
    const before = this.#heard.get(node) ?? this.#recordAndLineage(node)
    const isNews =
      before === undefined ||
      storeIdOf(before.record) !== store ||
      standingOf(lineage, incarnationOf(before.lineage)) === 'newer'
    if (!isNews || this.#former.has(store) || this.#heard.size >= nodesMax) return
    this.#heard.set(node, { record, lineage })
    this.#settleHeard(node)
    this.#onChange()
  }

  #recordAndLineage(node: NodeId): HeardNode | undefined {
    const record = this.#records.get(node)
    return record && { record, lineage: [record.incarnation ?? 0] }
  }

  /** Reads back what was applied before the last restart, or what a snapshot brought: all of it, and nothing else. */
  async load(versions: VersionStore): Promise<void> {
    const nodes = await readAll(versions, registrySpan)
    const removed = await readAll(versions, removedStoresSpan)
    this.#records.clear()
    this.#applied.clear()
    this.#removed.clear()
    for (const item of [...nodes, ...removed]) this.#set(item.key, item.value)
    // Once, for all: a link to a peer that is missing half-way through would be closed.
    this.#onChange()
  }

  /** What a joining node was told. What it has applied, a removal too, is the cluster's own word and stays. */
  seed(records: readonly quorate.v1.INodeRecord[]): void {
    for (const record of records) {
      const node = asNodeId(record.id ?? '')
      if (!this.#applied.has(node)) this.#records.set(node, record)
      this.#settleHeard(node)
    }
    this.#onChange()
  }

  records(): readonly quorate.v1.INodeRecord[] {
    return [...this.#records.values()].sort((a, b) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1))
  }

  record(node: NodeId): quorate.v1.INodeRecord | undefined {
    return this.#records.get(node)
  }

  /** The record as it lies in the system keyspace, as applied here. */
  stored(node: NodeId): Uint8Array | undefined {
    return this.#applied.get(node)
  }

  /** Where a node is dialled, as far as it is known. */
  peerAddress(node: NodeId): string | undefined {
    return (this.#heard.get(node)?.record ?? this.#records.get(node))?.peerAddress ?? undefined
  }

  /** What is recorded of this very store. What nodes say of themselves does not count: two may say it of one store. */
  incarnation(node: NodeId, store: StoreId): number | undefined {
    const record = this.#records.get(node)
    return record !== undefined && storeIdOf(record) === store ? (record.incarnation ?? 0) : undefined
  }

  /** Whether or not it was let back in since. */
  removed(storeId: StoreId): RemovedStore | undefined {
    return this.#removed.get(storeId)
  }

  /** The last of a node's stores that was removed. */
  lastRemoved(node: NodeId): RemovedStore | undefined {
    let last: RemovedStore | undefined
    for (const store of this.#removed.values())
      if (store.node === node && (last === undefined || store.atMs > last.atMs)) last = store
    return last
  }

  /** The store that is dialled under this name. */
  storeId(node: NodeId): StoreId | undefined {
    const record = this.#heard.get(node)?.record ?? this.#records.get(node)
    return record === undefined ? undefined : storeIdOf(record)
  }

  addresses(): readonly NodeAddress[] {
    const addresses = new Map(this.#records)
    for (const [node, { record }] of this.#heard) addresses.set(node, record)
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

async function readAll(
  versions: VersionStore,
  span: { readonly start: Uint8Array; readonly end: Uint8Array },
): Promise<readonly KeyRecord[]> {
  const found: KeyRecord[] = []
  for (let start: Uint8Array | undefined = span.start; start !== undefined; ) {
    const page: ScanPage = await versions.scan({
      keyspace: systemKeyspace,
      start,
      end: span.end,
      at: timestampMax,
      limit: pageMax,
      bytesMax: Number.MAX_SAFE_INTEGER,
      reverse: false,
      keysOnly: false,
    })
    found.push(...page.items)
    start = page.resume
  }
  return found
}

export function storeIdOf(record: quorate.v1.INodeRecord): StoreId {
  return asStoreId(Buffer.from(record.storeId ?? []).toString('hex'))
}
