// A node between its ports: log, engine, versions, replicas, gateway and membership, put together. It listens on nothing:
// src/node.ts puts the servers around it.
//
// Invariants: nothing of a cluster is answered before its id is durable here; nothing is answered before the clock has
// passed what was promised before the restart (DESIGN.md 8, rule 3).

import { KvError } from './base/errors.ts'
import { ResourceStack } from './resource-stack.ts'
import type { ClusterId } from './base/ids.ts'
import { startAnew } from './base/remedies.ts'
import { createPrng } from './base/prng.ts'
import { ClusterMembership } from './cluster-membership.ts'
import { commandVersionMax, commandVersionMin } from './command/entry.ts'
import type { NodeConfig } from './config.ts'
import { DamageError, type Engine } from './engine/engine.ts'
import { createSerialEngine } from './engine/serial-engine.ts'
import { type Gateway, createGateway } from './gateway/gateway.ts'
import type { Log } from './log/log.ts'
import { openSegmentLog } from './log/segment-log.ts'
import { VersionStore } from './mvcc/version-store.ts'
import type { NodeDirectory, NodePorts, PeerHandlers } from './node-ports.ts'
import type { quorate } from './proto/quorate.js'
import { DiskGuard } from './range/disk-guard.ts'
import { DiskRoom } from './range/disk-room.ts'
import { createLocalStore } from './range/local-requests.ts'
import type { LocalStore } from './range/local-store.ts'
import { handOver as handOverRange } from './range/leadership-transfer.ts'
import { Membership } from './range/membership.ts'
import { NodeRegistry } from './range/node-registry.ts'
import { discardUnfinished } from './range/snapshot-intake.ts'
import { Store } from './range/store.ts'
import type { Clock } from './time/clock.ts'
import { HybridClock } from './time/hybrid-clock.ts'
import { asTimestamp } from './time/timestamp.ts'
import { incarnationOf } from './transport/incarnation.ts'
import type { PeerCalls } from './transport/peer-calls.ts'
import type { PeerContext } from './transport/peer-context.ts'

const clockPassedMaxMs = 1_000

export interface NodeCore extends AsyncDisposable {
  readonly context: PeerContext
  readonly hybridClock: HybridClock
  readonly log: Log
  readonly versions: VersionStore
  readonly diskRoom: DiskRoom
  readonly store: Store
  readonly localStore: LocalStore
  readonly gateway: Gateway
  readonly cluster: ClusterMembership
  readonly peers: PeerCalls
  readonly peerHandlers: PeerHandlers
  /** Once the listeners are up: from now on it talks, elects, joins. */
  start(): Promise<void>
  /** Hands over leaderships, finishes what is in flight, flushes, and leaves the network; bounded by `drainMs`. */
  drain(): Promise<void>
}

