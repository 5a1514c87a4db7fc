// An engine flush is due by time or by bytes, whichever comes first.

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { Scenario } from './scenario.ts'

const bytesMax = 20_000
const never = 3_600_000

test.each([
  { limit: 'engineFlushBytes', what: 'dirtyRowBytes' },
  { limit: 'engineDirtyBytes', what: 'dirtyBytes' },
] as const)('what has been applied goes into the engine once it is enough, by $limit', async ({ limit, what }) => {
  const limits = { ...defaultLimits, engineFlushMs: never, [limit]: bytesMax, drainMs: 1_000 }
  const scenario = await Scenario.open(1, { size: 3, limits })
  scenario.valueBytes = 1_000
  const stores = scenario.world.nodes.map(node => must(node.core).store)
  await scenario.putMany(5)
  expect(stores.map(store => store.versions[what] > 0)).toEqual([true, true, true])
  await scenario.putMany(100)
  for (const store of stores) expect(store.versions[what]).toBeLessThan(2 * bytesMax)
  scenario.close()
})

test('replicas, which apply the same, do not flush at the same time', async () => {
  const engineFlushMs = 1_000
  const scenario = await Scenario.open(1, { size: 3, limits: { ...defaultLimits, engineFlushMs, drainMs: 1_000 } })
  const { world } = scenario
  const nodes = world.nodes.map(node => ({ store: must(node.core).store, wasDirty: false, flushedMs: [] as number[] }))
  const look = (): boolean => {
    for (const node of nodes) {
      const { isDirty } = node.store.versions
      if (node.wasDirty && !isDirty) node.flushedMs.push(world.nowMs)
      node.wasDirty = isDirty
    }
    return nodes.every(node => node.flushedMs.length >= 30)
  }
  const put = (): void => scenario.put(must(world.leader()), 5_000, put)
  put()
  await world.until('each has flushed often', 60_000, look)
  const [first, ...others] = nodes.map(node => node.flushedMs)
  const isNear = (times: readonly number[], ms: number): boolean => times.some(time => Math.abs(time - ms) < 50)
  const together = must(first).filter(ms => others.every(other => isNear(other, ms))).length
  expect(together).toBeLessThan(10)
  for (const [at, ms] of must(first).slice(1).entries())
    expect(ms - must(must(first)[at])).toBeLessThan(engineFlushMs + 100)
  scenario.close()
})
