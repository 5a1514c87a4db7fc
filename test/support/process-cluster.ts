// Real nodes as real processes on free ports in a temporary folder, one Toxiproxy proxy on every directed peer link and
// on every client link. It starts, kills, pauses, wipes and looks; what a fault should do is the tests' business.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { quorate } from '../../src/proto/quorate.js'
import { freePorts } from './free-ports.ts'
import { type NodePlace, NodeProcess } from './node-process.ts'
import { type Link, ToxiproxyServer } from './toxiproxy.ts'
import { until } from './until.ts'

export interface ClusterOptions {
  readonly size?: number
  /** Proxies on all links (default), or none: then nothing needs Toxiproxy. */
  readonly proxied?: boolean
  readonly electionTimeoutMs?: number
  readonly flags?: readonly string[]
  /** Kept when the cluster closes; without it a temporary one is made, and removed. */
  readonly folder?: string
  /** What is peculiar to a node: where its data lie, its environment, who hears of its end. */
  readonly peculiar?: (name: string) => Pick<NodePlace, 'data' | 'environment' | 'onEnd'>
}

export interface ClusterView {
  readonly leader: string
  readonly term: number
  readonly commit: number
  readonly voters: readonly string[]
  readonly applied: number
}

export class ProcessCluster {
  readonly nodes: readonly NodeProcess[]
  readonly #folder: string
  readonly #isFolderKept: boolean
  readonly #toxiproxy: ToxiproxyServer | undefined
  readonly #links: ReadonlyMap<string, Link>
  readonly #url: string

  private constructor(
    nodes: readonly NodeProcess[],
    { folder, isKept }: { readonly folder: string; readonly isKept: boolean },
    toxiproxy: ToxiproxyServer | undefined,
    links: ReadonlyMap<string, Link>,
    url: string,
  ) {
    this.nodes = nodes
    this.#folder = folder
    this.#isFolderKept = isKept
    this.#toxiproxy = toxiproxy
    this.#links = links
    this.#url = url
  }

  /** Resolves when every node votes. */
  static async start(options: ClusterOptions = {}): Promise<ProcessCluster> {
    const cluster = await ProcessCluster.#build(options)
    try {
      await cluster.#bringUp()
      return cluster
    } catch (error) {
      const logs = cluster.nodes.map(node => `--- ${node.name}\n${node.logTail()}`).join('\n')
      await cluster.close()
      throw new Error(`the cluster did not come up: ${error instanceof Error ? error.message : error}\n${logs}`, {
        cause: error,
      })
    }
  }

