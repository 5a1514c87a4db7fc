// The real Toxiproxy server: TOXIPROXY_URL, the PATH, or `go install` into the cache. Where it cannot be had, suites are
// skipped with a loud message, and fail when CI=true: a suite that silently tests nothing is worse than none.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Proxy as ProxyApi, type Toxic, type ToxicType as Type, Toxiproxy } from 'toxiproxy-node-client'
import { findToxiproxy } from '../../src/cli/local-cluster-proxies.ts'
import { freePorts } from './free-ports.ts'
import { until, within } from './until.ts'

const apiLimitMs = 5_000
const removalLimitMs = 1_000

/** Why there is no Toxiproxy, or undefined when there is one. Throws in CI. */
export async function toxiproxyMissing(): Promise<string | undefined> {
  if (process.env.TOXIPROXY_URL !== undefined) return undefined
  try {
    await findToxiproxy()
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (process.env.CI === 'true') throw error
    console.error(`\n*** SKIPPED, because there is no Toxiproxy: ${reason} ***\n`)
    return reason
  }
}

export type Direction = 'upstream' | 'downstream'
/** `drop` loses every byte and resets on healing; `hold` keeps them back and delivers on healing. */
export type Cut = 'drop' | 'hold'

/** One proxied link. `upstream` is from the dialler to whom it dialled. */
export class Link {
  readonly name: string
  /** Where the dialler dials. */
  readonly listen: string
  #api: ProxyApi
  readonly #toxics: Toxic<object>[] = []
  readonly #restart: ((upstream: string) => Promise<ProxyApi>) | undefined
  #upstream: string
  #isOff = false

  /** `restart`: ends the server that the proxy is in, and has the same proxy in another. */
  constructor(name: string, api: ProxyApi, restart?: (upstream: string) => Promise<ProxyApi>) {
    this.name = name
    this.listen = api.listen
    this.#upstream = api.upstream
    this.#api = api
    this.#restart = restart
  }

