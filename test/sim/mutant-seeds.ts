// Runs seeds in the copy that it stands in, until one fails, and says so in one line of JSON. A process of its own: what a
// mutant does to it, endless loops included, is its parent's to end.

import { must } from '../../src/base/assert.ts'
import type { CaughtBySim } from './mutants/mutant.ts'
import { runSeed } from './simulation.ts'

export interface SeedsTask extends Pick<CaughtBySim, 'kinds' | 'overrides'> {
  readonly seeds: readonly number[]
}

export interface SeedsReport {
  /** The first seed that failed, and why. */
  readonly failed: { readonly seed: number; readonly message: string } | undefined
  /** Seeds that were run. */
  readonly runs: number
}

function textOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}

const { seeds, ...options } = JSON.parse(must(process.argv[2], 'a task is given as JSON')) as SeedsTask
let failed: SeedsReport['failed']
let runs = 0
for (const seed of seeds) {
  runs++
  const { failure } = await runSeed({ seed, ...options })
  if (failure === undefined) continue
  failed = { seed, message: textOf(failure) }
  break
}
console.log(JSON.stringify({ failed, runs } satisfies SeedsReport))
process.exit(0)
