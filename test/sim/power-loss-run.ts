// Power loss again and again under load: one node, two, or all in the same instant, and whatever they had under way is lost,
// torn or kept by chance. The checkers of the world hold after every event; at the end every acknowledged write is there and
// all nodes hold the same.

import { createPrng } from '../../src/base/prng.ts'
import { rangeOne } from '../../src/range/store.ts'
import { SimClient } from './client.ts'
import { History } from './history.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

export const victimKinds = ['one', 'two', 'all'] as const
export type VictimKind = (typeof victimKinds)[number]

export interface PowerLossReport {
  readonly seed: number
  /** How often so many nodes lost their power together. */
  readonly cycles: Readonly<Record<VictimKind, number>>
  /** Of the nodes that lost it: all, those that had a write of the log or the engine under way, those that were starting. */
  readonly losses: number
  readonly lossesInFlight: number
  readonly lossesAtStart: number
  readonly acknowledgedWrites: number
  readonly reads: number
  readonly unknown: number
  readonly virtualMs: number
}

const clientCount = 4
const downMsMax = 600
const convergeMsMax = 60_000

/** Throws what a checker found. */
export async function runPowerLoss(seed: number, cycleCount: number): Promise<PowerLossReport> {
  const prng = createPrng(seed * 64 + 6)
  const scenario = await Scenario.openDrawn(seed, { clients: clientCount, thinkMs: 15 })
  const { world } = scenario
  const history = new History(world.checker(rangeOne))
  const clients = Array.from(
    { length: clientCount },
    (_, at) => new SimClient(world, history, createPrng(seed * 64 + 32 + at), at),
  )
  for (const client of clients) client.start()
  const cycles: Record<VictimKind, number> = { one: 0, two: 0, all: 0 }
  const counts = { losses: 0, lossesInFlight: 0, lossesAtStart: 0 }
  const lose = (node: SimNode): void => {
    counts.losses++
    if (node.logFiles.inFlightCount > 0 || node.engineDisk.isWriting) counts.lossesInFlight++
    if (node.core === undefined) counts.lossesAtStart++
    node.crash('power')
    world.scheduler.after(prng.next() * downMsMax, () => node.start())
  }
  for (let cycle = 0; cycle < cycleCount; cycle++) {
    const isQuick = prng.below(4) === 0
    await world.run(world.nowMs + prng.next() * (isQuick ? 200 : 3 * world.options.electionTimeoutMs))
    const kind = victimKinds[cycle % victimKinds.length] as VictimKind
    const wanted = kind === 'one' ? 1 : kind === 'two' ? 2 : world.nodes.length
    const running = (): SimNode[] => world.nodes.filter(node => node.isRunning)
    await world.until(`${wanted} nodes have power`, 2 * downMsMax, () => running().length >= wanted)
    const victims = running()
    while (victims.length > wanted) victims.splice(prng.below(victims.length), 1)
    for (const node of victims) lose(node)
    cycles[kind]++
  }
  world.network.setFaults({ ...world.options.link, loss: 0, duplication: 0 })
  await world.until('all nodes are up', convergeMsMax, () => world.nodes.every(node => node.core !== undefined))
  await world.until('a leader', convergeMsMax, () => world.leader() !== undefined)
  for (const client of clients) client.stop()
  await scenario.checkEnd()
  history.finish()
  const { writes, reads, unknown } = history.counts
  scenario.close()
  return { seed, cycles, ...counts, acknowledgedWrites: writes, reads, unknown, virtualMs: world.nowMs }
}
