// The simulated world: machines on one network in one virtual time, and the checkers that watch every event of theirs.

import { strict as assert } from 'node:assert'
import { must } from '../../src/base/assert.ts'
import { isKvError } from '../../src/base/errors.ts'
import { type NodeId, type RangeId, type ReplicaId, asNodeId, systemKeyspace } from '../../src/base/ids.ts'
import { type Prng, createPrng } from '../../src/base/prng.ts'
import { encodeRow, latestPrefix } from '../../src/mvcc/engine-keys.ts'
import type { NodeCore } from '../../src/node-core.ts'
import type { Replica } from '../../src/range/replica.ts'
import { registryKey } from '../../src/range/node-registry.ts'
import { rangeOne } from '../../src/range/store.ts'
import type { RangeMessage } from '../../src/transport/transport.ts'
import { MemoryNetwork } from '../transport/memory-transport.ts'
import { type SimOptions, drawOptions, nodeConfig, nodeNames } from './options.ts'
import { RangeChecker } from './range-checker.ts'
import { SimScheduler } from './sim-clock.ts'
import { type NodeObserver, SimNode } from './sim-node.ts'
import type { Trace } from './trace.ts'

/** A range's log begins after it (src/range/store.ts). */
const rangeStart = 10
/** 2026-01-01, so that traces read the same whenever they are made. */
const unixStartMs = 1_767_225_600_000
/** Where the engine has the records of the nodes. */
const registered = latestPrefix + encodeRow(systemKeyspace, registryKey(asNodeId('')))
const messageKinds = new Map<string, number>()

export class World implements NodeObserver {
  readonly scheduler = new SimScheduler()
  readonly network: MemoryNetwork
  readonly nodes: readonly SimNode[]
  readonly options: SimOptions
  readonly trace: Trace
  readonly #checkers = new Map<RangeId, RangeChecker>()
  readonly #touched = new Set<SimNode>()
  readonly #watched = new Map<SimNode, ReadonlySet<Replica>>()
  readonly #networkPrng: Prng
  /** A process ended by itself; whoever expects that removes it. */
  onEnded: (node: SimNode, reason: unknown) => void = (node, reason) => {
    throw new Error(`${node.name} ended by itself: ${reason instanceof Error ? reason.stack : String(reason)}`)
  }
  leaderChanges = 0
  #failure: { readonly error: unknown } | undefined

  constructor(seed: number, trace: Trace, overrides: Partial<SimOptions> = {}) {
    this.trace = trace
    // One stream of numbers a purpose, so that a fault taken out does not change what is drawn elsewhere.
    const stream = (purpose: number): Prng => createPrng(seed * 64 + purpose)
    this.options = drawOptions(seed, stream(0), overrides)
    this.#networkPrng = stream(1)
    this.network = new MemoryNetwork({
      scheduler: this.scheduler,
      random: () => this.#networkPrng.next(),
      encodes: this.options.encodes,
      nodeAt: address => this.nodeAt(address),
    })
    this.network.setFaults(this.options.link)
    this.nodes = nodeNames(this.options.size).map(
      (name, at) =>
        new SimNode({
          name,
          number: at + 1,
          config: nodeConfig(this.options, name),
          scheduler: this.scheduler,
          network: this.network,
          prng: stream(8 + at),
          unixMs: unixStartMs + stream(2).below(100),
          traits: this.options.machine,
          sessionLimits: this.options.sessionLimits,
          peers: {
            find: node => this.node(node).process,
            nodeAt: address => this.nodeAt(address),
            travelMs: (from, to) => this.network.travelMs(from, to),
          },
          addresses: () => this.nodes.map(node => node.peerAddress),
          observer: this,
        }),
    )
  }

  /** Nobody is where somebody has been before. */
  nodeAt(address: string): NodeId | undefined {
    return this.nodes.find(node => node.peerAddress === address)?.name
  }

  get nowMs(): number {
    return this.scheduler.nowMs
  }

  /** What a right clock shows. */
  get unixMs(): number {
    return unixStartMs + this.scheduler.nowMs
  }

  node(name: NodeId): SimNode {
    return must(this.nodes.find(node => node.name === name))
  }

  checker(rangeId: RangeId): RangeChecker {
    let checker = this.#checkers.get(rangeId)
    if (checker === undefined) {
      checker = new RangeChecker(rangeId, rangeStart, this.options)
      this.#checkers.set(rangeId, checker)
    }
    return checker
  }

  /** The node that leads a range in the highest term, of those that say so. */
  leader(rangeId: RangeId = rangeOne): SimNode | undefined {
    let found: SimNode | undefined
    let highest = 0
    for (const node of this.nodes) {
      const replica = node.core?.store.replica(rangeId)
      if (replica === undefined || !replica.isLeader || replica.term <= highest || replica.stopped !== undefined)
        continue
      highest = replica.term
      found = node
    }
    return found
  }

