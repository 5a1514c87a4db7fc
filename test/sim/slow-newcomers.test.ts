// A node that was wiped joins anew, while its snapshot takes many minutes over a thin link and clients go on writing. What
// decides is whether it makes progress: a stream was once given up after ten minutes, and the log that it needs afterwards
// was cut when so much had been written, so that each snapshot was followed by another.

import { expect, test } from 'vitest'
import { defaultLimits } from '../../src/node-limits.ts'
import { rangeOne } from '../../src/range/store.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const seed = 1
const options = { timeout: 90_000 }
const quick = { delayMinMs: 0.1, delayMaxMs: 2, loss: 0, duplication: 0, reorder: false }
const minuteMs = 60_000
const lastOf = (node: SimNode): number => node.core?.store.replica(rangeOne)?.status().lastIndex ?? 0

interface Story {
  /** Of the snapshot's lane. */
  readonly bytesPerMs: number
  readonly logHeldBytes: number
  readonly valueBytes: number
  readonly writeEveryMs: number
}

/** How long the newcomer took, what was written meanwhile a minute, and how often a snapshot was sent. */
async function join({ bytesPerMs, logHeldBytes, valueBytes, writeEveryMs }: Story) {
  let snapshots = 0
  const limits = {
    ...defaultLimits,
    logRetainedBytes: 10_000,
    logHeldBytes,
    engineFlushMs: 2_000,
    logSegmentBytes: 32_768,
    snapshotChunkBytes: 4_096,
  }
  // Slow to tick: much time passes.
  const slow = { size: 3, electionTimeoutMs: 3_000, heartbeatMs: 600, limits: { ...limits, drainMs: 1_000 } }
  const scenario = await Scenario.open(seed, slow, line => {
    if (line.includes('sending a snapshot')) snapshots++
  })
  const { world } = scenario
  const [leader, newcomer] = [scenario.node(0), scenario.node(2)]
  await scenario.lead(leader)
  scenario.valueBytes = 5_000
  await scenario.putMany(40)
  const snapshot = { delayMinMs: 0.1, delayMaxMs: 2, bytesPerMs, waitingBytesMax: 1 << 20 }
  world.network.setFaults({ ...quick, lanes: { snapshot } }, leader.name, newcomer.name)
  snapshots = 0
  newcomer.wipe()
  newcomer.start()
  const beganMs = world.nowMs
  const written: number[] = [0]
  scenario.valueBytes = valueBytes
  const isLevel = (): boolean => lastOf(newcomer) > 0 && lastOf(newcomer) >= lastOf(leader)
  while (!isLevel() && world.nowMs < beganMs + 40 * minuteMs) {
    const minute = Math.floor((world.nowMs - beganMs) / minuteMs)
    scenario.put(leader, 5_000, () => {
      written[minute] = (written[minute] ?? 0) + 1
    })
    await world.run(world.nowMs + writeEveryMs)
  }
  const tookMs = world.nowMs - beganMs
  const result = { tookMs, written: written.slice(0, -1), snapshots, isLevel: isLevel(), term: scenario.term() }
  world.network.healAll()
  await scenario.checkEnd()
  scenario.close()
  return result
}

test(
  'a snapshot that takes a quarter of an hour is sent once, and what was written meanwhile follows',
  options,
  async () => {
    const story = { bytesPerMs: 0.22, logHeldBytes: 512 << 20, valueBytes: 100, writeEveryMs: 2_000 }
    const { tookMs, snapshots, isLevel } = await join(story)
    expect(isLevel).toBe(true)
    expect(tookMs).toBeGreaterThan(12 * minuteMs)
    expect(snapshots).toBe(1)
  },
)

test(
  'where more is written than may be held, writes are slowed, and the newcomer does not begin anew',
  options,
  async () => {
    const story = { bytesPerMs: 0.5, logHeldBytes: 60_000, valueBytes: 200, writeEveryMs: 100 }
    const { tookMs, written, snapshots, isLevel } = await join(story)
    expect(isLevel).toBe(true)
    expect(tookMs).toBeGreaterThan(3 * minuteMs)
    expect(snapshots).toBe(1)
    // 600 a minute are asked for; from the second on, some go through in every minute, and not many.
    expect(Math.min(...written)).toBeGreaterThan(0)
    expect(Math.max(...written.slice(1))).toBeLessThan(100)
  },
)
