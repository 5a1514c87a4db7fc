// The composition root: a node from its ports, from the data directory up to the listeners. `quorate start` runs it, and
// programs may run it in their own process (`import { startNode } from 'quorate'`).

import { randomBytes, randomInt } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { type Logger as PinoLogger, pino } from 'pino'
import { KvError } from './base/errors.ts'
import type { ClusterId } from './base/ids.ts'
import { ClusterMembership } from './cluster-membership.ts'
import { commandVersionMax, commandVersionMin } from './command/entry.ts'
import type { Address, NodeConfig } from './config.ts'
import { DataDirectory } from './data-directory.ts'
import type { Engine } from './engine/engine.ts'
import { openLevelEngine } from './engine/leveldb-engine.ts'
import { createSerialEngine } from './engine/serial-engine.ts'
import { createGateway } from './gateway/gateway.ts'
import type { Log } from './log/log.ts'
import { nodeLogFiles } from './log/node-log-files.ts'
import { openSegmentLog } from './log/segment-log.ts'
import { VersionStore } from './mvcc/version-store.ts'
import type { quorate } from './proto/quorate.js'
import { createLocalStore } from './range/local-requests.ts'
import { Membership } from './range/membership.ts'
import { NodeRegistry } from './range/node-registry.ts'
import { Store } from './range/store.ts'
import { createClientServer } from './server/client-server.ts'
import { createHttpServer } from './server/http-server.ts'
import { createMetrics } from './server/metrics.ts'
import { HybridClock } from './time/hybrid-clock.ts'
import { systemClock } from './time/system-clock.ts'
import { asTimestamp } from './time/timestamp.ts'
import { createGrpcTransport } from './transport/grpc-transport.ts'
import { createPeerClient } from './transport/peer-client.ts'
import type { PeerContext } from './transport/peer-context.ts'
import { createPeerServer } from './transport/peer-server.ts'

export interface RunningNode {
  readonly clientPort: number
  readonly peerPort: number
  readonly httpPort: number
  /** Hands over leaderships, finishes what is in flight, flushes; bounded by the limit `drainMs`. */
  close(): Promise<void>
  /** Resolves when the node has ended: by `close`, or by a failure that it must not go on after. */
  readonly done: Promise<{ readonly code: number; readonly reason: string }>
}

const freeBytesEveryMs = 5_000

