// A node on this machine: the ports' adapters, the core between them, and the listeners around it. `quorate start` runs it,
// and
// programs may run it in their own process (`import { parseConfig, startNode } from 'quorate/node'`).

import { randomBytes, randomInt } from 'node:crypto'
import { hostname } from 'node:os'
import { type Logger as PinoLogger, pino } from 'pino'
import { must } from './base/assert.ts'
import { KvError, isKvError } from './base/errors.ts'
import { exitCodes } from './cli/io.ts'
import { ResourceStack } from './resource-stack.ts'
import { type Address, type NodeConfig, parseConfig } from './config.ts'
import { DataDirectory } from './data-directory.ts'
import { openLevelEngine } from './engine/leveldb-engine.ts'
import { nodeLogFiles } from './log/node-log-files.ts'
import { openNodeCore } from './node-core.ts'
import { makeRoomToStart, openNodeDisk, startError } from './node-disk.ts'
import { createClientServer } from './server/client-server.ts'
import { createHttpServer } from './server/http-server.ts'
import { createMetrics } from './server/metrics.ts'
import { systemClock } from './time/system-clock.ts'
import { type GrpcTransport, createGrpcTransport } from './transport/grpc-transport.ts'
import { createPeerClient } from './transport/peer-client.ts'
import { createPeerServer } from './transport/peer-server.ts'

export { parseConfig }

export interface RunningNode {
  readonly clientPort: number
  readonly peerPort: number
  readonly httpPort: number
  /** Hands over leaderships, finishes what is in flight, flushes; bounded by the limit `drainMs`. */
  close(): Promise<void>
  /** Resolves when the node has ended: by `close`, or by a failure that it must not go on after. */
  readonly done: Promise<{ readonly code: number; readonly reason: string }>
}

/** Throws KvError with cause and remedy where the node cannot start; then nothing was changed. */
export async function startNode(config: NodeConfig, logger: PinoLogger = createLogger(config)): Promise<RunningNode> {
  try {
    return await openNode(config, logger)
  } catch (error) {
    throw startError(error, config.dataDirectory)
  }
}

async function openNode(config: NodeConfig, logger: PinoLogger): Promise<RunningNode> {
  await using resources = new ResourceStack()
  const { promise: done, resolve: finish } = Promise.withResolvers<{ code: number; reason: string }>()
  const directory = DataDirectory.open(config.dataDirectory, config.node)
  const disk = await openNodeDisk(config.dataDirectory)
  await makeRoomToStart(disk, config.dataDirectory, config.limits)
  // The engine's lock is what keeps a second process out: it comes first.
  const engine = await openLevelEngine(directory.statePath, {
    clock: systemClock,
    cacheBytes: config.limits.blockCacheBytes,
  })
  let ports = { client: config.listen.port, peer: config.peerListen.port, http: config.httpListen.port }
  let transport: GrpcTransport | undefined
  const core = resources.use(
    await openNodeCore(config, {
      clock: systemClock,
      randomBytes,
      randomInt: bound => randomInt(bound),
      directory,
      engine,
      logFiles: nodeLogFiles,
      place: placeOf(config),
      createTransport: context => {
        transport = createGrpcTransport({ ...context, overrides: config.peers })
        return transport
      },
      createPeers: context => createPeerClient({ ...context, addressOf: node => transport?.addressOf(node) }),
      addresses: () => ({
        peer: config.peerAdvertise ?? hostPort(config.peerListen, ports.peer),
        client: config.advertise ?? hostPort(config.listen, ports.client),
        http: config.httpAdvertise ?? hostPort(config.httpListen, ports.http),
      }),
      disk,
      logger,
      onFatal: error => {
        if (error instanceof KvError) {
          // Its message has the cause and the remedy, and says it all.
          logger.fatal({ code: error.code }, `the node ends: ${error.message}`)
        } else {
          const trace = error instanceof Error ? (error.stack ?? error.message) : String(error)
          logger.fatal({ error: trace }, 'the node ends: going on could give a wrong answer')
        }
        const code = isKvError(error, 'removed') ? exitCodes.removed : exitCodes.no
        finish({ code, reason: error instanceof Error ? error.message : String(error) })
      },
    }),
  )
  const { localStore, cluster, gateway, peers, hybridClock } = core
  const metrics = createMetrics({
    store: localStore,
    view: cluster,
    flushMicros: () => core.log.flushMicros,
    engineFlushMicros: () => core.store.engineFlushMicros,
    disk: core.diskRoom,
  })
  const peerServer = await createPeerServer({
    ...core.context,
    ...core.peerHandlers,
    address: hostPort(config.peerListen, config.peerListen.port),
    inbound: must(transport).inbound,
  })
  resources.defer(() => peerServer.close())
  const clientServer = await createClientServer({
    address: hostPort(config.listen, config.listen.port),
    gateway,
    store: localStore,
    peers,
    view: cluster,
    clock: systemClock,
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

  await core.start()
  logger.info({ node: config.node, ...ports, cluster: directory.identity.clusterId ?? '' }, 'the node is up')

  const owned = resources.move()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      logger.info('the node stops: it hands over what it leads and finishes what is under way')
      await core.drain()
      await owned[Symbol.asyncDispose]()
      logger.info('the node has stopped')
      finish({ code: 0, reason: 'closed' })
    })()
    return closing
  }
  return { clientPort: ports.client, peerPort: ports.peer, httpPort: ports.http, close, done }
}

export function createLogger(config: Pick<NodeConfig, 'logLevel' | 'node'>): PinoLogger {
  const base = { level: config.logLevel, base: { node: config.node } }
  return process.stdout.isTTY
    ? pino({ ...base, transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname' } } })
    : pino(base)
}

/** Two copies of one data directory cannot run at the same place at once. Port 0 is another port at each start. */
function placeOf(config: NodeConfig): string {
  const listeners = [config.listen, config.peerListen, config.httpListen]
  const advertised = [config.advertise, config.peerAdvertise, config.httpAdvertise]
  const once = listeners.some(({ port }) => port === 0) ? randomBytes(8).toString('hex') : ''
  return [hostname(), ...listeners.map(address => hostPort(address, address.port)), ...advertised, once].join(' ')
}

function hostPort(address: Address, port: number): string {
  return address.host.includes(':') ? `[${address.host}]:${port}` : `${address.host}:${port}`
}
