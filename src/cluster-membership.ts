// How this node gets into a cluster and how it lets others in: init, join, and the view of who is there.
//
// Invariants: the cluster id is durable before anything of that cluster is answered; `init` makes a cluster only where
// none of the given addresses knows one; joining is repeated until it is done, and repeating it is harmless.

import { KvError, isKvError } from './base/errors.ts'
import { type ClusterId, type NodeId, asClusterId, asNodeId } from './base/ids.ts'
import type { Logger } from './base/logger.ts'
import type { NodeConfig } from './config.ts'
import type { ClusterView } from './gateway/cluster-view.ts'
import type { NodeDirectory, PeerAddresses } from './node-ports.ts'
import type { quorate } from './proto/quorate.js'
import { Joiner } from './range/joiner.ts'
import type { LocalStore } from './range/local-store.ts'
import { MoveJudge, speakerOf, twinMessage } from './range/move-judge.ts'
import { type NodeRegistry, storeIdOf } from './range/node-registry.ts'
import { type Store, rangeOne } from './range/store.ts'
import type { Clock } from './time/clock.ts'
import { createHello, idHex } from './transport/hello.ts'
import { incarnationOf, standingOf } from './transport/incarnation.ts'
import type { PeerCalls } from './transport/peer-calls.ts'
import type { DiskBand, Transport } from './transport/transport.ts'

const initDeadlineMs = 5_000
const peerAskMs = 1_000
/** In election timeouts: who has known no leader for so long may have been removed, and asks. */
const lostTimeouts = 3

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
  /** Of this node; what others have they say themselves. */
  readonly diskRoom: { readonly freeBytes: number; readonly band: DiskBand }
  readonly randomBytes: (length: number) => Uint8Array
  readonly randomInt: (bound: number) => number
  readonly setClusterId: (clusterId: ClusterId) => void
  /** The cluster has told this node, for good, that it is not one of its own. */
  readonly onRefused: (error: KvError) => void
}

export class ClusterMembership implements ClusterView {
  readonly node: NodeId
  readonly #options: ClusterMembershipOptions
  readonly #moves: MoveJudge
  #joiner: Joiner | undefined
  #isInitialising = false
  #leaderKnownMs: number

