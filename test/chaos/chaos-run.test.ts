// Two minutes of chaos on five real nodes: all that PROOF.md asks of a run, in small. Needs Toxiproxy, Go, libfaketime and
// the right to mount; where one is missing it fails and says which, because a skipped proof looks like a passed one.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { numberOf } from '../support/environment.ts'
import { allFaults } from './faults/all.ts'
import { runChaos } from './run-chaos.ts'
import { chaosTable } from './run-table.ts'

const lengthMs = 120_000
const limitMs = lengthMs + 300_000
const folder = join(import.meta.dirname, '../../.cache/chaos/test')
/** PROOF.md asks for 300, and so does `make chaos`; that measures the machine as well, which came to 60 at its slowest. */
const okPerSecondMin = 50
/** New every day, so that the days add up; a failure names it. */
const seed = numberOf('SEED', Math.floor(Date.now() / 86_400_000))

test(
  'two minutes of overlapping faults on five nodes break no promise',
  async () => {
    const report = await runChaos({ seed, lengthMs, folder, okPerSecondMin })
    console.log(chaosTable(report))
    expect(report.reasons).toEqual([])
    expect(report.verdict).toBe('ok')
    // The deck goes round: nearly every kind of fault has had its turn.
    expect(Object.keys(report.nemesis.verified).length).toBeGreaterThan(allFaults.length / 2)
    expect(report.nemesis.overlapShare).toBeGreaterThan(0.5)
    expect(report.leaderChanges).toBeGreaterThan(0)
  },
  limitMs,
)
