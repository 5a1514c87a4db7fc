// What all calls of one client share: connections, routes, the observed clock, discovery. It knows no operations, only how
// many are under way: while there are none, nothing here keeps the process alive, or dials.

import { KvError } from '../base/errors.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { Backoff } from './backoff.ts'
import type { BatchStream } from './batch-stream.ts'
import { copyBytes, noBytes } from './bytes.ts'
import { closedError } from './call-errors.ts'
import type { Connection } from './connection.ts'
import { Discovery } from './discovery.ts'
import { NodeLinks } from './node-links.ts'
import { ObservedClock } from './observed-clock.ts'
import type { Settings } from './options.ts'
import { Pace } from './pace.ts'
import { Routes } from './routes.ts'
import { type RequestHeader, type ResponseHeader, nodesMethod } from './wire.ts'

const nodeShareOfTimeout = 0.85
const discoveryEveryMs = 1000
/** A node that accepts its connections slowly is slow, not dead: its answer is waited for. */
const askTimeoutMs = 8000
const attemptGrowth = 2
const attemptGrowthsMax = 3
/** Who was asked instead of a silent leader and has not answered by then may be dead as well: the next one is asked. */
const askPatienceMs = 200
/** Without an operation for so long, streams end: until then they keep the process alive, and the next one finds them open. */
const lingerMs = 100
/** How often connections are looked after while there are operations. */
const tendEveryMs = 1000
/** What could not be connected and was not used for so long is given up: longer than any call waits for it. */
const vainMs = 30_000
/** So much at most do clients that lost one node at one time spread the dialling of another. */
const lossJitterMs = 30
/** An operation that got no further with those that are connected asks all in turn. */
const attemptsByConnection = 3

export class Cluster {
  readonly settings: Settings
  readonly clock: Clock
  readonly observed: ObservedClock
  readonly routes: Routes
  readonly backoff: Backoff
  readonly #pace = new Pace()
  readonly #links = new Map<string, NodeLinks>()
  readonly #discovery: Discovery
  #clusterId: Uint8Array = noBytes
  #isReady = false
  #isClosed = false
  #discoveredAtMs = Number.NEGATIVE_INFINITY
  readonly #whenReady = new Set<() => void>()
  readonly #whenIdle = new Set<() => void>()
  /** Operations under way. */
  #operations = 0
  #idleSinceMs = 0
  #tending: Timer | undefined
  #isTendingSoon = false
  /** Who was asked last instead of a silent leader, while it has not answered. */
  #asked: { readonly address: string; readonly sinceMs: number } | undefined
  /** Ends what is asked for the sake of operations, when there are none any more. */
  #asking = new AbortController()
  /** Why nobody could be reached, for the error of a call that gave up waiting. */
  discoveryError: KvError | undefined

