// Three nodes of ours, with the flags that a user would give them.

import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import type { Peer } from './peer.ts'

export interface QuoratePeerOptions {
  readonly name?: string
  readonly size?: number
  readonly flags?: readonly string[]
  readonly electionTimeoutMs?: number
  /** Of each node; for a profiler. */
  readonly environment?: Readonly<Record<string, string>>
}

export async function startQuorate(options: QuoratePeerOptions = {}): Promise<Peer> {
  const { name = 'quorate', size = 3, flags = [], environment, electionTimeoutMs = 1_000 } = options
  const cluster = await ProcessCluster.start({
    size,
    proxied: false,
    electionTimeoutMs,
    flags: ['--log-level', 'warn', ...flags],
    ...(environment && { peculiar: () => ({ environment }) }),
  })
  return peerOf(cluster, name)
}

/** A cluster as something to put load on. */
export function peerOf(cluster: ProcessCluster, name = 'quorate'): Peer {
  return {
    name,
    load: [process.execPath, join(import.meta.dirname, 'load.ts'), '-url', cluster.url],
    servers: async () => {
      const leader = await cluster.leader()
      const followers = cluster.others(leader.name)
      return [
        { name: 'leader', pid: must(leader.pid) },
        ...followers.flatMap(({ pid }, at) => (pid === undefined ? [] : { name: `follower ${at + 1}`, pid })),
      ]
    },
    killLeader: async () => {
      const leader = await cluster.leader()
      await leader.kill()
      return async () => {
        leader.start()
        await cluster.untilHealthy()
      }
    },
    close: () => cluster.close(),
  }
}
