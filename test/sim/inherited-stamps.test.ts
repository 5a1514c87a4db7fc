// Whoever leads next stamps above everything in its log, also above entries of a leader whose clock was ahead and which nothing
// but their own header has told it of (DESIGN.md 8).

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { rangeOne } from '../../src/range/store.ts'
import { Scenario } from './scenario.ts'

const aheadMs = 400
const quietMs = 2_000

test('a leader whose clock stands still stamps above the entries that it inherited', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const scenario = await Scenario.open(seed, { size: 3 })
    const { world } = scenario
    const [leader, ...others] = world.nodes.map((_, at) => scenario.node(at))
    await scenario.lead(must(leader))
    must(leader).wall.jump(aheadMs)
    // What the leader may say of its clock rests on flushes, and there are none for a while.
    await world.run(world.nowMs + quietMs)
    const lastOf = (at: number): number => must(must(others[at]).core?.store.replica(rangeOne)).status().lastIndex
    const frozenAtMs = world.nowMs
    for (const node of others) node.wall.freeze()
    const before = lastOf(0)
    scenario.put(must(leader), 1_000)
    await world.until('an entry is at a follower', 1_000, () => lastOf(0) > before || lastOf(1) > before)
    must(leader).crash('kill')
    await scenario.putMany(2)
    for (const node of others) {
      node.wall.thaw()
      node.wall.jump(world.nowMs - frozenAtMs)
    }
    must(leader).wall.jump(-aheadMs)
    must(leader).start()
    await scenario.checkEnd()
    expect(scenario.acknowledged.length).toBeGreaterThanOrEqual(2)
    scenario.close()
  }
})