  async #toxic(type: Type, stream: Direction, attributes: object): Promise<void> {
    const name = `${type}-${stream}`
    const body = { name, type, stream, toxicity: 1, attributes }
    this.#toxics.push(await within(`${this.name}: ${name}`, apiLimitMs, this.#api.addToxic(body)))
  }

  async cut(how: Cut, directions: readonly Direction[] = ['upstream', 'downstream']): Promise<void> {
    for (const stream of directions) {
      if (how === 'drop') await this.#toxic('timeout', stream, { timeout: 0 })
      else await this.#toxic('bandwidth', stream, { rate: 0 })
    }
  }

  async slow(latencyMs: number, jitterMs: number): Promise<void> {
    for (const stream of ['upstream', 'downstream'] as const) {
      await this.#toxic('latency', stream, { latency: latencyMs, jitter: jitterMs })
    }
  }

  /** Resets every connection now, and whatever is dialled until healing. */
  async reset(): Promise<void> {
    await this.#toxic('reset_peer', 'downstream', { timeout: 0 })
  }

  /** Alive, and hardly of use: late, in crumbs of some 200 bytes, and `kilobytesPerSecond` at most, in both directions. */
  async gray(latencyMs: number, jitterMs: number, kilobytesPerSecond: number): Promise<void> {
    await this.slow(latencyMs, jitterMs)
    for (const stream of ['upstream', 'downstream'] as const) {
      await this.#toxic('slicer', stream, { average_size: 200, size_variation: 100, delay: 100 })
      await this.#toxic('bandwidth', stream, { rate: kilobytesPerSecond })
    }
  }

  /** Carries so much of what the dialler says, and its answers as quickly as ever. */
  async thin(kilobytesPerSecond: number): Promise<void> {
    await this.#toxic('bandwidth', 'upstream', { rate: kilobytesPerSecond })
  }

  /** Each end learns so much later that the other has closed. */
  async slowClose(delayMs: number): Promise<void> {
    for (const stream of ['upstream', 'downstream'] as const)
      await this.#toxic('slow_close', stream, { delay: delayMs })
  }

  /** Closes every connection that has carried so many bytes in one direction. */
  async limitData(bytes: number): Promise<void> {
    for (const stream of ['upstream', 'downstream'] as const) await this.#toxic('limit_data', stream, { bytes })
  }

  /** Refuses whoever dials, and closes what stands, until healing. */
  async off(): Promise<void> {
    this.#isOff = true
    await this.#enable(false)
  }

  /** From now on the proxy dials there; what stands is closed. */
  async leadTo(upstream: string): Promise<void> {
    this.#upstream = upstream
    await this.#enable(!this.#isOff)
  }

  async #enable(enabled: boolean): Promise<void> {
    const state = { enabled, listen: this.listen, upstream: this.#upstream }
    await within(`${this.name}: enabled ${enabled}`, apiLimitMs, this.#api.update(state))
  }

  /**
   * The last toxic goes first: one that is removed hands what it holds to the next, and Toxiproxy waits for that, with
   * the whole proxy locked. When whoever it was for has closed the connection meanwhile, it waits for ever (2.12): then the
   * proxy's server is started anew, which resets the connections.
   */
  async heal(): Promise<void> {
    const toxics = this.#toxics.splice(0).reverse()
    const removal = (async () => {
      for (const toxic of toxics) await toxic.remove()
    })()
    try {
      await within(`${this.name}: healing`, removalLimitMs, removal)
    } catch (error) {
      if (this.#restart === undefined) throw error
      removal.catch(() => {})
      this.#api = await this.#restart(this.#upstream)
      this.#isOff = false
    }
    if (!this.#isOff) return
    await this.#enable(true)
    this.#isOff = false
  }

  async close(): Promise<void> {
    await within(`${this.name}: removal`, apiLimitMs, this.#api.remove())
  }
}

/** A server of our own; a link each, so that one that hangs can be ended alone. */
class ServerProcess {
  readonly api: Toxiproxy
  readonly #child: ChildProcess

  private constructor(api: Toxiproxy, child: ChildProcess) {
    this.api = api
    this.#child = child
  }

  static async start(path: string): Promise<ServerProcess> {
    const [port] = await freePorts(1)
    const child = spawn(path, ['-host', '127.0.0.1', '-port', String(port)], { stdio: 'ignore' })
    const server = new ServerProcess(new Toxiproxy(`http://127.0.0.1:${port}`), child)
    await until('toxiproxy answers', () => within('version', 500, server.api.getVersion()))
    return server
  }

  async stop(): Promise<void> {
    const ended = this.#child.exitCode === null ? once(this.#child, 'exit') : undefined
    this.#child.kill('SIGKILL')
    await ended
  }
}

export class ToxiproxyServer {
  readonly #given: Toxiproxy | undefined
  readonly #path: string
  readonly #servers = new Set<ServerProcess>()
  readonly #links: Link[] = []

  private constructor(given: Toxiproxy | undefined, path: string) {
    this.#given = given
    this.#path = path
  }

  static async start(): Promise<ToxiproxyServer> {
    const given = process.env.TOXIPROXY_URL
    if (given !== undefined) return new ToxiproxyServer(new Toxiproxy(given), '')
    return new ToxiproxyServer(undefined, await findToxiproxy())
  }

  async link(name: string, listen: string, upstream: string): Promise<Link> {
    const body = { name: `${process.pid}-${listen}-${name}`, listen, upstream, enabled: true }
    const create = (api: Toxiproxy, to = upstream) =>
      within(`a proxy for ${name}`, apiLimitMs, api.createProxy({ ...body, upstream: to }))
    let link: Link
    if (this.#given !== undefined) link = new Link(name, await create(this.#given))
    else {
      let server = await this.#startServer()
      link = new Link(name, await create(server.api), async to => {
        await server.stop()
        this.#servers.delete(server)
        server = await this.#startServer()
        return create(server.api, to)
      })
    }
    this.#links.push(link)
    return link
  }

  async #startServer(): Promise<ServerProcess> {
    const server = await ServerProcess.start(this.#path)
    this.#servers.add(server)
    return server
  }

  /** Removes every toxic, from our own links alone: a server that was given may have others. */
  async heal(): Promise<void> {
    await Promise.all(this.#links.map(link => link.heal()))
  }

  async close(): Promise<void> {
    if (this.#given !== undefined) await Promise.allSettled(this.#links.map(link => link.close()))
    await Promise.all([...this.#servers].map(server => server.stop()))
  }
}