  static async #build(options: ClusterOptions) {
    const { size = 5, proxied = true, electionTimeoutMs = 300, flags = [], peculiar } = options
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'quorate-cluster-'))
    const names = Array.from({ length: size }, (_, index) => `n${index + 1}`)
    const ports = await freePorts(size * (proxied ? 4 + size : 3))
    const address = () => `127.0.0.1:${must(ports.pop())}`
    const places = names.map(name => ({ name, client: address(), peer: address(), http: address() }))
    const links = new Map<string, Link>()
    const toxiproxy = proxied ? await ToxiproxyServer.start() : undefined
    const through = async (name: string, upstream: string) => {
      if (toxiproxy === undefined) return upstream
      const listen = address()
      links.set(name, await toxiproxy.link(name, listen, upstream))
      return listen
    }
    const nodes: NodeProcess[] = []
    const clients: string[] = []
    for (const place of places) {
      const others = places.filter(other => other !== place)
      const dialled = new Map<string, string>()
      for (const other of others) dialled.set(other.name, await through(linkName(place.name, other.name), other.peer))
      const advertised = await through(linkName('client', place.name), place.client)
      clients.push(advertised)
      nodes.push(
        new NodeProcess({
          ...place,
          ...peculiar?.(place.name),
          folder: join(folder, place.name),
          flags: [
            ...['--join', [...dialled.values()].join(',')],
            ...['--advertise', advertised, '--election-timeout', String(electionTimeoutMs), '--voters', String(size)],
            ...(proxied ? [...dialled].flatMap(([name, at]) => ['--peer', `${name}=${at}`]) : []),
            ...flags,
          ],
        }),
      )
    }
    const kept = { folder, isKept: options.folder !== undefined }
    return new ProcessCluster(nodes, kept, toxiproxy, links, `quorate://${clients.join(',')}`)
  }

  async #bringUp(): Promise<void> {
    for (const node of this.nodes) node.start()
    await Promise.all(this.nodes.map(node => node.untilLive()))
    await must(this.nodes[0]).client.init()
    await this.untilHealthy(30_000)
  }

  /** Through the client links' proxies, where there are any. */
  get url(): string {
    return this.#url
  }

  node(name: string): NodeProcess {
    return must(
      this.nodes.find(node => node.name === name),
      `no node ${name}`,
    )
  }

  others(...names: readonly string[]): NodeProcess[] {
    return this.nodes.filter(node => !names.includes(node.name))
  }

  /** What a node says of the range when asked alone; undefined while it knows no leader or does not answer. */
  async viewOf(node: NodeProcess): Promise<ClusterView | undefined> {
    const { ranges } = await node.client.status(true)
    const range = ranges[0]
    if (range === undefined || !range.leader) return undefined
    const voters = (range.replicas ?? []).filter(replica => replica.role === quorate.v1.ReplicaRole.REPLICA_ROLE_VOTER)
    return {
      leader: range.leader,
      term: range.term ?? 0,
      commit: range.commit ?? 0,
      voters: voters.map(replica => replica.node ?? ''),
      applied: range.applied ?? 0,
    }
  }

  /** The leader that itself says so, in the highest term among those that answer. */
  async leader(among: readonly NodeProcess[] = this.nodes, limitMs = 15_000): Promise<NodeProcess> {
    return until(
      'a leader',
      async () => {
        const views = await Promise.all(
          among
            .filter(node => node.isRunning)
            .map(async node => ({ node, view: await this.viewOf(node).catch(() => undefined) })),
        )
        const claims = views.filter(({ node, view }) => view?.leader === node.name)
        const newest = claims.sort((a, b) => (b.view?.term ?? 0) - (a.view?.term ?? 0))[0]
        const overtaken = views.some(({ view }) => (view?.term ?? 0) > (newest?.view?.term ?? 0))
        return overtaken ? undefined : newest?.node
      },
      { limitMs },
    )
  }

  /** Every node runs, all vote, all name one leader, and all have applied what is committed now. */
  async untilHealthy(limitMs = 20_000): Promise<void> {
    await until(
      'all nodes vote, agree and have caught up',
      async () => {
        const views = await Promise.all(this.nodes.map(node => this.viewOf(node)))
        const first = views[0]
        const commit = Math.max(...views.map(view => view?.commit ?? 0))
        const isHealthy = views.every(
          view =>
            view !== undefined &&
            view.leader === first?.leader &&
            view.voters.length === this.nodes.length &&
            view.applied >= commit,
        )
        // Thrown, so that a time-out says what was wrong.
        if (!isHealthy) throw new Error(views.map((view, n) => `n${n + 1} ${JSON.stringify(view)}`).join('\n'))
        return true
      },
      { limitMs },
    )
  }

  link(from: string, to: string): Link {
    return must(this.#links.get(linkName(from, to)), `no proxied link from ${from} to ${to}`)
  }

  /** The node must not run: at its next start it listens for other nodes on another port, and its proxies lead there. */
  async moveNode(name: string): Promise<void> {
    const [port] = await freePorts(1)
    const peer = `127.0.0.1:${must(port)}`
    this.node(name).movePeerListener(peer)
    await Promise.all(this.linksTo(name).map(link => link.leadTo(peer)))
  }

  /** The proxied links on which the others dial a node; none where there are no proxies. */
  linksTo(name: string): Link[] {
    return this.others(name).flatMap(other => this.#links.get(linkName(other.name, name)) ?? [])
  }

  clientLink(to: string): Link {
    return this.link('client', to)
  }

  /** Both links between each pair across, each in both directions. */
  linksBetween(left: readonly string[], right: readonly string[]): Link[] {
    return left.flatMap(a => right.flatMap(b => [this.link(a, b), this.link(b, a)]))
  }

  async heal(): Promise<void> {
    await this.#toxiproxy?.heal()
  }

  /** Heals, resumes and starts whatever a test left behind, and waits until all is well. */
  async restore(): Promise<void> {
    await this.heal()
    for (const node of this.nodes) {
      node.resume()
      node.start()
    }
    await this.untilHealthy()
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.close()))
    await this.#toxiproxy?.close()
    if (!this.#isFolderKept) rmSync(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function linkName(from: string, to: string): string {
  return `${from}-to-${to}`
}