/** Throws KvError with cause and remedy where the node cannot start; the engine is closed in any case. */
export async function openNodeCore(config: NodeConfig, ports: NodePorts): Promise<NodeCore> {
  const { clock, logger, directory } = ports
  await using resources = new ResourceStack()
  // The engine is open, so nobody else is in this directory; and nobody was told anything yet.
  directory.settle(ports.place, ports.randomInt)
  let halt = (): void => {}
  const onFatal = (error: unknown): void => {
    // At once: whoever embeds the node may take its time to end it.
    halt()
    ports.onFatal(withRemedy(error))
  }
  const engine = createSerialEngine(ports.engine, onFatal)
  resources.defer(() => engine.close())
  if (directory.identity.clusterId === undefined) await discardLeftovers(directory, engine)
  await discardUnfinished(engine)
  const opened = await VersionStore.open(engine, {
    yieldNow: () => new Promise<void>(resolve => clock.defer(() => resolve())),
    cacheBytesMax: config.limits.rowCacheBytes,
    hashSeed: ports.randomInt(2 ** 32),
    owner: directory.identity.storeId,
    mustExist: directory.identity.clusterId !== undefined,
  })
  if (opened.kind === 'damaged') throw new KvError('damaged', opened.message)
  const versions = opened.store

  let hybridClock = new HybridClock(() => clock.unixMs())
  const log = await openLog(config, ports, opened.recordedFlush, () => hybridClock.nextCeiling(), onFatal)
  resources.defer(() => log.close())
  hybridClock = new HybridClock(() => clock.unixMs(), asTimestamp(log.recoveredCeiling))

  const registry = new NodeRegistry(() => {
    transport.setPeers(otherAddresses())
    rememberPeers(ports, registry)
  })
  const otherAddresses = () => registry.addresses().filter(address => address.node !== config.node)
  const record = (): quorate.v1.INodeRecord => {
    const addresses = ports.addresses()
    return {
      id: config.node,
      storeId: Buffer.from(directory.identity.storeId, 'hex'),
      peerAddress: addresses.peer,
      clientAddress: addresses.client,
      httpAddress: addresses.http,
      versionMin: commandVersionMin,
      versionMax: commandVersionMax,
      incarnation: incarnationOf(directory.identity.lineage),
    }
  }
  let isDraining = false
  const context: PeerContext = {
    identity: () => directory.identity,
    record,
    knownStore: node => registry.storeId(node),
    knownIncarnation: (node, storeId) => registry.incarnation(node, storeId),
    heard: (record, lineage) => registry.heard(record, lineage),
    superseded: reason => onFatal(new KvError('superseded', reason)),
    clock,
    hybridClock,
    logger,
    electionTimeoutMs: config.electionTimeoutMs,
  }
  const diskRoom = new DiskRoom({
    disk: ports.disk,
    clock,
    logger,
    limits: config.limits,
    dirtyBytes: () => versions.dirtyBytes,
  })
  const transport = ports.createTransport({
    ...context,
    stats: () => ({
      flushMicros: log.flushMicros,
      freeBytes: diskRoom.freeBytes,
      diskBand: diskRoom.band,
      draining: isDraining,
    }),
  })
  const guard = new DiskGuard({
    clock,
    room: diskRoom,
    health: () => transport.health(),
    replicas: () => store.replicas(),
    handOverEveryMs: 2 * config.electionTimeoutMs,
  })
  const membership = new Membership({
    clock,
    votersTarget: config.votersTarget,
    promoteLagEntries: config.limits.promoteLagEntries,
    electionTimeoutMs: config.electionTimeoutMs,
    registry,
    handOver: replica => handOverRange(store, replica, undefined),
  })
  const { gateway: gatewayLimits, write: parse, ...limits } = config.limits
  const store = new Store({
    node: config.node,
    storeId: directory.identity.storeId,
    clock,
    hybridClock,
    log,
    engine,
    versions,
    transport,
    logger,
    timing: {
      tickMs: config.heartbeatMs,
      heartbeatTicks: 1,
      electionTimeoutTicks: Math.max(3, Math.round(config.electionTimeoutMs / config.heartbeatMs)),
      electionTimeoutMs: config.electionTimeoutMs,
    },
    limits: { ...limits, parse },
    commandVersion: commandVersionMax,
    sessionLimits: ports.sessionLimits,
    random: ports.randomInt,
    storeOf: node => registry.storeId(node),
    onSystemWrite: (key, value) => registry.applied(key, value),
    onSystemInstalled: () => registry.load(versions),
    disks: guard,
    onTick: () => {
      guard.tick()
      membership.tick(store.replicas())
      cluster.tick()
    },
    onFatal,
  })
  halt = () => {
    diskRoom.close()
    store.halt()
  }
  const peers = ports.createPeers(context)
  resources.defer(() => peers.close())
  const localStore = createLocalStore({
    store,
    versions,
    membership,
    registry,
    peers,
    clock,
    hybridClock,
    node: config.node,
    isDraining: () => isDraining,
  })
  const cluster = new ClusterMembership({
    config,
    directory,
    clock,
    logger,
    registry,
    store,
    localStore,
    transport,
    peers,
    record,
    diskRoom,
    randomBytes: ports.randomBytes,
    randomInt: ports.randomInt,
    setClusterId: clusterId => log.setClusterId(clusterId),
    onRefused: onFatal,
  })
  const gateway = createGateway({
    store: localStore,
    peers,
    view: cluster,
    clock,
    hybridClock,
    sessionId: ports.randomBytes(16),
    prng: createPrng(ports.randomInt(2 ** 32)),
    limits: gatewayLimits,
    logger,
  })
  const damage = await damageIn(registry.load(versions))

  const owned = resources.move()
  return {
    context,
    hybridClock,
    log,
    versions,
    diskRoom,
    store,
    localStore,
    gateway,
    cluster,
    peers,
    peerHandlers: {
      forward: (request, options) => gateway.batch(request, { ...options, isForwarded: true }),
      join: request => cluster.handleJoin(request),
      peerStatus: () => Promise.resolve({ ranges: [...localStore.status()] }),
    },
    async start() {
      await clockPassed(clock, hybridClock, log.recoveredCeiling)
      await cluster.refuseTwin()
      await diskRoom.start()
      // A directory without a cluster id is emptied at the next start: until it has one, nothing may be promised from it.
      transport.start({
        onMessages: (from, messages) => {
          if (directory.identity.clusterId !== undefined) store.handleMessages(from, messages)
        },
        onSnapshot: async snapshot => directory.identity.clusterId !== undefined && store.handleSnapshot(snapshot),
        onUnreachable: node => store.handleUnreachable(node),
      })
      owned.defer(() => transport.close())
      transport.setPeers(otherAddresses())
      await store.start()
      // Without the registry it is dialled by its peers, and learns of them from that.
      if (damage !== undefined) store.replicas().forEach(replica => store.quarantine(replica, damage.message))
      cluster.start()
    },
    async drain() {
      isDraining = true
      diskRoom.close()
      cluster.close()
      const isSettled = (): boolean => store.replicas().every(replica => replica.proposals.isIdle)
      await store.waitTick(isSettled, clock.monotonicMs() + config.limits.drainMs / 4)
      await handOver(store, localStore, clock, clock.monotonicMs() + config.limits.drainMs / 2)
      membership.close()
      await store.close()
      await transport.close()
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

/** So that it knows whom to ask after a restart, also when its state does not name its peers yet, or cannot be read. */
function rememberPeers({ directory, logger }: NodePorts, registry: NodeRegistry): void {
  const { node, clusterId } = directory.identity
  if (clusterId === undefined) return
  const others = registry.addresses().filter(peer => peer.node !== node)
  const known = Object.fromEntries(others.map(peer => [peer.node, peer.peerAddress]))
  // A registry without its own record is not here yet, or is damaged: it says nothing of who has gone.
  const isWhole = registry.record(node) !== undefined
  try {
    directory.rememberPeers(isWhole ? known : { ...directory.peers, ...known })
  } catch (error) {
    // The node can do without, and what was known before is still there.
    logger.warn({ error: String(error) }, 'where the peers are could not be written to the data directory')
  }
}

/** What a read of the state found to be damaged; undefined: nothing. */
function damageIn(read: Promise<void>): Promise<DamageError | undefined> {
  return read.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof DamageError) return error
      throw error
    },
  )
}

