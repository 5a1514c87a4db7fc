// A client port over a fake cluster, on a free port of 127.0.0.1.

import { silentLogger } from '../../src/base/logger.ts'
import type { GatewayLimits } from '../../src/gateway/limits.ts'
import { type ClientServer, type ClientServerOptions, createClientServer } from '../../src/server/client-server.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { type FakeCluster, type FakeNode, createFakeCluster } from './fake-cluster.ts'

export interface FakeServer extends AsyncDisposable {
  readonly cluster: FakeCluster
  readonly node: FakeNode
  readonly server: ClientServer
  readonly port: number
}

export async function startFakeServer(
  options: Partial<ClientServerOptions> = {},
  names: readonly string[] = ['n1'],
  at = 'n1',
  gatewayLimits: Partial<GatewayLimits> = {},
): Promise<FakeServer> {
  const cluster = createFakeCluster(names, gatewayLimits)
  const server = await startServerOf(cluster, at, options)
  const node = cluster.at(at)
  return { cluster, node, server, port: server.port, [Symbol.asyncDispose]: () => server.close(0) }
}

/** Another node of the same fake cluster. */
export function startServerOf(
  cluster: FakeCluster,
  at: string,
  options: Partial<ClientServerOptions> = {},
): Promise<ClientServer> {
  const { gateway, store, peers, view } = cluster.at(at)
  return createClientServer({
    address: '127.0.0.1:0',
    gateway,
    store,
    peers,
    view,
    clock: systemClock,
    hybridClock: cluster.state.clock,
    logger: silentLogger,
    ...options,
  })
}
