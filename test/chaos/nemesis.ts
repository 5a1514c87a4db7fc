// Keeps two to four faults going at any time, drawn from a seed, each shown to be real, each healed after a while. Never so
// many that the cluster cannot make progress for long: at most two of five nodes are impaired, but for short spells without
// a quorum with rests between them. (The draws follow from the seed; what they meet, and when, does not: processes and the
// network have their own time.)
//
// A data directory is wiped only while the configuration is free, which it is when everyone votes: never two at once.

import { createPrng, type Prng } from '../../src/base/prng.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { allFaults } from './faults/all.ts'
import { type Fault, type Plan, shuffled, type Stage } from './faults/fault.ts'
import type { ProcessCluster } from '../support/process-cluster.ts'

export interface NemesisEvent {
  readonly atMs: number
  readonly fault: string
  readonly describe: string
  /** `refused`: an administrative call that the cluster did not accept. `void`: there was no effect. */
  readonly what: 'injected' | 'verified' | 'refused' | 'void' | 'healed' | 'unhealed'
  readonly detail?: string
}

export interface NemesisOptions {
  readonly stage: Omit<Stage, 'isFree' | 'prng'>
  readonly seed: number
  readonly log: (event: NemesisEvent) => void
  readonly faults?: readonly Fault[]
}

export interface NemesisReport {
  /** By the fault's name. */
  readonly verified: Readonly<Record<string, number>>
  readonly refused: Readonly<Record<string, number>>
  /** Faults without effect: the run is void. */
  readonly voids: readonly string[]
  /** What could not be healed, and nodes that ended by themselves. */
  readonly failures: readonly string[]
  /** Of its time, at least two faults were active. */
  readonly overlapShare: number
}

interface Active {
  readonly fault: Fault
  readonly plan: Plan
  /** Infinite until its effect was seen. */
  endsMs: number
  healing: Promise<void> | undefined
}

const activeMin = 2
const activeMax = 4
const lastsMinMs = 800
const lastsMaxMs = 5_000
const impairedMax = 2
const noQuorumMaxMs = 2_000
const noQuorumRestMs = 15_000
const showsWithinMs = 4_000
/** What may take longer to show must leave a quorum. */
const noQuorumShowsMaxMs = 5_000
const roundMs = 50

export class Nemesis {
  readonly #options: NemesisOptions
  readonly #prng: Prng
  readonly #stage: Stage
  readonly #startMs = performance.now()
  readonly #active = new Set<Active>()
  readonly #verified = new Map<string, number>()
  readonly #refused = new Map<string, number>()
  readonly #voids: string[] = []
  readonly #failures: string[] = []
  readonly #loops: Promise<unknown>
  #deck: Fault[] = []
  #noQuorumFreeMs = 0
  #overlapMs = 0
  #isStopping = false

  private constructor(options: NemesisOptions) {
    this.#options = options
    this.#prng = createPrng(options.seed)
    this.#stage = {
      ...options.stage,
      prng: this.#prng,
      isFree: claim => ![...this.#active].some(({ plan }) => plan.claims.includes(claim)),
    }
    this.#loops = Promise.all([this.#injectAll(), this.#healAll()])
  }

  static start(options: NemesisOptions): Nemesis {
    return new Nemesis(options)
  }

