// Concurrent clients that read and write registers, sets and queues, and record all they see. Half of them speak through
// the SDK, with sessions; half by unary calls, each to a node of its choice, without.
//
//   const history = new History(path)
//   const workload = Workload.start({ url, nodes, history, seed })
//   …
//   const report = await workload.stop()
//   await history.close()
//   const verdict = await checkHistory(path)
//
// The seed decides what each client draws; the order in which they come to draw is the machine's.

import { setTimeout as delay } from 'node:timers/promises'
import { must } from '../../src/base/assert.ts'
import { createPrng, type Prng } from '../../src/base/prng.ts'
import { within } from '../support/until.ts'
import type { History } from './history.ts'
import { type Access, sdkAccess, UnaryNode } from './workload-access.ts'
import { queueModel, registerModel, setModel, type Step, type WorkloadModel } from './workload-models.ts'
import { WorkloadCounts, type WorkloadReport } from './workload-report.ts'

export interface WorkloadNode {
  readonly name: string
  /** Where clients reach it, `host:port`; through its proxy where there is one. */
  readonly address: string
}

export interface WorkloadOptions {
  /** For the SDK, `quorate://host:port,…`. */
  readonly url: string
  /** For the unary calls. */
  readonly nodes: readonly WorkloadNode[]
  readonly history: History
  readonly seed: number
  /** Default 32. */
  readonly clients?: number
  /** Operations a second that all clients together begin at most. Default 1000. */
  readonly rate?: number
  /** How long one operation may take. Default 1500. */
  readonly timeoutMs?: number
  /** Ends the load; `stop` must still be called. */
  readonly signal?: AbortSignal
  /** How long the last look at all keys may take in all; 0: none. Default 120,000. */
  readonly lastReadsLimitMs?: number
  /** For tests: what all clients use instead of connections. */
  readonly access?: Access
}

type Settings = Required<Omit<WorkloadOptions, 'signal' | 'access'>>

/** Callers that share one SDK client, so that its batches carry several writes. */
const callersPerSdk = 3
const lastReadAttemptsMs = 5_000
let workloads = 0

interface Accesses {
  readonly shared: readonly Access[]
  readonly unary: readonly UnaryNode[]
}

interface Caller {
  process: number
  readonly prng: Prng
  readonly access: () => Access
}

export class Workload {
  readonly #options: Settings
  readonly #counts = new WorkloadCounts()
  readonly #stopping = new AbortController()
  readonly #startMs = performance.now()
  #endMs: number | undefined
  readonly #accesses: Accesses
  readonly #models: readonly { readonly share: number; readonly model: WorkloadModel }[]
  readonly #callers: readonly Caller[]
  readonly #running: readonly Promise<void>[]
  #values = 0
  #stopped: Promise<WorkloadReport> | undefined