  run(untilMs: number, until?: () => boolean) {
    return this.scheduler.run({ untilMs, ...(until && { until }), afterEvent: () => this.#check() })
  }

  /** Runs until the condition holds; fails when it does not within `limitMs`. */
  async until(what: string, limitMs: number, isMet: () => boolean): Promise<void> {
    const end = await this.run(this.nowMs + limitMs, isMet)
    assert.ok(end === 'condition' || isMet(), `${what} within ${limitMs} ms; ${this.describe()}`)
  }

  describe(): string {
    return this.nodes
      .map(node => {
        if (!node.isRunning) return `${node.name} is down`
        if (node.isPaused) return `${node.name} is paused`
        const replica = node.core?.store.replica(rangeOne)
        if (replica === undefined) return `${node.name} has no replica`
        const { role, term, commit, lastIndex, configuration, progress } = replica.status()
        const voters = `${configuration.voters}${configuration.votersOutgoing.length > 0 ? `/${configuration.votersOutgoing}` : ''}`
        return `${node.name}=${replica.replicaId} ${role} term ${term} applied ${replica.state.appliedIndex} commit ${commit} last ${lastIndex} voters ${voters}${replica.stopped === undefined ? '' : ` stopped: ${replica.stopped.kind}`}${replica.isInstalling ? ' installing' : ''}${progress.map(({ replica: id, match, next, state }) => ` ${id}:${match}<${next} ${state}`)}`
      })
      .join('; ')
  }

  touched(node: SimNode): void {
    this.#touched.add(node)
  }

  opened(node: SimNode, core: NodeCore): void {
    this.#watched.delete(node)
    this.trace.line(this.nowMs, node.name, `opened, ${core.log.recovered.length} replicas`)
    this.#watch(() => {
      for (const recovered of core.log.recovered) this.checker(recovered.rangeId).recovered(recovered)
    })
  }

  started(node: SimNode, { context, store }: NodeCore): void {
    // What it cannot read it does not know, until it is rebuilt.
    if (store.replicas().some(replica => replica.isQuarantined)) return
    this.#watch(() => {
      for (const key of node.engineDisk.pairs().keys()) {
        if (!key.startsWith(registered)) continue
        const name = asNodeId(key.slice(registered.length))
        assert.ok(context.knownStore(name) !== undefined, `${node.name} knows ${name}, of whom its state speaks`)
      }
    })
  }

  sent(node: SimNode, _to: NodeId, { rangeId, message }: RangeMessage): void {
    const replica = node.core?.store.replica(rangeId)
    if (replica === undefined || message.kind === 'state-hash') return
    this.#watch(() => this.checker(rangeId).sent(node.storeId, replica, message))
  }

  delivered(node: SimNode, from: NodeId, messages: readonly RangeMessage[]): void {
    for (const { message } of messages) {
      const index = 'index' in message ? message.index : 'previousIndex' in message ? message.previousIndex : 0
      this.trace.mix(this.nowMs, number(node.name), number(from), kindNumber(message.kind), message.term, index)
      if (this.trace.isReading && message.kind !== 'heartbeat' && message.kind !== 'heartbeat-response')
        this.trace.note(this.nowMs, node.name, `< ${from} ${describeMessage(message)}`)
    }
  }

  ended(node: SimNode, reason: unknown): void {
    this.trace.line(this.nowMs, node.name, `ended: ${reason instanceof Error ? reason.message : String(reason)}`)
    this.#watch(() => {
      // Told so by the cluster: right whenever it was removed, and nothing that anybody has to expect.
      if (isKvError(reason, 'removed')) this.checker(rangeOne).toldRemoved(node.storeId)
      else this.onEnded(node, reason)
    })
  }

  logged(node: SimNode, level: string, fields: object, message: string): void {
    if (message === 'role changed') this.leaderChanges += (fields as { isLeader?: boolean }).isLeader === true ? 1 : 0
    if (this.trace.isReading) this.trace.note(this.nowMs, node.name, `${level}: ${message} ${JSON.stringify(fields)}`)
  }

  /** What somebody found in passing ends the run at the end of this event. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** What a checker throws ends the run. The node that it looks at would take it for an error of its own. */
  #watch(look: () => void): void {
    try {
      look()
    } catch (error) {
      this.fail(error)
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    for (const node of this.#touched) {
      // The process is gone, and with it the handles of its log.
      if (node.core === undefined) {
        this.#watched.delete(node)
        continue
      }
      // What the checkers read is no operation of the node.
      const { fault } = node.logFiles
      node.logFiles.fault = noFault
      // What a replica did in the event in which it stopped, or left, counts as well.
      const replicas = node.core.store.replicas()
      for (const replica of new Set([...(this.#watched.get(node) ?? []), ...replicas]))
        if (replica.stopped === undefined || this.#watched.get(node)?.has(replica) === true)
          this.checker(replica.rangeId).check(replica, node.knowsDiskFull)
      for (const replica of this.#watched.get(node) ?? [])
        if (!replicas.includes(replica)) this.checker(replica.rangeId).left(replica)
      this.#watched.set(node, new Set(replicas.filter(replica => replica.stopped === undefined)))
      node.logFiles.fault = fault
    }
    this.#touched.clear()
  }
}

const noFault = (): undefined => undefined

function number(name: NodeId): number {
  return Number(name.slice(1))
}

function kindNumber(kind: string): number {
  let known = messageKinds.get(kind)
  if (known === undefined) {
    known = kind.length * 256 + kind.charCodeAt(kind.length - 1) + kind.charCodeAt(0)
    messageKinds.set(kind, known)
  }
  return known
}

function describeMessage(message: RangeMessage['message']): string {
  const { kind, from, to, ...rest } = message as RangeMessage['message'] & { entries?: readonly { index: number }[] }
  const entries = rest.entries
  const shown = entries === undefined ? rest : { ...rest, entries: entries.map(entry => entry.index).join(' ') }
  return `${kind} ${from}>${to as ReplicaId} ${JSON.stringify(shown)}`
}