  constructor(options: ClusterMembershipOptions) {
    this.#options = options
    this.node = options.config.node
    this.#leaderKnownMs = options.clock.monotonicMs()
    this.#moves = new MoveJudge({
      clock: options.clock,
      registry: options.registry,
      peers: options.peers,
      heardAs: node => {
        const peer = options.transport.health().find(health => health.node === node)
        return peer?.live === true ? peer.incarnation : undefined
      },
      ownHello: () => this.#ownHello(),
      overrides: options.config.peers,
    })
  }

  /**
   * Before this node says anything: has its data directory been copied, and does the original run? Throws KvError `twin`
   * then, with nothing taken over.
   */
  async refuseTwin(): Promise<void> {
    const { directory, logger, registry, record } = this.#options
    const isRecorded = directory.identity.lineage.length === 1
    if (!isRecorded) {
      const former = [directory.peerAddress, registry.record(this.node)?.peerAddress]
      const speaker = speakerOf(this.#ownHello())
      const found = await this.#moves.twinOf(speaker, former)
      if (found !== undefined) {
        const message = twinMessage(speaker, found)
        logger.error({ address: found, store: speaker.storeId }, message)
        throw new KvError('twin', message)
      }
    }
    directory.announce(record().peerAddress ?? '')
  }

  /** Joins when this node has no replica yet, and tells its cluster when it runs at another place. */
  start(): void {
    const { config, clock, logger, peers, store, randomInt } = this.#options
    const own = this.#options.record().peerAddress
    const addresses = config.join.filter(address => address !== own)
    this.#joiner = new Joiner({
      addresses: () => this.#addressesToAsk(addresses),
      clock,
      logger,
      randomInt,
      ask: (address, deadlineMs) => peers.join(address, {}, deadlineMs),
      askOneself: async () =>
        store.replica(rangeOne)?.isLeader === true ? this.handleJoin({ hello: this.#ownHello() }) : undefined,
      answered: response => this.#answered(response),
      joined: (clusterId, nodes) => this.#joined(clusterId, nodes),
      whatIsMissing: () => this.#whatIsMissing(),
      // The leader's first message may make the replica before the answer to the join has told the cluster's id; and who
      // is restarted before its first snapshot has forgotten whom to answer.
      isDone: () => !this.#hasToAsk(),
    })
    this.#leaderKnownMs = clock.monotonicMs()
    if (config.join.length > 0 || this.clusterId() !== undefined) this.#joiner.start()
    if (this.clusterId() !== undefined) for (const address of addresses) void this.#compareCluster(address)
  }

  /** Asked once, without a record, which makes nobody a member: were these addresses meant for another node? */
  async #compareCluster(address: string): Promise<void> {
    const { clock, logger, peers } = this.#options
    const hello = { ...this.#ownHello(), record: null }
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

  /** Called every tick. A member asks again once it is none any more, or cannot tell. */
  tick(): void {
    const replica = this.#options.store.replica(rangeOne)
    if (replica === undefined || replica.stopped !== undefined || replica.leaderNode !== undefined)
      this.#leaderKnownMs = this.#options.clock.monotonicMs()
    if (this.clusterId() !== undefined && this.#hasToAsk()) this.#joiner?.start()
  }

  #hasToAsk(): boolean {
    return !this.#isInitialising && (!this.#isRecorded() || this.#isLost)
  }

  get #isLost(): boolean {
    const { clock, config } = this.#options
    return clock.monotonicMs() - this.#leaderKnownMs > lostTimeouts * config.electionTimeoutMs
  }

  #whatIsMissing(): string {
    if (this.clusterId() === undefined) return 'not in a cluster yet'
    if (this.#options.store.replica(rangeOne) === undefined) return 'this node has no replica'
    return this.#isLost ? 'no leader is known' : 'the cluster has not recorded yet where this node is'
  }

  close(): void {
    this.#joiner?.close()
  }

  clusterId(): ClusterId | undefined {
    return this.#options.directory.identity.clusterId
  }

  nodes(): readonly quorate.v1.INodeStatus[] {
    const { transport, diskRoom } = this.#options
    const heard = transport.health().filter(peer => peer.live)
    const disks = new Map(heard.map(({ node, freeBytes, diskBand }) => [node, { freeBytes, disk: diskBand }]))
    disks.set(this.node, { freeBytes: diskRoom.freeBytes, disk: diskRoom.band })
    const records = [...this.#options.registry.records()]
    if (!records.some(record => record.id === this.node)) records.push(this.#options.record())
    return records.map(record => {
      const disk = disks.get(asNodeId(record.id ?? ''))
      return { record, live: disk !== undefined, ...disk }
    })
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
    return { ...(await this.#judgeJoin(request.hello ?? {})), hello: this.#ownHello() }
  }

  async #judgeJoin(hello: quorate.v1.IHello): Promise<quorate.v1.IJoinResponse> {
    const clusterId = this.clusterId()
    const { record } = hello
    // Until the first node stands in its own registry nobody is let in: who joins is told whom to talk to.
    if (clusterId === undefined || this.#isInitialising)
      return { accepted: false, message: 'the node asked is in no cluster yet: run `quorate init` on one node' }
    const answer = { clusterId: Buffer.from(clusterId, 'hex'), accepted: false }
    if (!record?.id || (record.storeId?.length ?? 0) !== 16 || !record.peerAddress)
      return { ...answer, message: 'the request to join names no node, store or peer address' }
    const theirs = idHex(hello.clusterId)
    if (theirs !== '' && theirs !== clusterId)
      return {
        ...answer,
        message: `node ${record.id} belongs to cluster ${theirs}, this is ${clusterId}: give it addresses of its own cluster, or, to let it join this one, another data directory`,
      }
    const { localStore, registry, store } = this.#options
    // A crash may have cut `init` short, with the cluster made and its first node in no registry.
    if (registry.record(this.node) === undefined) {
      const registered = await localStore.addMember(this.#options.record())
      if (registered.kind !== 'done' && registered.kind !== 'not-leader')
        return { ...answer, message: `refused for now: the node asked is not registered yet (${registered.kind})` }
    }
    const known = registry.storeId(asNodeId(record.id))
    if (known !== undefined && known !== storeIdOf(record) && this.#isLive(record.id))
      return { ...answer, message: `another node named ${record.id} is up: give every node a name of its own` }
    const speaker = speakerOf(hello)
    const superseded = this.#moves.superseded(speaker)
    if (superseded !== undefined) return { ...answer, message: superseded, code: 'superseded' }
    const replica = store.replica(rangeOne)
    if (replica !== undefined && !replica.isLeader) {
      this.#hear(hello)
      const leader = replica.leaderNode === undefined ? undefined : registry.peerAddress(replica.leaderNode)
      return { ...answer, message: 'the node asked does not lead', leaderPeerAddress: leader ?? '' }
    }
    const verdict = await this.#moves.judge(speaker)
    if (verdict.kind === 'refused') return { ...answer, message: verdict.message, code: verdict.code }
    if (verdict.kind === 'later') return { ...answer, message: verdict.message }
    const added = await localStore.addMember(
      { ...record, incarnation: incarnationOf(speaker.lineage) },
      verdict.expected,
    )
    if (added.kind === 'done') return { ...answer, accepted: true, nodes: [...registry.records()] }
    if (added.kind === 'removed') return { ...answer, message: added.message, code: added.kind }
    return { ...answer, message: 'message' in added ? added.message : `refused for now: ${added.kind}` }
  }

  #isLive(node: string): boolean {
    return this.#options.transport.health().some(peer => peer.node === node && peer.live)
  }

  #ownHello(): quorate.v1.IHello {
    const { directory, record } = this.#options
    return createHello({ identity: () => directory.identity, record })
  }

  /**
   * The leader first, then whoever is registered, as this node dials them, then what it was told to ask, and where its peers
   * were before it was started: without its first snapshot, or with a damaged registry, it knows nobody else.
   */
  #addressesToAsk(given: readonly string[]): string[] {
    const { config, directory, registry, store } = this.#options
    if (this.clusterId() === undefined) return [...given]
    const leader = store.replica(rangeOne)?.leaderNode
    const others = registry.addresses().filter(({ node }) => node !== this.node)
    const known = others
      .sort((a, b) => Number(b.node === leader) - Number(a.node === leader))
      .map(({ node, peerAddress }) => config.peers.get(node) ?? peerAddress)
    return [...known, ...given, ...Object.values(directory.peers)]
  }

  #answered({ clusterId, code, message, hello }: quorate.v1.IJoinResponse): void {
    const ours = this.clusterId()
    if (ours !== undefined && idHex(clusterId) !== ours) return
    if (code === 'twin' || code === 'superseded' || code === 'removed') {
      // Said once: nobody else has to be asked.
      this.close()
      this.#options.onRefused(new KvError(code, message ?? ''))
    } else if (hello) this.#hear(hello)
  }

  /**
   * A member says that it has moved, and there may be no leader to record it: from now on it is dialled there. Unless it is
   * heard from where it was: then its twin speaks, or its leader will know.
   */
  #hear(hello: quorate.v1.IHello): void {
    const { registry } = this.#options
    const { node, storeId, clusterId, lineage } = speakerOf(hello)
    const recorded = registry.incarnation(node, storeId)
    if (node === this.node || clusterId !== this.clusterId() || recorded === undefined || this.#isLive(node)) return
    if (hello.record?.peerAddress && standingOf(lineage, recorded) === 'newer') registry.heard(hello.record, lineage)
  }

  #joined(clusterId: ClusterId, nodes: readonly quorate.v1.INodeRecord[]): void {
    const { directory, registry, logger, setClusterId } = this.#options
    if (directory.identity.clusterId === undefined) {
      setClusterId(clusterId)
      // In one write: whoever ends before its first snapshot, and moves, must know whom to ask.
      directory.joinCluster(clusterId, this.#peersIn(nodes))
    } else if (directory.identity.clusterId !== clusterId) {
      logger.error(
        { ours: directory.identity.clusterId, theirs: clusterId },
        'the addresses to join belong to another cluster',
      )
      return
    }
    registry.seed(nodes)
    this.#leaderKnownMs = this.#options.clock.monotonicMs()
    directory.confirmIncarnation()
    logger.info({ cluster: clusterId }, 'joined')
  }

  #peersIn(nodes: readonly quorate.v1.INodeRecord[]): PeerAddresses {
    const others = nodes.filter(({ id }) => id !== this.node)
    return Object.fromEntries(others.map(({ id, peerAddress }) => [id ?? '', peerAddress ?? '']))
  }

  /** It has a replica, knows its peers, and stands in the registry as it is: else it asks to be recorded. */
  #isRecorded(): boolean {
    const { directory, registry, store } = this.#options
    if (this.clusterId() === undefined || store.replica(rangeOne) === undefined) return false
    const known = registry.record(this.node)
    // Removed, it is in nobody's way: whether it may come back is not for its addresses to say.
    if (known === undefined) return registry.records().length > 0
    const own = this.#options.record()
    const isCurrent =
      known.incarnation === own.incarnation &&
      known.peerAddress === own.peerAddress &&
      known.clientAddress === own.clientAddress &&
      known.httpAddress === own.httpAddress
    // However it came to be known: the incarnations before this one are over.
    if (isCurrent) directory.confirmIncarnation()
    return isCurrent
  }
}
