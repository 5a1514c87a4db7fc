// A node joins, and moves to another address before it has the state of its range: whom to ask it knows only from when it
// joined. Its cluster must know where it is all the same.

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import type { Replica } from '../../src/range/replica.ts'
import { rangeOne } from '../../src/range/store.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const limitMs = 30_000
const limits = { ...defaultLimits, engineFlushMs: 50, drainMs: 1_000 }

const replicaOf = (node: SimNode): Replica | undefined => node.core?.store.replica(rangeOne)

async function started(scenario: Scenario, node: SimNode): Promise<void> {
  node.start()
  await scenario.world.until(`${node.name} is up`, limitMs, () => node.core !== undefined)
}

async function moveAndBeFound(scenario: Scenario, node: SimNode): Promise<void> {
  const { world } = scenario
  node.move({ isTold: false })
  node.start()
  await world.until(`${node.name} is recorded where it is`, limitMs, () =>
    must(world.leader()?.core)
      .localStore.nodes()
      .some(({ id, peerAddress }) => id === node.name && peerAddress === node.peerAddress),
  )
  await scenario.together(limitMs)
  await scenario.putMany(2)
  await scenario.checkEnd()
  scenario.close()
}

/** Snapshots do not get there while this process of the node runs, and log is not kept for it. */
async function joinedWithoutState(): Promise<Scenario> {
  const scenario = await Scenario.open(1, { size: 3, limits: { ...limits, logRetainedBytes: 1 } })
  const { world } = scenario
  const newcomer = scenario.node(2)
  await scenario.lead(scenario.node(0))
  await scenario.putMany(5)
  newcomer.wipe()
  await started(scenario, newcomer)
  must(newcomer.core).store.handleSnapshot = async () => false
  await world.until('it has joined', limitMs, () => newcomer.isMember && replicaOf(newcomer) !== undefined)
  await world.run(world.nowMs + 1_000)
  expect(replicaOf(newcomer)?.state.appliedIndex).toBe(0)
  return scenario
}

test('who was told of its peers when it joined, and has no snapshot yet, tells them where it is', async () => {
  const scenario = await joinedWithoutState()
  await moveAndBeFound(scenario, scenario.node(2))
})

test('so does who was restarted once more at the first place, and read back an empty registry', async () => {
  const scenario = await joinedWithoutState()
  const newcomer = scenario.node(2)
  newcomer.crash('kill')
  await started(scenario, newcomer)
  must(newcomer.core).store.handleSnapshot = async () => false
  await scenario.world.run(scenario.world.nowMs + 1_000)
  expect(replicaOf(newcomer)?.state.appliedIndex).toBe(0)
  await moveAndBeFound(scenario, newcomer)
})
