// The NodeDirectory port in memory: an identity that outlives the process, beside a log disk that `discardLog` empties.

import { assert } from '../../src/base/assert.ts'
import { type ClusterId, type NodeId, type StoreId, asStoreId } from '../../src/base/ids.ts'
import type { NodeDirectory, PeerAddresses } from '../../src/node-ports.ts'
import { firstLineage, incarnationOf, nextLineage } from '../../src/transport/incarnation.ts'
import type { Identity } from '../../src/transport/transport.ts'
import type { FakeLogFiles } from '../log/fake-log-files.ts'

export class SimDirectory implements NodeDirectory {
  readonly logPath = 'log'
  readonly #files: FakeLogFiles
  #identity: Identity
  #place = ''
  #peerAddress = ''
  #peers: PeerAddresses = {}

  constructor(node: NodeId, storeId: StoreId, files: FakeLogFiles) {
    this.#files = files
    this.#identity = { node, storeId, clusterId: undefined, lineage: firstLineage }
  }

  get identity(): Identity {
    return this.#identity
  }

  joinCluster(clusterId: ClusterId, peers: PeerAddresses = {}): void {
    this.#identity = { ...this.#identity, clusterId }
    this.#peers = peers
  }

  get peers(): PeerAddresses {
    return this.#peers
  }

  rememberPeers(peers: PeerAddresses): void {
    this.#peers = peers
  }

  get peerAddress(): string {
    return this.#peerAddress
  }

  settle(place: string, randomInt: (bound: number) => number): void {
    const { lineage } = this.#identity
    if (place !== this.#place && this.#place !== '')
      this.#identity = { ...this.#identity, lineage: nextLineage(lineage, randomInt) }
    this.#place = place
  }

  announce(peerAddress: string): void {
    this.#peerAddress = peerAddress
  }

  confirmIncarnation(): void {
    this.#identity = { ...this.#identity, lineage: [incarnationOf(this.#identity.lineage)] }
  }

  discardLog(): void {
    assert(this.#identity.clusterId === undefined, 'the log of a member is never thrown away')
    for (const path of this.#files.paths()) if (path.startsWith(`${this.logPath}/`)) this.#files.lose(path)
  }
}

/** As wide as a real one, and never the same twice. */
export function simStoreId(node: number, life: number): StoreId {
  return asStoreId(`${node.toString(16).padStart(16, '0')}${life.toString(16).padStart(16, '0')}`)
}
