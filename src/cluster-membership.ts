// How this node gets into a cluster and how it lets others in: init, join, and the view of who is there.
//
// Invariants: the cluster id is durable before anything of that cluster is answered; `init` makes a cluster only where
// none of the given addresses knows one; joining is repeated until it is done, and repeating it is harmless.

import { KvError, isKvError } from './base/errors.ts'
import { type ClusterId, type NodeId, asClusterId, asNodeId } from './base/ids.ts'
import type { Logger } from './base/logger.ts'
import type { NodeConfig } from './config.ts'
import type { ClusterView } from './gateway/cluster-view.ts'
import type { NodeDirectory } from './node-ports.ts'
import type { quorate } from './proto/quorate.js'
import { Joiner } from './range/joiner.ts'
import type { LocalStore } from './range/local-store.ts'
import { type NodeRegistry, storeIdOf } from './range/node-registry.ts'
import { type Store, rangeOne } from './range/store.ts'
import type { Clock } from './time/clock.ts'
import { createHello } from './transport/hello.ts'
import type { PeerCalls } from './transport/peer-calls.ts'
import type { Transport } from './transport/transport.ts'

const initDeadlineMs = 5_000
const peerAskMs = 1_000

export interface ClusterMembershipOptions {
  readonly config: NodeConfig
  readonly directory: NodeDirectory
  readonly clock: Clock
  readonly logger: Logger
  readonly registry: NodeRegistry
  readonly store: Store
  readonly localStore: LocalStore
  readonly transport: Transport
  readonly peers: PeerCalls
  readonly record: () => quorate.v1.INodeRecord
  readonly randomBytes: (length: number) => Uint8Array
  readonly setClusterId: (clusterId: ClusterId) => void
}

export class ClusterMembership implements ClusterView {
  readonly node: NodeId
  readonly #options: ClusterMembershipOptions
  #joiner: Joiner | undefined
  #isInitialising = false

  constructor(options: ClusterMembershipOptions) {
    this.#options = options
    this.node = options.config.node
  }

