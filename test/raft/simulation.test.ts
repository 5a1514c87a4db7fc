// 500 seeds of the simulation. A failure names its seed: SEED=n runs that one alone, STEPS=n runs it longer.

import { describe, expect, test } from 'vitest'
import { simulate, type SimulationResult } from './simulation.ts'

const seedsMax = 500
const seedsPerTest = 50
const steps = Number(process.env['STEPS'] ?? 12_000)
const only = process.env['SEED']

function run(seed: number): SimulationResult {
  try {
    return simulate(seed, steps)
  } catch (error) {
    throw new Error(`SEED=${seed} STEPS=${steps}: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

if (only !== undefined) {
  test(`SEED=${only} is safe, and converges once the faults stop`, () => {
    expect(run(Number(only)).steps).toBe(steps)
  })
} else {
  describe('five cores under faults', () => {
    for (let from = 1; from <= seedsMax; from += seedsPerTest) {
      test(`seeds ${from} to ${from + seedsPerTest - 1} are safe, and converge once the faults stop`, {
        timeout: 60_000,
      }, () => {
        const total = { elections: 0, committed: 0, changes: 0, snapshots: 0, reads: 0, crashes: 0 }
        for (let seed = from; seed < from + seedsPerTest; seed++) {
          const result = run(seed)
          for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += result[key]
        }
        // A simulation in which nothing happens proves nothing.
        expect(total.elections).toBeGreaterThan(2 * seedsPerTest)
        expect(total.committed).toBeGreaterThan(20 * seedsPerTest)
        expect(total.reads).toBeGreaterThan(10 * seedsPerTest)
        for (const count of Object.values(total)) expect(count).toBeGreaterThan(seedsPerTest / 2)
      })
    }

    test('one seed is one run', () => {
      expect(run(7)).toEqual(run(7))
    })
  })
}
