// kill -9 under load, CYCLES times (300): one, two and all of three nodes in turn. Prints a table, and ends with 1 when an
// acknowledged write was lost or applied twice, or state hashes differ. SEED=… chooses other victims.

import { createPrng } from '../../src/base/prng.ts'
import { numberOf } from '../support/environment.ts'
import { killLoop } from './kill-loop-run.ts'

const begun = performance.now()
const { rows, problems } = await killLoop({
  cycles: numberOf('CYCLES', 300, 1),
  random: createPrng(numberOf('SEED', 1)),
  onCycle: text => process.stderr.write(`${text}\n`),
})

function spread(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (quantile: number): number => Math.round(sorted[Math.round(quantile * (sorted.length - 1))] ?? Number.NaN)
  return `${at(0.5)} / ${at(0.99)} / ${at(1)}`
}

console.table(
  rows.map(({ killed, cycles, acknowledged, doubtful, writeMs, equalMs }) => ({
    'killed at once': killed,
    cycles,
    acknowledged,
    doubtful,
    'writes go on, ms (p50 / p99 / max)': spread(writeMs),
    'all equal, ms (p50 / p99 / max)': spread(equalMs),
  })),
)
for (const problem of problems) console.log(problem)
console.log(`${problems.length === 0 ? 'nothing lost' : 'FAILED'}, ${Math.round((performance.now() - begun) / 1000)} s`)
process.exitCode = problems.length === 0 ? 0 : 1
