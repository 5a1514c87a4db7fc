// What all calls of one client share: connections, routes, the observed clock, discovery. It knows no operations.

import { KvError } from '../base/errors.ts'
import type { Clock } from '../time/clock.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { Backoff } from './backoff.ts'
import { BatchStream } from './batch-stream.ts'
import { copyBytes, noBytes } from './bytes.ts'
import { Connection } from './connection.ts'
import { ObservedClock } from './observed-clock.ts'
import type { Settings } from './options.ts'
import { Routes } from './routes.ts'
import { type RequestHeader, type ResponseHeader, nodesMethod } from './wire.ts'

/**
 * Connections to one node are told apart by lane: 0 carries writes, 1 unary calls and what follows the first page of a scan, 2 and up
 * gets, and behind those the first pages of scans.
 */
export const writeLane = 0
export const callLane = 1
export const firstReadLane = 2

interface Link {
  readonly connection: Connection
  readonly stream: BatchStream
}

const nodeShareOfTimeout = 0.85
const discoveryTimeoutMs = 1000
const discoveryEveryMs = 500

export class Cluster {
  readonly settings: Settings
  readonly clock: Clock
  readonly observed: ObservedClock
  readonly routes: Routes
  readonly backoff: Backoff
  readonly #links = new Map<string, Link[]>()
  #clusterId: Uint8Array = noBytes
  #isReady = false
  #isClosed = false
  #isDiscovering = false
  #discoveredAtMs = Number.NEGATIVE_INFINITY
  #whenReady: (() => void)[] = []
  /** Addresses that are being asked who leads, for the sake of a silent leader. */
  readonly #asking = new Set<string>()
  /** Why nobody could be reached, for the error of a call that gave up waiting. */
  discoveryError: KvError | undefined

  constructor(seeds: readonly string[], settings: Settings) {
    this.settings = settings
    this.clock = settings.clock
    this.observed = new ObservedClock(settings.clock)
    this.routes = new Routes(seeds, Math.floor(settings.random() * seeds.length))
    this.backoff = new Backoff(settings.clock, settings.random)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Some node has answered: the cluster's time and nodes are known. */
  get isReady(): boolean {
    return this.#isReady
  }

  get clusterId(): Uint8Array {
    return this.#clusterId
  }

  /** Runs `callback`, once, when some node has answered. Never, when the client is closed before. */
  whenReady(callback: () => void): void {
    this.#whenReady.push(callback)
    this.discover()
  }

  connection(address: string, lane: number): Connection {
    return this.#link(address, lane).connection
  }

  stream(address: string, lane: number): BatchStream {
    return this.#link(address, lane).stream
  }

  #link(address: string, lane: number): Link {
    let links = this.#links.get(address)
    if (links === undefined) {
      links = []
      this.#links.set(address, links)
    }
    let link = links[lane]
    if (link === undefined) {
      const connection = new Connection(address)
      const onSilence = (stream: BatchStream): void => this.#leaderIsSilent(address, stream)
      link = { connection, stream: new BatchStream(connection, this.clock, onSilence) }
      links[lane] = link
    }
    return link
  }

  /** `timeoutMs`: how long this attempt waits. The node is given less, so that its own reason comes back in time. */
  header(timeoutMs: number): RequestHeader {
    return {
      clock: this.observed.token,
      timeoutMs: Math.max(1, Math.floor(timeoutMs * nodeShareOfTimeout)),
      clusterId: this.#clusterId,
    }
  }

  /** `address` answered. */
  answered(address: string, header: ResponseHeader | null | undefined): void {
    this.routes.answeredBy(header?.node ?? '', address)
    if (!header) return
    this.observed.observe(header.node || address, header.now)
    if (!header.leader || !this.routes.maybeLeaderIs(header, address, this.clock.monotonicMs())) return
    if (this.routes.leaderAddress === undefined) this.discover()
  }

  /** The cluster's time, as far as its nodes agree on one. */
  now(): Timestamp {
    return this.observed.now(this.routes.addresses.length)
  }