async function openLog(
  config: NodeConfig,
  ports: NodePorts,
  recordedFlush: number,
  ceiling: () => number,
  onFatal: (error: unknown) => void,
): Promise<Log & { setClusterId(clusterId: ClusterId): void }> {
  const { identity, logPath } = ports.directory
  const result = await openSegmentLog({
    directory: logPath,
    files: ports.logFiles,
    identity: { clusterId: identity.clusterId, nodeId: config.node, storeId: identity.storeId },
    recordedFlush,
    ceiling,
    clock: ports.clock,
    segmentBytes: config.limits.logSegmentBytes,
    limitBytes: config.limits.logBytes,
    randomBytes: ports.randomBytes,
    onFatal,
  })
  if (result.kind === 'opened') return result.log
  throw new KvError(result.kind === 'foreign' ? 'data-directory' : 'damaged', result.message)
}

/** What an interrupted init left behind: nobody was promised anything (see data-directory.ts). */
async function discardLeftovers(directory: NodeDirectory, engine: Engine): Promise<void> {
  directory.discardLog()
  for (;;) {
    const pairs = await engine.read({ start: '', end: '\xff\xff' }, { limit: 1_000, keysOnly: true })
    if (pairs.length === 0) return
    await engine.write(pairs.map(pair => ({ key: pair.key, value: undefined })))
  }
}

/** At most `clockPassedMaxMs`: a ceiling is 200 ms ahead, and a clock that was set back must not hold the node up for ever. */
async function clockPassed(clock: Clock, hybridClock: HybridClock, ceiling: number): Promise<void> {
  const begunMs = clock.monotonicMs()
  while (hybridClock.raw() <= ceiling && clock.monotonicMs() - begunMs < clockPassedMaxMs)
    await new Promise<void>(resolve => clock.setTimer(10, resolve))
}

/** Leaderships go to others while there is time, so that nobody waits for an election. */
async function handOver(store: Store, localStore: LocalStore, clock: Clock, deadlineMs: number): Promise<void> {
  for (const replica of store.replicas()) {
    if (!replica.isLeader || replica.status().configuration.voters.length < 2) continue
    if (clock.monotonicMs() > deadlineMs) return
    await localStore.transferLeader(replica.rangeId, undefined)
  }
}

/** What the engine cannot even clear is not mended in place: whoever finds the node ended is to know what to do. */
function withRemedy(error: unknown): unknown {
  if (!(error instanceof DamageError)) return error
  const message = `the state engine is damaged, and this node cannot mend it: ${error.message}. ${startAnew}`
  return new KvError('damaged', message, { cause: error })
}
