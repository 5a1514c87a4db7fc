import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { numberOf } from '../support/environment.ts'
import { faultKinds } from './faults.ts'
import { runSeeds } from './seed-pool.ts'
import type { SeedReport } from './sim-worker.ts'
import { runSeed } from './simulation.ts'

const seeds = numberOf('SIM_SEEDS', 200, 1)

test(`whole nodes keep every promise under every fault, on ${seeds} seeds`, { timeout: 600_000 }, async () => {
  const reports: SeedReport[] = []
  await runSeeds({ from: 1, count: seeds, jobs: availableParallelism(), onReport: report => reports.push(report) })
  const failed = reports.filter(report => report.failure !== undefined)
  expect(failed.map(({ seed, failure }) => `make sim SEED=${seed}\n${failure}`)).toEqual([])
  expect(reports).toHaveLength(seeds)
  const injected = new Set(reports.flatMap(report => [...report.injected.keys()]))
  expect(faultKinds.filter(kind => !injected.has(kind))).toEqual([])
})

test('the same seed gives the same trace', { timeout: 60_000 }, async () => {
  for (const seed of [4, 5, 13]) {
    const first = await runSeed({ seed })
    const second = await runSeed({ seed })
    expect(second.trace).toBe(first.trace)
  }
  const [a, b] = [await runSeed({ seed: 1 }), await runSeed({ seed: 2 })]
  expect(a.trace).not.toBe(b.trace)
})