  /** The connection to `address` failed. */
  lost(address: string): void {
    this.routes.failed(address, this.clock.monotonicMs())
    this.discover()
  }

  /** `address` refused with `error`. Whether another attempt should go at once: the error names another leader. */
  refused(address: string, error: KvError): boolean {
    const nowMs = this.clock.monotonicMs()
    if (error.leaderAddress !== undefined) this.routes.learn(error.leader ?? '', error.leaderAddress)
    switch (error.code) {
      case 'not-leader':
        this.routes.forgetLeader(address)
        if (error.leader === undefined) return false
        this.routes.leaderTo(error.leader)
        if (this.routes.leaderAddress === undefined) this.discover()
        return this.routes.pickLeader(nowMs) !== address
      case 'unavailable':
      case 'unknown-outcome':
      case 'draining':
      case 'not-initialised':
        this.routes.cannotServe(address, nowMs)
        this.discover()
        return false
      default:
        return false
    }
  }

  /** Asks all nodes for all nodes, at most twice a second, until one answers. */
  discover(): void {
    const nowMs = this.clock.monotonicMs()
    if (this.#isClosed || this.#isDiscovering || nowMs - this.#discoveredAtMs < discoveryEveryMs) return
    this.#isDiscovering = true
    this.#discoveredAtMs = nowMs
    let open = 0
    const done = (): void => {
      open--
      if (open > 0) return
      this.#isDiscovering = false
      if (!this.#isReady && !this.#isClosed) {
        this.clock.setTimer(this.backoff.delayMs(2), () => {
          this.#discoveredAtMs = Number.NEGATIVE_INFINITY
          this.discover()
        })
      }
    }
    const addresses = this.routes.addresses
    open = addresses.length
    for (const address of addresses) void this.#askForNodes(address).then(done, done)
  }

  /**
   * A leader that was replaced while it was stopped or cut off never says so. The others do: what waits for it is given up
   * as soon as another is known to lead, and until then they are asked again. A leader that is only slow keeps its calls.
   */
  #leaderIsSilent(address: string, stream: BatchStream): void {
    const giveUpWhenReplaced = (): void => {
      const { leaderAddress } = this.routes
      if (leaderAddress === undefined || leaderAddress === address || !stream.isSilent) return
      stream.abandon(`silent, and ${this.routes.leader} leads`)
    }
    giveUpWhenReplaced()
    if (this.#isClosed || !stream.isSilent) return
    for (const other of this.routes.addresses) {
      if (other === address || this.#asking.has(other)) continue
      this.#asking.add(other)
      const done = (): void => {
        this.#asking.delete(other)
        giveUpWhenReplaced()
      }
      void this.#askForNodes(other).then(done, done)
    }
  }

  async #askForNodes(address: string): Promise<void> {
    const connection = this.connection(address, callLane)
    const header = { clock: this.observed.token, timeoutMs: discoveryTimeoutMs }
    try {
      const response = await connection.unary(nodesMethod, { header }, { timeoutMs: discoveryTimeoutMs })
      if (response.clusterId.length > 0) {
        if (this.#clusterId.length === 0) this.#clusterId = copyBytes(response.clusterId)
        else if (Buffer.compare(this.#clusterId, response.clusterId) !== 0) return
      }
      this.answered(address, response.header)
      if (this.settings.discover) {
        for (const node of response.nodes) this.routes.learn(node.record?.id ?? '', node.record?.clientAddress ?? '')
      }
      this.#becomeReady()
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.discoveryError = error
      // A node that answers with a reason of its own was reached; the operation will tell the caller why not.
      if (error.code === 'not-initialised' || error.code === 'not-leader') this.#becomeReady()
      else if (error.code === 'unknown-outcome') connection.redial()
    }
  }

  #becomeReady(): void {
    if (this.#isReady || this.#isClosed) return
    this.#isReady = true
    const callbacks = this.#whenReady
    this.#whenReady = []
    for (const callback of callbacks) callback()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#whenReady = []
    for (const links of this.#links.values()) {
      for (const link of links) {
        link?.stream.close()
        link?.connection.close()
      }
    }
    this.#links.clear()
  }
}