  private constructor(options: WorkloadOptions) {
    const { clients = 32, rate = 1_000, timeoutMs = 1_500, lastReadsLimitMs = 120_000 } = options
    const { signal, access, ...given } = options
    this.#options = { ...given, clients, rate, timeoutMs, lastReadsLimitMs }
    const source = {
      prng: createPrng(given.seed),
      // Another run, or another workload, on the same cluster must not meet these keys.
      prefix: `workload-${process.pid}-${Date.now()}-${workloads++}/`,
      nextValue: () => (this.#values++).toString(36),
    }
    this.#models = [
      { share: 0.6, model: registerModel(source) },
      { share: 0.2, model: setModel(source) },
      { share: 0.2, model: queueModel(source) },
    ]
    this.#accesses = access === undefined ? connectAll(this.#options) : { shared: [access], unary: [] }
    this.#callers = this.#createCallers()
    signal?.addEventListener('abort', () => this.#end(), { once: true })
    if (signal?.aborted) this.#end()
    this.#running = this.#callers.map(caller => this.#run(caller))
  }

  static start(options: WorkloadOptions): Workload {
    return new Workload(options)
  }

  /** So far. */
  report(): WorkloadReport {
    return this.#counts.report(((this.#endMs ?? performance.now()) - this.#startMs) / 1_000)
  }

  /**
   * Ends the load, looks at every key once more, and closes all connections. The report does not count those last looks;
   * the history has them.
   */
  stop(): Promise<WorkloadReport> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<WorkloadReport> {
    this.#end()
    const { timeoutMs, lastReadsLimitMs } = this.#options
    try {
      await within('the end of all operations', 4 * timeoutMs + 10_000, Promise.all(this.#running))
      const unread = lastReadsLimitMs > 0 ? await this.#lastReads(performance.now() + lastReadsLimitMs) : 0
      return { ...this.report(), unreadKeys: unread }
    } finally {
      for (const access of [...this.#accesses.shared, ...this.#accesses.unary]) access.close()
    }
  }

  #end(): void {
    this.#endMs ??= performance.now()
    this.#stopping.abort()
  }

  #createCallers(): Caller[] {
    const { history, seed, clients } = this.#options
    const { shared, unary } = this.#accesses
    return Array.from({ length: clients }, (_, index) => {
      const prng = createPrng(seed * 1_000 + index + 1)
      const process = history.nextProcess()
      const isUnary = index % 2 === 1 && unary.length > 0
      const own = must(shared[index % shared.length])
      return { process, prng, access: () => (isUnary ? drawNode(unary, prng) : own) }
    })
  }

  /** One operation after another, begun at the client's share of the rate and never in a burst to make up for a stall. */
  async #run(caller: Caller): Promise<void> {
    const { signal } = this.#stopping
    const intervalMs = (1_000 * this.#options.clients) / this.#options.rate
    let nextMs = performance.now() + caller.prng.next() * intervalMs
    while (!signal.aborted) {
      const waitMs = nextMs - performance.now()
      if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      nextMs = Math.max(performance.now(), nextMs) + intervalMs * (0.5 + caller.prng.next())
      await this.#perform(caller, this.#draw(caller.prng))
    }
  }

  #draw(prng: Prng): Step {
    let draw = prng.next()
    for (const { share, model } of this.#models) {
      if (draw < share) return model.next()
      draw -= share
    }
    return must(this.#models[0]).model.next()
  }

  async #perform(caller: Caller, step: Step): Promise<void> {
    const { history, timeoutMs } = this.#options
    const { key, call } = step
    key.operations++
    key.underWay++
    const access = caller.access()
    const who = { process: caller.process, node: access.node }
    const recorded = await history.record(who, key.name, call, () => step.run(access, timeoutMs))
    caller.process = who.process
    key.underWay--
    if (recorded.outcome === 'info') key.unknown++
    step.done?.(recorded)
    this.#counts.add(call.kind, recorded.outcome, recorded.error)
  }

  /** Each key until it has answered; returns how many did not in time. */
  async #lastReads(deadlineMs: number): Promise<number> {
    const { history } = this.#options
    const steps = this.#models.flatMap(({ model }) => model.lastSteps())
    let unread = 0
    const look = async (access: Access, step: Step): Promise<void> => {
      const who = { process: history.nextProcess(), node: access.node }
      for (;;) {
        if (performance.now() > deadlineMs) {
          unread++
          return
        }
        const run = (): ReturnType<Step['run']> => step.run(access, lastReadAttemptsMs)
        const { outcome, output } = await history.record(who, step.key.name, step.call, run)
        // A queue is taken from until it is empty.
        if (outcome === 'ok' && !(step.call.kind === 'dequeue' && output?.value !== null)) return
      }
    }
    const worker = async (access: Access): Promise<void> => {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) await look(access, step)
    }
    await Promise.all(this.#accesses.shared.flatMap(access => Array.from({ length: 8 }, () => worker(access))))
    return unread
  }
}

function connectAll({ url, nodes, clients }: Settings): Accesses {
  // An odd number, so that those who share one are not all of one half.
  const sdkClients = Math.ceil(clients / 2 / callersPerSdk) | 1
  return {
    shared: Array.from({ length: sdkClients }, () => sdkAccess(url)),
    unary: nodes.map(({ name, address }) => new UnaryNode(name, address)),
  }
}

/** Any node that answered lately; when none did, any. */
function drawNode(nodes: readonly UnaryNode[], prng: Prng): UnaryNode {
  const awake = nodes.filter(node => !node.isResting)
  const among = awake.length > 0 ? awake : nodes
  return must(among[prng.below(among.length)])
}
