// A simulated cluster for tests that say themselves what happens and when: calm machines and a quick network, unless told
// otherwise. The checkers of the world watch every event of it, as they do in a run of drawn faults.

import { strict as assert } from 'node:assert'
import { must } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'
import { createPrng } from '../../src/base/prng.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { rangeOne } from '../../src/range/store.ts'
import { call } from './client.ts'
import type { SimOptions } from './options.ts'
import type { SimNode } from './sim-node.ts'
import { checkStates, setUp } from './simulation.ts'
import { Trace } from './trace.ts'
import { World } from './world.ts'

const placeLimitMs = 60_000
/** Longer than any put of these tests goes on. */
const afterlifeMs = 6_000

const calm: Partial<SimOptions> = {
  electionTimeoutMs: 500,
  heartbeatMs: 100,
  link: { delayMinMs: 0.1, delayMaxMs: 2, loss: 0, duplication: 0, reorder: false },
  machine: { syncMinMs: 0.2, syncMaxMs: 2, spikeEvery: 0, spikeMs: 0, timerLateMaxMs: 1, stallEvery: 0, stallMs: 0 },
  encodes: false,
  clientLoss: 0,
  limits: { ...defaultLimits, drainMs: 1_000 },
}

export type ScenarioOptions = Partial<SimOptions> & { readonly size: number }

export class Scenario {
  readonly world: World
  readonly prng: Prng
  /** What was put, once it was acknowledged. */
  readonly acknowledged: string[] = []
  /** Of what is put from now on. */
  valueBytes = 0
  #number = 0

  private constructor(world: World) {
    this.world = world
    this.prng = createPrng(world.options.seed * 64 + 5)
  }

  /** Nothing has started. */
  static create(seed: number, options: ScenarioOptions, print?: (line: string) => void): Scenario {
    return new Scenario(new World(seed, new Trace(print), { ...calm, voters: options.size, ...options }))
  }

  /** All nodes are members. */
  static async open(seed: number, options: ScenarioOptions, print?: (line: string) => void): Promise<Scenario> {
    const scenario = Scenario.create(seed, options, print)
    await setUp(scenario.world)
    return scenario
  }

  /** Machines, network and limits as the seed has them. */
  static async openDrawn(seed: number, options: Partial<SimOptions>): Promise<Scenario> {
    const scenario = new Scenario(new World(seed, new Trace(), options))
    await setUp(scenario.world)
    return scenario
  }

  close(): void {
    for (const node of this.world.nodes) if (node.isRunning) node.crash('kill')
  }

  node(at: number): SimNode {
    return must(this.world.nodes[at])
  }

  /** A put of a value of its own; what it comes to is told to `acked`. */
  put(node: SimNode, timeoutMs: number, acked: () => void = () => {}): void {
    const value = `value ${++this.#number}`.padEnd(this.valueBytes, '.')
    const op = { key: Buffer.from(`key ${this.#number % 20}`), value: Buffer.from(value) }
    const header = { timeoutMs }
    void call(this.world, this.prng, node.name, core => core.gateway.put({ header, op }), timeoutMs).then(answer => {
      if (answer.value === undefined) return
      this.acknowledged.push(value)
      acked()
    })
  }

  /** One after the other, each through whoever leads by then. */
  async putMany(count: number): Promise<void> {
    for (let done = 0; done < count; done++) {
      let isDone = false
      let leader: SimNode | undefined
      await this.world.until('a leader', placeLimitMs, () => (leader = this.world.leader()) !== undefined)
      this.put(must(leader), 5_000, () => {
        isDone = true
      })
      await this.world.until('a put', 5_100, () => isDone)
    }
  }

  /** Somebody leads, everybody else follows it in its term, and all logs are the same and applied. */
  isTogether(): boolean {
    const leader = this.world.leader()
    const term = leader?.core?.store.replica(rangeOne)?.term
    const last = leader?.core?.store.replica(rangeOne)?.status().lastIndex
    return (
      leader !== undefined &&
      this.world.nodes.every(node => {
        const replica = node.core?.store.replica(rangeOne)
        return (
          replica !== undefined &&
          replica.term === term &&
          replica.leaderNode === leader.name &&
          !replica.isInstalling &&
          replica.status().lastIndex === last &&
          replica.state.appliedIndex === last
        )
      })
    )
  }

  async together(limitMs: number): Promise<void> {
    await this.world.until('all follow one leader', limitMs, () => this.isTogether())
  }

  /** Hands leadership over until `node` has it and all have caught up. */
  async lead(node: SimNode): Promise<void> {
    const { world } = this
    for (let attempt = 0; world.leader() !== node; attempt++) {
      assert.ok(attempt < 20, `${node.name} can be made to lead; ${world.describe()}`)
      await this.together(placeLimitMs)
      const leader = must(world.leader())
      if (leader === node) break
      let isOver = false
      void call(world, this.prng, leader.name, core => core.localStore.transferLeader(rangeOne, node.name), 5_000).then(
        () => {
          isOver = true
        },
      )
      await world.until('a transfer is over', placeLimitMs, () => isOver)
    }
    await this.together(placeLimitMs)
  }

  term(): number {
    return Math.max(...this.world.nodes.map(node => node.core?.store.replica(rangeOne)?.term ?? 0))
  }

  /** Nothing is on its way any more: what was acknowledged is in the log, once, and every node's state is what the log says. */
  async checkEnd(): Promise<void> {
    await this.world.run(this.world.nowMs + afterlifeMs)
    await this.together(placeLimitMs)
    const { model } = this.world.checker(rangeOne)
    for (const value of this.acknowledged)
      assert.equal(model.putCount(value), 1, `an acknowledged write is there once: ${value}`)
    await checkStates(this.world)
  }
}
