// An engine flush is due by time or by bytes, whichever comes first.

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { Scenario } from './scenario.ts'

const dirtyBytes = 20_000
const never = 3_600_000

test('what has been applied goes into the engine once it is enough, however far the time for it is', async () => {
  const limits = { ...defaultLimits, engineFlushMs: never, engineFlushBytes: dirtyBytes, drainMs: 1_000 }
  const scenario = await Scenario.open(1, { size: 3, limits })
  scenario.valueBytes = 1_000
  const stores = scenario.world.nodes.map(node => must(node.core).store)
  await scenario.putMany(5)
  expect(stores.map(store => store.versions.dirtyBytes > 0)).toEqual([true, true, true])
  await scenario.putMany(100)
  for (const store of stores) expect(store.versions.dirtyBytes).toBeLessThan(2 * dirtyBytes)
  scenario.close()
})
