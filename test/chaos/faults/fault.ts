// What a fault is. It is planned first, from what is free and sound now, so that the nemesis can weigh it before anything is
// harmed; then injected, shown to be real by an effect that can be observed, and healed.

import type { Prng } from '../../../src/base/prng.ts'
import type { Client } from '../../../src/client/client.ts'
import { must } from '../../../src/base/assert.ts'
import type { NodeProcess } from '../../support/node-process.ts'
import type { ProcessCluster } from '../../support/process-cluster.ts'
import type { SmallDisk } from '../../support/small-disk.ts'
import type { FakeClocks } from './fake-clocks.ts'

export interface Stage {
  readonly cluster: ProcessCluster
  /** For administrative calls, through the proxies like any client's. */
  readonly client: Client
  /** The nodes whose data lie on a disk that can be filled. */
  readonly disks: ReadonlyMap<string, SmallDisk>
  readonly clocks: FakeClocks
  readonly electionTimeoutMs: number
  readonly prng: Prng
  /** No active fault holds this. */
  readonly isFree: (claim: Claim) => boolean
}

/** What two faults may not hold at once: a node's process, its clock, a link, the configuration. */
export type Claim = `process:${string}` | `clock:${string}` | `link:${string}` | 'configuration'

export interface Plan {
  readonly describe: string
  readonly claims: readonly Claim[]
  /** Nodes that a quorum may have to do without while this lasts. */
  readonly impaired: readonly string[]
  /** Longer is not allowed, whatever the nemesis draws. */
  readonly lastsMaxMs?: number
  /** How long the effect may take to show. Default: the nemesis'. */
  readonly showsWithinMs?: number
  /** False: the cluster refused, as it may when it has troubles enough. Only administrative calls can be refused. */
  inject(): Promise<boolean>
  /** Whether the effect is there now; asked again and again. */
  verify(): Promise<boolean>
  /** Resolves when all is as it was, but for the nodes' catching up. */
  heal(): Promise<void>
}

export interface Fault {
  readonly name: string
  /** Undefined: not now. */
  plan(stage: Stage): Promise<Plan | undefined>
}

export function pick<T>(prng: Prng, items: readonly T[]): T {
  return must(items[prng.below(items.length)])
}

export function shuffled<T>(prng: Prng, items: readonly T[]): T[] {
  const left = [...items]
  return items.map(() => must(left.splice(prng.below(left.length), 1)[0]))
}

export function between(prng: Prng, least: number, most: number): number {
  return least + prng.below(most - least + 1)
}

/** Runs, and nobody tampers with its process or its clock: what it says and hears shows the links alone. */
export function isSound({ isFree }: Stage, node: NodeProcess): boolean {
  return node.isRunning && isFree(`process:${node.name}`) && isFree(`clock:${node.name}`)
}

/** Sound nodes, in random order. */
export function soundNodes(stage: Stage): NodeProcess[] {
  return shuffled(stage.prng, stage.cluster.nodes).filter(node => isSound(stage, node))
}

/** The leader if one is known quickly. */
export async function leaderNow({ cluster }: Stage): Promise<NodeProcess | undefined> {
  return cluster.leader(cluster.nodes, 300).catch(() => undefined)
}
