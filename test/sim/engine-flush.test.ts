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
