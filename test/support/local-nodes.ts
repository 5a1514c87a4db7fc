// A cluster of nodes in this process, on free ports of 127.0.0.1, with real engines, logs and gRPC: for what does not need
// processes or faults. Nodes are named n1, n2, …; each keeps its ports over a restart.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { must } from '../../src/base/assert.ts'
import { type Client, connect } from '../../src/client/client.ts'
import { parseConfig } from '../../src/config.ts'
import { type RunningNode, startNode } from '../../src/node.ts'
import { freePorts } from './free-ports.ts'
import { until } from './until.ts'

export interface LocalNodesOptions {
  readonly size: number
  readonly flags?: Readonly<Record<string, string | readonly string[]>>
  /** Is told of every warning and error that a node logs, as a line of JSON. */
  readonly onLine?: (name: string, line: string) => void
}

export class LocalNodes implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'quorate-nodes-'))
  readonly #ports: readonly number[]
  readonly #options: LocalNodesOptions
  readonly #running = new Map<string, RunningNode>()
  readonly #clients: Client[] = []

  private constructor(options: LocalNodesOptions, ports: readonly number[]) {
    this.#options = options
    this.#ports = ports
  }

  /** Started, and not yet in a cluster. */
  static async start(options: LocalNodesOptions): Promise<LocalNodes> {
    const nodes = new LocalNodes(options, await freePorts(options.size * 3))
    for (const name of nodes.names) await nodes.startNode(name)
    return nodes
  }

  /** Started, initialised at n1, and all voting. */
  static async cluster(options: LocalNodesOptions): Promise<LocalNodes> {
    const nodes = await LocalNodes.start(options)
    await nodes.client('n1').admin.init()
    await nodes.allVote()
    return nodes
  }

  get names(): readonly string[] {
    return Array.from({ length: this.#options.size }, (_, at) => `n${at + 1}`)
  }

  dataOf(name: string): string {
    return join(this.folder, name)
  }

  flagsOf(name: string): Record<string, string | readonly string[]> {
    const at = this.names.indexOf(name)
    const address = (kind: number): string => `127.0.0.1:${must(this.#ports[at * 3 + kind])}`
    return {
      node: name,
      data: this.dataOf(name),
      listen: address(0),
      'peer-listen': address(1),
      'http-listen': address(2),
      join: this.names.map((_, other) => `127.0.0.1:${must(this.#ports[other * 3 + 1])}`),
      'log-level': 'silent',
      // Many nodes, of short lives, on one disk.
      set: ['diskBallastBytes=1048576'],
      ...this.#options.flags,
    }
  }

  httpUrl(name: string): string {
    return `http://${this.flagsOf(name)['http-listen'] as string}`
  }

  /** `changes` hold for this start alone. */
  async startNode(name: string, changes: LocalNodesOptions['flags'] = {}): Promise<RunningNode> {
    const config = parseConfig({ ...this.flagsOf(name), ...changes }, {})
    const { onLine } = this.#options
    const logger =
      onLine === undefined
        ? pino({ level: process.env.NODE_LOG ?? 'silent' })
        : pino({ level: 'warn' }, { write: line => onLine(name, line) })
    const node = await startNode(config, logger)
    this.#running.set(name, node)
    return node
  }

  running(name: string): RunningNode {
    return must(this.#running.get(name))
  }

  async stopNode(name: string): Promise<void> {
    const node = this.running(name)
    this.#running.delete(name)
    await node.close()
  }

  /** The node must be stopped. */
  wipe(name: string): void {
    rmSync(this.dataOf(name), { recursive: true, force: true })
  }

  /** Talks to one node alone, or to all of them. */
  client(...names: string[]): Client {
    const addresses = (names.length > 0 ? names : this.names).map(name => this.flagsOf(name).listen as string)
    const client = connect(`quorate://${addresses.join(',')}`)
    this.#clients.push(client)
    return client
  }

  /** Every node votes, and has applied the same. */
  async allVote(): Promise<void> {
    const client = this.client()
    await until('all nodes vote and agree', async () => {
      const [range] = (await client.admin.status()).ranges
      const replicas = range?.replicas ?? []
      return (
        replicas.length === this.#options.size &&
        replicas.every(replica => replica.role === 'voter') &&
        new Set(replicas.map(replica => `${replica.applied}/${replica.hash}`)).size === 1
      )
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    await Promise.all([...this.#running.values()].map(node => node.close()))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
