// `checksum` on request finds what no checksum of a stored row can: rows that are not there any more.

import { describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { asRangeId } from '../../src/base/ids.ts'
import type { ChecksumAnswer } from '../../src/range/local-store.ts'
import type { Replica } from '../../src/range/replica.ts'
import { rangeOne } from '../../src/range/store.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { call } from './client.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const limitMs = 30_000
const limits = { ...defaultLimits, engineFlushMs: 50, logRetainedBytes: 1, drainMs: 1_000 }
const replicaOf = (node: SimNode): Replica => must(node.core?.store.replica(rangeOne))

async function open(seed: number): Promise<Scenario> {
  const scenario = await Scenario.open(seed, { size: 3, limits })
  await scenario.lead(scenario.node(0))
  await scenario.putMany(30)
  await scenario.together(limitMs)
  // All of it is in the engines.
  await scenario.world.run(scenario.world.nowMs + 500)
  return scenario
}

async function checksum(scenario: Scenario, node: SimNode, waitMs = 20_000): Promise<ChecksumAnswer> {
  let answer: ChecksumAnswer | undefined
  const { world, prng } = scenario
  const ask = (core: NonNullable<SimNode['core']>): Promise<ChecksumAnswer> =>
    core.localStore.checksum(asRangeId(1), undefined, must(node.clock).monotonicMs() + waitMs)
  void call(world, prng, node.name, ask, 60_000).then(done => {
    answer = done.value
  })
  await world.until('a checksum', 61_000, () => answer !== undefined)
  return must(answer)
}

const verdicts = (answer: ChecksumAnswer): readonly string[] =>
  answer.kind === 'done' ? answer.replicas.map(({ node, verdict }) => `${node} ${verdict}`) : [answer.kind]

/** A row that nothing writes any more is gone from the node's engine, as if by a lost block. */
function vanish(node: SimNode): void {
  const keys = [...node.engineDisk.pairs().keys()].filter(key => key.startsWith('d\0'))
  node.engineDisk.lose(must(keys[3]))
}

describe('a checksum', () => {
  test('of replicas that agree says so of each, and only the leader takes one', { timeout: 60_000 }, async () => {
    const scenario = await open(21)
    expect(await checksum(scenario, scenario.node(0))).toMatchObject({ kind: 'done', isComplete: true })
    expect(verdicts(await checksum(scenario, scenario.node(0)))).toEqual(['n1 equal', 'n2 equal', 'n3 equal'])
    expect(await checksum(scenario, scenario.node(1))).toEqual({ kind: 'not-leader', leader: 'n1' })
    await scenario.checkEnd()
    scenario.close()
  })

  test('finds a row that has vanished, whether on a follower or on the leader, and has it rebuilt', {
    timeout: 60_000,
  }, async () => {
    for (const at of [1, 0]) {
      const scenario = await open(22)
      const sick = scenario.node(at)
      vanish(sick)
      const before = replicaOf(sick)
      const found = verdicts(await checksum(scenario, scenario.node(0)))
      expect(found[at]).toBe(`n${at + 1} differs: quarantined, is being rebuilt`)
      expect(found.filter(verdict => verdict.endsWith(' equal'))).toHaveLength(2)
      await scenario.world.until(
        'it is rebuilt',
        limitMs,
        () => replicaOf(sick) !== before && !replicaOf(sick).isQuarantined,
      )
      await scenario.together(limitMs)
      await scenario.lead(scenario.node(0))
      expect(verdicts(await checksum(scenario, scenario.node(0)))).toEqual(['n1 equal', 'n2 equal', 'n3 equal'])
      await scenario.checkEnd()
      scenario.close()
    }
  })

  test('never says of a replica that has not answered that it is equal', { timeout: 60_000 }, async () => {
    const scenario = await open(23)
    scenario.node(2).crash('kill')
    await scenario.world.run(scenario.world.nowMs + 2_000)
    expect(verdicts(await checksum(scenario, scenario.node(0)))).toEqual([
      'n1 equal',
      'n2 equal',
      'n3 could not compare: its node does not answer',
    ])
    const sick = scenario.node(1)
    must(sick.core).store.handleSnapshot = async () => false
    must(sick.clock).arrive(() => must(sick.core).store.quarantine(replicaOf(sick), 'on purpose'))
    await scenario.world.run(scenario.world.nowMs + 2_000)
    expect(verdicts(await checksum(scenario, scenario.node(0)))).toEqual([
      'n1 could not compare: too few voters have answered to tell who is right',
      'n2 could not compare: it is quarantined, and is being rebuilt',
      'n3 could not compare: its node does not answer',
    ])
    scenario.close()
  })
})