  /** Joins when this node has no replica yet, and tells its cluster when its addresses have changed. */
  start(): void {
    const { config, clock, logger, peers, store } = this.#options
    const own = this.#options.record().peerAddress
    const addresses = config.join.filter(address => address !== own)
    this.#joiner = new Joiner({
      addresses,
      clock,
      logger,
      ask: (address, deadlineMs) => peers.join(address, {}, deadlineMs),
      joined: (clusterId, nodes) => this.#joined(clusterId, nodes),
      // The leader's first message may make the replica before the answer to the join has told the cluster's id; and who
      // is restarted before its first snapshot has forgotten whom to answer.
      isDone: () =>
        this.#isInitialising ||
        (this.clusterId() !== undefined &&
          store.replica(rangeOne) !== undefined &&
          this.#options.registry.records().length > 0 &&
          !this.#isRecordStale()),
    })
    if (config.join.length > 0) this.#joiner.start()
    if (this.clusterId() !== undefined) for (const address of addresses) void this.#compareCluster(address)
  }

  /** Asked once, without a record, which makes nobody a member: were these addresses meant for another node? */
  async #compareCluster(address: string): Promise<void> {
    const { clock, directory, logger, peers, record } = this.#options
    const hello = { ...createHello({ identity: () => directory.identity, record }), record: null }
    const ours = this.clusterId() ?? ''
    let theirs: string
    try {
      const answer = await peers.join(address, { hello }, clock.monotonicMs() + peerAskMs)
      theirs = Buffer.from(answer.clusterId ?? []).toString('hex')
    } catch (error) {
      // Whoever is not up has nothing to say.
      if (isKvError(error, 'wrong-cluster'))
        logger.error({ address, ours }, `an address to join is not of this node's own cluster: ${error.message}`)
      return
    }
    if (theirs !== '' && theirs !== ours)
      logger.error({ address, ours, theirs }, "an address to join is not of this node's own cluster: check --join")
  }

  close(): void {
    this.#joiner?.close()
  }

  clusterId(): ClusterId | undefined {
    return this.#options.directory.identity.clusterId
  }

  nodes(): readonly quorate.v1.INodeStatus[] {
    const live = new Set(
      this.#options.transport
        .health()
        .filter(peer => peer.live)
        .map(peer => peer.node),
    )
    const records = [...this.#options.registry.records()]
    if (!records.some(record => record.id === this.node)) records.push(this.#options.record())
    return records.map(record => ({ record, live: record.id === this.node || live.has(asNodeId(record.id ?? '')) }))
  }

  async init(): Promise<ClusterId> {
    const { directory, store, clock, config, peers, localStore, randomBytes, setClusterId } = this.#options
    if (directory.identity.clusterId !== undefined || this.#isInitialising)
      throw new KvError(
        'already-initialised',
        `node ${this.node} is in cluster ${directory.identity.clusterId ?? '(being made)'} already`,
      )
    const own = this.#options.record().peerAddress
    const answers = await Promise.allSettled(
      config.join
        .filter(address => address !== own)
        .map(address => peers.join(address, {}, clock.monotonicMs() + peerAskMs)),
    )
    for (const answer of answers)
      if (answer.status === 'fulfilled' && (answer.value.clusterId?.length ?? 0) > 0)
        throw new KvError(
          'already-initialised',
          'a node that this one was told to join is in a cluster already: it joins that one by itself',
        )
    // While they were asked, another init, or the answer to a join, may have come first.
    if (this.clusterId() !== undefined || this.#isInitialising)
      throw new KvError('already-initialised', `node ${this.node} is in a cluster already`)
    this.#isInitialising = true
    try {
      const clusterId = asClusterId(Buffer.from(randomBytes(16)).toString('hex'))
      setClusterId(clusterId)
      await store.bootstrap()
      directory.joinCluster(clusterId)
      const deadlineMs = clock.monotonicMs() + initDeadlineMs
      const isLeader = await store.waitTick(() => store.replica(rangeOne)?.isLeader === true, deadlineMs)
      if (!isLeader)
        throw new KvError(
          'unavailable',
          'the first replica did not become leader in time; look at the log of this node',
        )
      const added = await localStore.addMember(this.#options.record())
      if (added.kind !== 'done') throw new KvError('unavailable', `the node could not be registered: ${added.kind}`)
      return clusterId
    } finally {
      this.#isInitialising = false
    }
  }

  /** Another node asks to be let in, or says that its addresses have changed. */
  async handleJoin(request: quorate.v1.IJoinRequest): Promise<quorate.v1.IJoinResponse> {
    const clusterId = this.clusterId()
    const record = request.hello?.record
    // Until the first node stands in its own registry nobody is let in: who joins is told whom to talk to.
    if (clusterId === undefined || this.#isInitialising)
      return { accepted: false, message: 'the node asked is in no cluster yet: run `quorate init` on one node' }
    const answer = { clusterId: Buffer.from(clusterId, 'hex'), accepted: false }
    if (!record?.id || (record.storeId?.length ?? 0) !== 16 || !record.peerAddress)
      return { ...answer, message: 'the request to join names no node, store or peer address' }
    const theirs = Buffer.from(request.hello?.clusterId ?? []).toString('hex')
    if (theirs !== '' && theirs !== clusterId)
      return {
        ...answer,
        message: `node ${record.id} belongs to cluster ${theirs}, this is ${clusterId}: give it addresses of its own cluster, or, to let it join this one, another data directory`,
      }
    const { localStore, registry } = this.#options
    // A crash may have cut `init` short, with the cluster made and its first node in no registry.
    if (registry.record(this.node) === undefined) {
      const registered = await localStore.addMember(this.#options.record())
      if (registered.kind !== 'done' && registered.kind !== 'not-leader')
        return { ...answer, message: `refused for now: the node asked is not registered yet (${registered.kind})` }
    }
    const known = registry.storeId(asNodeId(record.id))
    if (known !== undefined && known !== storeIdOf(record) && this.#isLive(record.id))
      return { ...answer, message: `another node named ${record.id} is up: give every node a name of its own` }
    const added = await localStore.addMember(record)
    if (added.kind === 'done') return { ...answer, accepted: true, nodes: [...registry.records()] }
    if (added.kind === 'not-leader') {
      const leader = added.leader === undefined ? undefined : registry.record(added.leader)
      return { ...answer, message: 'the node asked does not lead', leaderPeerAddress: leader?.peerAddress ?? '' }
    }
    return { ...answer, message: 'message' in added ? added.message : `refused for now: ${added.kind}` }
  }

  #isLive(node: string): boolean {
    return this.#options.transport.health().some(peer => peer.node === node && peer.live)
  }

  #joined(clusterId: ClusterId, nodes: readonly quorate.v1.INodeRecord[]): void {
    const { directory, registry, logger, setClusterId } = this.#options
    if (directory.identity.clusterId === undefined) {
      setClusterId(clusterId)
      directory.joinCluster(clusterId)
    } else if (directory.identity.clusterId !== clusterId) {
      logger.error(
        { ours: directory.identity.clusterId, theirs: clusterId },
        'the addresses to join belong to another cluster',
      )
      return
    }
    registry.seed(nodes)
    logger.info({ cluster: clusterId }, 'joined')
  }

  /** The registry has other addresses of ours than we listen on: we moved, and say so by joining again. */
  #isRecordStale(): boolean {
    const known = this.#options.registry.record(this.node)
    const own = this.#options.record()
    return (
      known !== undefined &&
      (known.peerAddress !== own.peerAddress ||
        known.clientAddress !== own.clientAddress ||
        known.httpAddress !== own.httpAddress)
    )
  }
}