  get #cluster(): ProcessCluster {
    return this.#stage.cluster
  }

  async #injectAll(): Promise<void> {
    let wanted = activeMin
    while (!this.#isStopping) {
      if (this.#active.size < wanted && (await this.#injectOne()))
        wanted = activeMin + this.#prng.below(activeMax - activeMin + 1)
      else await delay(roundMs)
    }
  }

  /** Apart from the injections, so that no fault outlasts its time because another is slow to show. */
  async #healAll(): Promise<void> {
    let lastMs = performance.now()
    while (!this.#isStopping) {
      const nowMs = performance.now()
      if (this.#active.size >= activeMin) this.#overlapMs += nowMs - lastMs
      lastMs = nowMs
      this.#findDead()
      for (const active of this.#active) if (nowMs >= active.endsMs) void this.#heal(active)
      await delay(roundMs)
    }
  }

  /** A node that nobody killed. It is started again, so that the run goes on, but the run has failed. */
  #findDead(): void {
    for (const node of this.#cluster.nodes) {
      if (node.isRunning || !this.#stage.isFree(`process:${node.name}`)) continue
      this.#failures.push(`${node.name} ended by itself:\n${node.logTail()}`)
      node.start()
    }
  }

  /** The first fault of the deck that can be planned and borne now. Faults that cannot go to the end: all get their turn. */
  async #injectOne(): Promise<boolean> {
    if (this.#deck.length < 4) this.#deck.push(...shuffled(this.#prng, this.#options.faults ?? allFaults))
    for (let tries = 0; tries < 4; tries++) {
      const fault = this.#deck.shift()
      if (fault === undefined) return false
      const plan = await fault.plan(this.#stage).catch(() => undefined)
      const lastsMs = plan && this.#bearableMs(plan)
      if (plan === undefined || lastsMs === undefined || !plan.claims.every(this.#stage.isFree)) {
        this.#deck.push(fault)
        continue
      }
      await this.#inject(fault, plan, lastsMs)
      return true
    }
    return false
  }

  /** How long this may last beside what is active; undefined: not at all. */
  #bearableMs(plan: Plan): number | undefined {
    const impaired = new Set([...this.#active].flatMap(active => active.plan.impaired).concat(plan.impaired))
    const drawn = lastsMinMs + this.#prng.below(lastsMaxMs - lastsMinMs)
    const lastsMs = Math.min(drawn, plan.lastsMaxMs ?? drawn)
    if (impaired.size <= impairedMax) return lastsMs
    const nowMs = performance.now()
    if (nowMs < this.#noQuorumFreeMs || (plan.showsWithinMs ?? 0) > noQuorumShowsMaxMs) return undefined
    this.#noQuorumFreeMs = nowMs + noQuorumRestMs
    return Math.min(lastsMs, noQuorumMaxMs)
  }

  async #inject(fault: Fault, plan: Plan, lastsMs: number): Promise<void> {
    const active: Active = { fault, plan, endsMs: Number.POSITIVE_INFINITY, healing: undefined }
    this.#active.add(active)
    this.#log(active, 'injected', `for ${Math.round(lastsMs)} ms`)
    try {
      if (!(await plan.inject())) {
        count(this.#refused, fault.name)
        this.#log(active, 'refused')
      } else {
        const limitMs = plan.showsWithinMs ?? showsWithinMs
        await until(`${fault.name} shows`, () => plan.verify(), { limitMs, intervalMs: roundMs })
        count(this.#verified, fault.name)
        this.#log(active, 'verified')
      }
    } catch (error) {
      this.#voids.push(`${fault.name} (${plan.describe}): ${text(error)}`)
      this.#log(active, 'void', text(error))
    }
    active.endsMs = performance.now() + lastsMs
  }

  #heal(active: Active): Promise<void> {
    active.healing ??= active.plan.heal().then(
      () => {
        this.#active.delete(active)
        this.#log(active, 'healed')
      },
      (error: unknown) => {
        this.#active.delete(active)
        this.#failures.push(`${active.fault.name} (${active.plan.describe}) was not healed: ${text(error)}`)
        this.#log(active, 'unhealed', text(error))
      },
    )
    return active.healing
  }

  /** Heals everything, and resolves when it is healed. */
  async stop(): Promise<NemesisReport> {
    this.#isStopping = true
    await this.#loops
    const totalMs = performance.now() - this.#startMs
    await Promise.all([...this.#active].map(active => this.#heal(active)))
    this.#findDead()
    return {
      verified: Object.fromEntries(this.#verified),
      refused: Object.fromEntries(this.#refused),
      voids: this.#voids,
      failures: this.#failures,
      overlapShare: this.#overlapMs / totalMs,
    }
  }

  #log({ fault, plan }: Active, what: NemesisEvent['what'], detail?: string): void {
    const atMs = Math.round(performance.now() - this.#startMs)
    this.#options.log({
      atMs,
      what,
      fault: fault.name,
      describe: plan.describe,
      ...(detail === undefined ? {} : { detail }),
    })
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
