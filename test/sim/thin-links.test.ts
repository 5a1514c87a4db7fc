// A follower whose append channel carries less than what is written, while its heartbeats come as quickly as ever. On two
// channels, appends without entries overtook those with some: they were refused, what was on its way was sent again, and
// the follower got nowhere for as long as it went on.

import { expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { rangeOne } from '../../src/range/store.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const seed = 1
const quick = { delayMinMs: 0.1, delayMaxMs: 2, loss: 0, duplication: 0, reorder: false }
const loadMs = 20_000
/** Half of what is written: 25 values of 2,000 bytes a second, each with what is around it. */
const thin = { delayMinMs: 0.1, delayMaxMs: 2, bytesPerMs: 27, waitingBytesMax: 16 << 20 }
const lastOf = (node: SimNode): number => must(node.core?.store.replica(rangeOne)).status().lastIndex

async function loaded(traits: typeof thin) {
  const scenario = await Scenario.open(seed, { size: 3 })
  const { world } = scenario
  const [leader, slow] = [scenario.node(0), scenario.node(2)]
  await scenario.lead(leader)
  const changes = world.leaderChanges
  scenario.valueBytes = 2_000
  world.network.setFaults({ ...quick, lanes: { append: traits } }, leader.name, slow.name)
  const begun = {
    atMs: world.nowMs,
    index: lastOf(slow),
    sent: world.network.bytesOf(leader.name, slow.name, 'append'),
  }
  const progress: number[] = []
  for (let turn = 0; turn < loadMs / 40; turn++) {
    scenario.put(leader, 5_000)
    await world.run(world.nowMs + 40)
    if (turn % 50 === 49) progress.push(lastOf(slow))
  }
  const written = lastOf(leader) - begun.index
  const behind = lastOf(leader) - lastOf(slow)
  await world.until('it is level', (behind / written) * loadMs * 2 + 1_000, () => lastOf(slow) === lastOf(leader))
  const sent = world.network.bytesOf(leader.name, slow.name, 'append') - begun.sent
  const result = { written, behind, progress, sent, changes: world.leaderChanges - changes }
  world.network.healAll()
  await scenario.checkEnd()
  scenario.close()
  return result
}

test('a follower behind a link that carries half of the load goes on steadily, and is level soon after it', async () => {
  const { written, behind, progress, sent, changes } = await loaded(thin)
  expect(behind).toBeGreaterThan(written / 4)
  // Every two seconds it has taken what the link carries.
  const steps = progress.slice(1).map((last, at) => last - must(progress[at]))
  expect(Math.min(...steps)).toBeGreaterThan(written / 40)
  expect(changes).toBe(0)
  // Each entry went once: 2,000 bytes of value, and what is around it.
  expect(sent).toBeLessThan(written * 2_300)
})

test('what does not fit into its queue is sent again, and it is level soon after all the same', async () => {
  const { progress, changes } = await loaded({ ...thin, waitingBytesMax: 40_000 })
  expect(must(progress.at(-1))).toBeGreaterThan(must(progress[0]))
  expect(changes).toBe(0)
})