/** Throws KvError with cause and remedy where the node cannot start; then nothing was changed. */
export async function startNode(config: NodeConfig, logger: PinoLogger = createLogger(config)): Promise<RunningNode> {
  await using resources = new AsyncDisposableStack()
  const clock = systemClock
  const directory = DataDirectory.open(config.dataDirectory, config.node)
  // The engine's lock is what keeps a second process out: it comes first.
  const engine = createSerialEngine(await openLevelEngine(directory.statePath))
  resources.defer(() => engine.close())
  if (directory.identity.clusterId === undefined) await discardLeftovers(directory, engine)
  const opened = await VersionStore.open(engine, {
    yieldNow: () => new Promise<void>(resolve => clock.defer(() => resolve())),
  })
  if (opened.kind === 'damaged') throw new KvError('damaged', opened.message)
  const versions = opened.store

  let finish: (end: { code: number; reason: string }) => void = () => {}
  const done = new Promise<{ code: number; reason: string }>(resolve => {
    finish = resolve
  })
  let halt = (): void => {}
  const onFatal = (error: unknown): void => {
    // At once: whoever embeds the node may take its time to end it.
    halt()
    const trace = error instanceof Error ? (error.stack ?? error.message) : String(error)
    logger.fatal({ error: trace }, 'the node ends: going on could give a wrong answer')
    finish({ code: 1, reason: error instanceof Error ? error.message : String(error) })
  }

  let hybridClock = new HybridClock(clock.unixMs)
  const log = await openLog(config, directory, opened.recordedFlush, () => hybridClock.nextCeiling(), onFatal)
  resources.defer(() => log.close())
  hybridClock = new HybridClock(clock.unixMs, asTimestamp(log.recoveredCeiling))

  const registry = new NodeRegistry(() =>
    transport.setPeers(registry.addresses().filter(address => address.node !== config.node)),
  )
  let ports = { client: config.listen.port, peer: config.peerListen.port, http: config.httpListen.port }
  const record = (): quorate.v1.INodeRecord => ({
    id: config.node,
    storeId: Buffer.from(directory.identity.storeId, 'hex'),
    peerAddress: config.peerAdvertise ?? hostPort(config.peerListen, ports.peer),
    clientAddress: config.advertise ?? hostPort(config.listen, ports.client),
    httpAddress: config.httpAdvertise ?? hostPort(config.httpListen, ports.http),
    versionMin: commandVersionMin,
    versionMax: commandVersionMax,
  })
  let isDraining = false
  let freeBytes = 0
  const context: PeerContext = {
    identity: () => directory.identity,
    record,
    knownStore: node => registry.storeId(node),
    clock,
    hybridClock,
    logger,
    electionTimeoutMs: config.electionTimeoutMs,
  }
  const transport = createGrpcTransport({
    ...context,
    overrides: config.peers,
    stats: () => ({ flushMicros: log.flushMicros, freeBytes, draining: isDraining }),
  })
  const membership = new Membership({
    clock,
    votersTarget: config.votersTarget,
    isRegistered: node => registry.record(node) !== undefined,
  })
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
    limits: {
      entryBytes: config.limits.entryBytes,
      proposalQueueBytes: config.limits.proposalQueueBytes,
      uncommittedBytes: config.limits.uncommittedBytes,
      engineFlushBytes: config.limits.engineFlushBytes,
      engineFlushMs: config.limits.engineFlushMs,
      logRetainedBytes: config.limits.logRetainedBytes,
      logBytes: config.limits.logBytes,
      historyRetentionMs: config.limits.historyRetentionMs,
      parse: config.limits.write,
    },
    commandVersion: commandVersionMax,
    random: bound => randomInt(bound),
    onSystemWrite: (key, value) => registry.applied(key, value),
    onSystemInstalled: () => registry.load(versions),
    onTick: () => store.replicas().forEach(replica => membership.maybePromote(replica)),
    onFatal,
  })
  halt = () => store.halt()
  const peers = createPeerClient({ ...context, addressOf: node => transport.addressOf(node) })
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
    setClusterId: clusterId => log.setClusterId(clusterId),
  })
  const gateway = createGateway({
    store: localStore,
    peers,
    view: cluster,
    clock,
    hybridClock,
    sessionId: randomBytes(16),
    limits: config.limits.gateway,
    logger,
  })
  const metrics = createMetrics({
    store: localStore,
    view: cluster,
    flushMicros: () => log.flushMicros,
    engineFlushMicros: () => store.engineFlushMicros,
  })

  await registry.load(versions)
  const peerServer = await createPeerServer({
    ...context,
    address: hostPort(config.peerListen, config.peerListen.port),
    inbound: transport.inbound,
    forward: request => gateway.batch(request),
    join: request => cluster.handleJoin(request),
    peerStatus: () => Promise.resolve({ ranges: [...localStore.status()] }),
  })
  resources.defer(() => peerServer.close())
  const clientServer = await createClientServer({
    address: hostPort(config.listen, config.listen.port),
    gateway,
    store: localStore,
    peers,
    view: cluster,
    clock,
    hybridClock,
    logger,
    limits: config.limits.server,
    reflection: config.reflection,
    metrics,
  })
  resources.defer(() => clientServer.close(config.limits.drainMs))
  const http = await createHttpServer({
    address: hostPort(config.httpListen, config.httpListen.port),
    store: localStore,
    view: cluster,
    metrics,
    logger,
  })
  resources.defer(() => http.close())
  ports = { client: clientServer.port, peer: peerServer.port, http: http.port }

  await clockPassed(hybridClock, log.recoveredCeiling)
  transport.start({
    // A directory without a cluster id is emptied at the next start: until it has one, nothing may be promised from it.
    onMessages: (from, messages) => {
      if (directory.identity.clusterId !== undefined) store.handleMessages(from, messages)
    },
    onSnapshot: async snapshot => directory.identity.clusterId !== undefined && store.handleSnapshot(snapshot),
    onUnreachable: node => store.handleUnreachable(node),
  })
  resources.defer(() => transport.close())
  transport.setPeers(registry.addresses().filter(address => address.node !== config.node))
  await store.start()
  const stopStats = everyInterval(freeBytesEveryMs, async () => {
    const disk = await statfs(config.dataDirectory)
    freeBytes = disk.bavail * disk.bsize
  })
  cluster.start()
  logger.info({ node: config.node, ...ports, cluster: directory.identity.clusterId ?? '' }, 'the node is up')

  const owned = resources.move()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      isDraining = true
      stopStats()
      cluster.close()
      const isSettled = (): boolean => store.replicas().every(replica => replica.proposals.isIdle)
      await store.waitTick(isSettled, clock.monotonicMs() + config.limits.drainMs / 4)
      await handOver(store, localStore, clock.monotonicMs() + config.limits.drainMs / 2)
      await store.close()
      await owned.disposeAsync()
      finish({ code: 0, reason: 'closed' })
    })()
    return closing
  }
  return { clientPort: ports.client, peerPort: ports.peer, httpPort: ports.http, close, done }

  function everyInterval(ms: number, work: () => Promise<void>): () => void {
    let isStopped = false
    const run = (): void => {
      work()
        .catch((error: unknown) => logger.warn({ error: String(error) }, 'free space is not known'))
        .finally(() => {
          if (!isStopped) timer = clock.setTimer(ms, run)
        })
    }
    let timer = clock.setTimer(0, run)
    return () => {
      isStopped = true
      timer.cancel()
    }
  }
}

