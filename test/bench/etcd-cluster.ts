// Three etcd servers on this machine, built from the Go module beside this file into .cache/: the peer we measure against.
// Defaults everywhere but for the room that it may take; etcd syncs every write, as we do.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { must } from '../../src/base/assert.ts'
import { freePorts } from '../support/free-ports.ts'
import { until } from '../support/until.ts'
import type { Peer, Server } from './peer.ts'

const run = promisify(execFile)
const source = join(import.meta.dirname, 'etcd')
const built = join(import.meta.dirname, '../../.cache/etcd')
const buildLimitMs = 600_000

const connections = 8
/** With its own 2 GiB it would refuse writes in the middle of a long run. */
const quotaBytes = 64 * 1024 ** 3
const loadProgram = join(built, 'load')

/** Go's own cache makes this quick when nothing has changed. */
async function build(): Promise<void> {
  const go = (...args: string[]) => run('go', ['build', '-o', ...args], { cwd: source, timeout: buildLimitMs })
  await go(join(built, 'server'), 'go.etcd.io/etcd/server/v3')
  await go(loadProgram, '.')
}

interface Member {
  readonly url: string
  readonly start: () => ChildProcess
  child: ChildProcess
}

export class EtcdCluster implements Peer {
  readonly name = 'etcd'
  readonly load: Peer['load']
  readonly #members: readonly Member[]
  readonly #folder: string

  private constructor(endpoints: string, members: readonly Member[], folder: string) {
    this.load = [loadProgram, '-endpoints', endpoints, '-connections', String(connections)]
    this.#members = members
    this.#folder = folder
  }

  servers(): Promise<readonly Server[]> {
    return Promise.resolve(this.#members.map(({ child }, at) => ({ name: `e${at + 1}`, pid: must(child.pid) })))
  }

  static async start(): Promise<EtcdCluster> {
    await build()
    const folder = mkdtempSync(join(tmpdir(), 'quorate-etcd-'))
    const ports = await freePorts(6)
    const servers = [1, 2, 3].map(number => ({
      name: `e${number}`,
      client: `http://127.0.0.1:${must(ports.pop())}`,
      peer: `http://127.0.0.1:${must(ports.pop())}`,
    }))
    const initial = servers.map(server => `${server.name}=${server.peer}`).join(',')
    const start = ({ name, client, peer }: (typeof servers)[number]): ChildProcess =>
      spawn(
        join(built, 'server'),
        [
          ...['--name', name, '--data-dir', join(folder, name), '--log-level', 'error'],
          ...['--listen-client-urls', client, '--advertise-client-urls', client],
          ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
          ...['--initial-cluster', initial, '--initial-cluster-state', 'new'],
          `--quota-backend-bytes=${quotaBytes}`,
        ],
        { stdio: 'ignore' },
      )
    const members = servers.map(server => ({ url: server.client, start: () => start(server), child: start(server) }))
    const endpoints = servers.map(server => server.client).join(',')
    const cluster = new EtcdCluster(endpoints, members, folder)
    try {
      await cluster.#untilHealthy()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  async #untilHealthy(): Promise<void> {
    for (const { url } of this.#members)
      await until('etcd is healthy', async () => (await fetch(`${url}/health`)).ok, { limitMs: 30_000 })
  }

  async killLeader(): Promise<() => Promise<void>> {
    const leads = async ({ url }: Member): Promise<boolean> =>
      /^etcd_server_is_leader 1$/m.test(await (await fetch(`${url}/metrics`)).text())
    const claims = await Promise.all(this.#members.map(leads))
    const leader = must(this.#members[claims.indexOf(true)], 'one of etcd leads')
    await end(leader.child)
    return async () => {
      leader.child = leader.start()
      await this.#untilHealthy()
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ child }) => end(child)))
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
