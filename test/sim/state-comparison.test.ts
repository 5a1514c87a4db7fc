// Replicas compare their whole states: who is in the minority is quarantined and rebuilt, whatever it is that differs.

import { describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { RangeState } from '../../src/command/range-state.ts'
import type { Replica } from '../../src/range/replica.ts'
import { rangeOne } from '../../src/range/store.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { timestampMax } from '../../src/time/timestamp.ts'
import { call } from './client.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const limitMs = 30_000
const limits = { ...defaultLimits, engineFlushMs: 50, logRetainedBytes: 1, drainMs: 1_000, comparedEvery: 8 }
const replicaOf = (node: SimNode): Replica => must(node.core?.store.replica(rangeOne))
const compared = (node: SimNode) => must(node.core).store.comparisons.of(replicaOf(node)).running

async function open(seed: number, size = 3): Promise<Scenario> {
  const scenario = await Scenario.open(seed, { size, limits })
  await scenario.lead(scenario.node(0))
  await scenario.putMany(10)
  // A session that is not used again: nothing that comes later makes up for its loss.
  let isDone = false
  scenario.put(scenario.node(2), 5_000, () => {
    isDone = true
  })
  await scenario.world.until('a put', limitMs, () => isDone)
  await scenario.together(limitMs)
  return scenario
}

/** From now on the node's state is another than the log says. */
async function spoil(scenario: Scenario, node: SimNode, change: (state: RangeState) => void): Promise<void> {
  let isDone = false
  must(node.clock).arrive(() => {
    const replica = replicaOf(node)
    scenario.world.checker(rangeOne).spoilt.add(replica)
    change(replica.state)
    isDone = true
  })
  await scenario.world.until('it is spoilt', limitMs, () => isDone)
}

function watchLog(scenario: Scenario, node: SimNode): string[] {
  const lines: string[] = []
  const { logged } = scenario.world
  scenario.world.logged = (from, level, fields, message) => {
    if (from === node) lines.push(`${message} ${JSON.stringify(fields)}`)
    logged.call(scenario.world, from, level, fields, message)
  }
  return lines
}

const changes: Readonly<Record<string, (state: RangeState) => void>> = {
  'what an entry did': state => state.hashIn(7),
  'the threshold of collection': state => {
    state.threshold = (state.threshold + 1) as typeof state.threshold
  },
  'the count of keys': state => {
    state.keyCount++
  },
  'the count of bytes': state => {
    state.byteCount--
  },
  'sessions that ended early': state => void state.sessions.endPassed(timestampMax),
}

describe('a replica whose state differs from that of most', () => {
  test.each(Object.keys(changes))('in %s is quarantined, and rebuilt', { timeout: 60_000 }, async what => {
    const scenario = await open(11)
    const sick = scenario.node(1)
    const lines = watchLog(scenario, sick)
    await spoil(scenario, sick, must(changes[what]))
    await scenario.putMany(12)
    await scenario.world.until('it is rebuilt', limitMs, () =>
      lines.some(line => line.includes('is rebuilt, and serves')),
    )
    expect(lines.filter(line => line.includes('another than that of most'))).toHaveLength(1)
    await scenario.checkEnd()
    scenario.close()
  })

  test('hands over first if it leads', { timeout: 60_000 }, async () => {
    const scenario = await open(12)
    const sick = scenario.node(0)
    const lines = watchLog(scenario, sick)
    const { term } = replicaOf(sick)
    await spoil(scenario, sick, state => void state.keyCount++)
    await scenario.putMany(12)
    await scenario.world.until('it is rebuilt', limitMs, () =>
      lines.some(line => line.includes('is rebuilt, and serves')),
    )
    expect(scenario.term()).toBe(term + 1)
    await scenario.checkEnd()
    scenario.close()
  })
})

describe('a comparison', () => {
  test('says who has answered, and at which entry most agreed', { timeout: 60_000 }, async () => {
    const scenario = await open(13)
    await scenario.world.until('all agree', limitMs, () =>
      scenario.world.nodes.every(node => compared(node).describe() === 'equal'),
    )
    const before = compared(scenario.node(0)).comparedIndex
    expect(before % 8).toBe(0)
    scenario.node(2).crash('kill')
    await scenario.putMany(12)
    await scenario.world.run(scenario.world.nowMs + 12_000)
    expect(compared(scenario.node(0)).describe()).toBe('could not compare with n3')
    expect(compared(scenario.node(0)).comparedIndex).toBeGreaterThan(before)
    scenario.node(1).crash('kill')
    scenario.node(2).start()
    await scenario.putMany(12)
    scenario.node(1).start()
    await scenario.checkEnd()
    scenario.close()
  })

  test('in which no majority agrees stops the range, and it says so', { timeout: 60_000 }, async () => {
    const scenario = await open(14)
    const [leader] = [scenario.node(0)]
    for (const [at, node] of scenario.world.nodes.entries())
      await spoil(scenario, node, state => void (state.keyCount += at + 1))
    let refusal: unknown
    const op = { key: Buffer.from('k'), value: Buffer.from('v') }
    const ask = (): void =>
      void call(scenario.world, scenario.prng, leader.name, core => core.gateway.put({ op }), 2_000).then(answer => {
        if (answer.value === undefined) refusal = answer.error
        else ask()
      })
    ask()
    await scenario.world.until('it is refused', limitMs, () => refusal !== undefined)
    expect(String((refusal as Error).message)).toMatch(/no majority of them agrees/)
    expect(scenario.world.nodes.map(node => replicaOf(node).isQuarantined)).toEqual([false, false, false])
    scenario.close()
  })
})