export function createLogger(config: Pick<NodeConfig, 'logLevel' | 'node'>): PinoLogger {
  const base = { level: config.logLevel, base: { node: config.node } }
  return process.stdout.isTTY
    ? pino({ ...base, transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } })
    : pino(base)
}

type MemberLog = Log & { setClusterId(clusterId: ClusterId): void }

async function openLog(
  config: NodeConfig,
  directory: DataDirectory,
  recordedFlush: number,
  ceiling: () => number,
  onFatal: (error: unknown) => void,
): Promise<MemberLog> {
  const result = await openSegmentLog({
    directory: directory.logPath,
    files: nodeLogFiles,
    identity: { clusterId: directory.identity.clusterId, nodeId: config.node, storeId: directory.identity.storeId },
    recordedFlush,
    ceiling,
    clock: systemClock,
    limitBytes: config.limits.logBytes,
    onFatal,
  })
  if (result.kind === 'opened') return result.log
  throw new KvError(result.kind === 'foreign' ? 'data-directory' : 'damaged', result.message)
}

/** What an interrupted init left behind: nobody was promised anything (see data-directory.ts). */
async function discardLeftovers(directory: DataDirectory, engine: Engine): Promise<void> {
  directory.discardLog()
  for (;;) {
    const pairs = await engine.read({ start: '', end: '\xff\xff' }, { limit: 1_000, keysOnly: true })
    if (pairs.length === 0) return
    await engine.write(pairs.map(pair => ({ key: pair.key, value: undefined })))
  }
}

/** DESIGN.md 8, rule 3: nothing is answered before the clock has passed what was promised before the restart; at most 1 s. */
async function clockPassed(hybridClock: HybridClock, ceiling: number): Promise<void> {
  const begunMs = systemClock.monotonicMs()
  while (hybridClock.raw() <= ceiling && systemClock.monotonicMs() - begunMs < 1_000)
    await new Promise<void>(resolve => systemClock.setTimer(10, resolve))
}

/** Leaderships go to others while there is time, so that nobody waits for an election. */
async function handOver(
  store: Store,
  localStore: ReturnType<typeof createLocalStore>,
  deadlineMs: number,
): Promise<void> {
  for (const replica of store.replicas()) {
    if (!replica.isLeader || replica.status().configuration.voters.length < 2) continue
    if (systemClock.monotonicMs() > deadlineMs) return
    await localStore.transferLeader(replica.rangeId, undefined)
  }
}

function hostPort(address: Address, port: number): string {
  return address.host.includes(':') ? `[${address.host}]:${port}` : `${address.host}:${port}`
}