  constructor(seeds: readonly string[], settings: Settings) {
    const { clock, random } = settings
    this.settings = settings
    this.clock = clock
    this.observed = new ObservedClock(clock)
    this.routes = new Routes(seeds, Math.floor(random() * seeds.length))
    this.backoff = new Backoff(clock, random)
    this.#discovery = new Discovery(clock, random, {
      candidates: () => this.routes.inTurn(clock.monotonicMs(), this.#isConnected),
      ask: async (address, signal) => (await this.#askForNodes(address, signal)) !== undefined,
      isWanted: () => !this.#isReady && !this.#isClosed && this.#operations > 0,
    })
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

  /** Runs `callback`, once, when some node has answered; never, when what is returned is called before. */
  whenReady(callback: () => void): () => void {
    this.#whenReady.add(callback)
    this.discover()
    return () => this.#whenReady.delete(callback)
  }

  /** Runs `callback` each time when there has been no operation for a while, until what is returned is called. */
  whenIdle(callback: () => void): () => void {
    this.#whenIdle.add(callback)
    return () => this.#whenIdle.delete(callback)
  }

  /** An operation begins. */
  enter(): void {
    this.#operations++
  }

  /** An operation has ended. */
  leave(): void {
    this.#operations--
    if (this.#operations > 0 || this.#isClosed) return
    this.#idleSinceMs = this.clock.monotonicMs()
    // Where a caller asks again and again, the timer that stands will do.
    if (!this.#isTendingSoon) this.#tendIn(lingerMs)
  }

  #tendIn(delayMs: number): void {
    this.#tending?.cancel()
    this.#isTendingSoon = delayMs <= lingerMs
    this.#tending = this.clock.setTimer(delayMs, () => this.#tend())
  }

  /** `run` is an operation. */
  async during<Result>(run: () => Promise<Result>): Promise<Result> {
    this.enter()
    try {
      return await run()
    } finally {
      this.leave()
    }
  }

  /** For calls, and for what travels in batches while there is little of it. */
  connection(address: string): Connection {
    return this.#linksTo(address).shared
  }

  /** For what follows the first page of a scan: it may fill a slow line for long. */
  scanConnection(address: string): Connection {
    return this.#linksTo(address).scans
  }

  writeStream(address: string): BatchStream {
    return this.#linksTo(address).writes
  }

  /** `slot`: which of the lane's batches under way; `isSpread`: each slot has a connection of its own. */
  readStream(address: string, group: number, slot: number, isSpread: boolean): BatchStream {
    return this.#linksTo(address).reads(group, slot, isSpread)
  }

  #linksTo(address: string): NodeLinks {
    if (this.#isClosed) throw closedError()
    let links = this.#links.get(address)
    if (links === undefined) {
      links = new NodeLinks(address, this.clock, this.#pace, stream => this.#leaderIsSilent(address, stream))
      this.#links.set(address, links)
    }
    if (this.#tending === undefined) this.#tendIn(tendEveryMs)
    return links
  }

  readonly #isConnected = (address: string): boolean => this.#links.get(address)?.shared.isReady ?? false

  /** Where a call to the leader goes: to another node, best one that is connected already, while none is known. */
  pickLeader(nowMs: number, attempts: number): string {
    return this.routes.pickLeader(nowMs, attempts <= attemptsByConnection ? this.#isConnected : undefined)
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

  /** How long an attempt waits for its answer, after `unanswered` that had none: a cluster may be slow, and not dead. */
  attemptMs(unanswered: number): number {
    return this.#pace.patienceMs(
      this.settings.attemptTimeoutMs * attemptGrowth ** Math.min(unanswered, attemptGrowthsMax),
    )
  }

  /** The cluster's time, as far as its nodes agree on one. */
  now(): Timestamp {
    return this.observed.now(this.routes.addresses.length)
  }

  /** The connection to `address` failed. Returns for how many milliseconds another should wait to be asked. */
  lost(address: string): number {
    this.routes.failed(address, this.clock.monotonicMs())
    this.discover()
    return lossJitterMs * this.settings.random()
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
      case 'damaged':
      case 'not-initialised':
        this.routes.cannotServe(address, nowMs)
        this.discover()
        return false
      default:
        return false
    }
  }

  /** Asks for all nodes, until one answers; once one has, at most once a second. */
  discover(): void {
    if (this.#isClosed || this.#operations === 0) return
    const nowMs = this.clock.monotonicMs()
    if (this.#isReady && nowMs - this.#discoveredAtMs < discoveryEveryMs) return
    this.#discoveredAtMs = nowMs
    this.#discovery.start()
  }

  /**
   * A leader that was replaced while it was stopped or cut off never says so. The others do: what waits for it is given up
   * as soon as another says that it leads, and until then one of them is asked again. A leader that is only slow keeps its
   * calls.
   */
  #leaderIsSilent(address: string, stream: BatchStream): void {
    const giveUpWhenReplaced = (): void => {
      const { leader, leaderAddress } = this.routes
      if (leaderAddress === undefined || leaderAddress === address || !stream.isSilentSinceBefore(leader)) return
      stream.abandon(`silent, and ${leader} leads`)
    }
    giveUpWhenReplaced()
    if (this.#isClosed || !stream.isSilent) return
    const nowMs = this.clock.monotonicMs()
    const asked = this.#asked
    if (asked !== undefined && nowMs - asked.sinceMs < askPatienceMs) return
    const others = this.routes.inTurn(nowMs, this.#isConnected).filter(other => other !== address)
    const next = others[(others.indexOf(asked?.address ?? '') + 1) % others.length]
    if (next !== undefined) void this.#askWhoLeads(next, address).then(giveUpWhenReplaced)
  }

  /** Asks `address` instead of the silent leader, and whoever it says leads in its stead: only that one is believed. */
  async #askWhoLeads(address: string, silent: string): Promise<void> {
    const ask = { address, sinceMs: this.clock.monotonicMs() }
    this.#asked = ask
    const { signal } = this.#asking
    const leader = await this.#askForNodes(address, signal)
    if (this.#asked === ask) this.#asked = undefined
    const successor = leader === undefined ? undefined : this.routes.addressOf(leader)
    if (successor === undefined || successor === silent || successor === address || signal.aborted) return
    await this.#askForNodes(successor, signal)
  }

  /** Resolves to who leads according to the node, empty when it knows of nobody; undefined when its answer is of no use. */
  async #askForNodes(address: string, signal: AbortSignal): Promise<string | undefined> {
    const header = { clock: this.observed.token, timeoutMs: askTimeoutMs }
    try {
      const response = await this.connection(address).unary(
        nodesMethod,
        { header },
        { timeoutMs: askTimeoutMs, signal },
      )
      if (response.clusterId.length > 0) {
        if (this.#clusterId.length === 0) this.#clusterId = copyBytes(response.clusterId)
        else if (Buffer.compare(this.#clusterId, response.clusterId) !== 0) return undefined
      }
      this.answered(address, response.header)
      if (this.settings.discover) {
        for (const node of response.nodes) this.routes.learn(node.record?.id ?? '', node.record?.clientAddress ?? '')
      }
      this.#becomeReady()
      return response.header?.leader ?? ''
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      if (signal.aborted) return undefined
      this.discoveryError = error
      // A node that answers with a reason of its own was reached; the operation will tell the caller why not.
      if (error.code === 'not-initialised' || error.code === 'not-leader') {
        this.#becomeReady()
        return ''
      }
      this.routes.failed(address, this.clock.monotonicMs())
      return undefined
    }
  }

  #becomeReady(): void {
    if (this.#isReady || this.#isClosed) return
    this.#isReady = true
    const callbacks = [...this.#whenReady]
    this.#whenReady.clear()
    for (const callback of callbacks) callback()
  }

  /** Looks after connections for as long as there are operations, and a moment longer. */
  #tend(): void {
    this.#tending = undefined
    this.#isTendingSoon = false
    if (this.#isClosed) return
    const isBusy = this.#operations > 0
    const lingerLeftMs = this.#idleSinceMs + lingerMs - this.clock.monotonicMs()
    if (!isBusy && lingerLeftMs <= 0) {
      this.#rest()
      return
    }
    const known = new Set(this.routes.addresses)
    for (const [address, links] of this.#links) {
      links.closeVain(vainMs)
      if (known.has(address) || !links.isIdle) continue
      links.close()
      this.#links.delete(address)
    }
    this.#tendIn(isBusy ? tendEveryMs : lingerLeftMs)
  }

  /** Nobody waits for anything: what is asked and dialled all the same ends, and no stream or timer is left. */
  #rest(): void {
    this.#discovery.stop()
    this.#asking.abort()
    this.#asking = new AbortController()
    for (const callback of this.#whenIdle) callback()
    for (const links of this.#links.values()) links.rest()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#whenReady.clear()
    this.#tending?.cancel()
    this.#rest()
    for (const links of this.#links.values()) links.close()
    this.#links.clear()
  }
}
