// `make mutants`: every known bug is put in, one by one, and must be noticed. Prints who noticed it, after how many seeds, and
// what is said; ends with 1 where one survives. MUTANT=name for one, SEEDS=300 to look further, JOBS=1 for one at a time.

import { availableParallelism } from 'node:os'
import { numberOf } from '../support/environment.ts'
import { mutants, unapplied } from './mutants.ts'
import { type Trial, tryMutant } from './mutant-trial.ts'

const only = process.env.MUTANT
const chosen = only ? mutants.filter(mutant => mutant.name.startsWith(only)) : mutants
if (chosen.length === 0) {
  console.error(`MUTANT=${only}: there are ${mutants.map(mutant => mutant.name).join(', ')}`)
  process.exit(2)
}
const seedsMax = numberOf('SEEDS', 300, 1)
const from = numberOf('FROM', 1)

function describe({ mutant, isCaught, seedsRun, message }: Trial): string {
  const { caughtBy, rows, name } = mutant
  const by = caughtBy.kind === 'sim' ? `simulator, ${seedsRun} seeds` : `${caughtBy.test}`
  const said = message.split('\n', 1)[0]!.slice(0, 150)
  return `${isCaught ? 'caught  ' : 'SURVIVES'} ${rows.join(' ').padEnd(9)} ${name.padEnd(40)} ${by.padEnd(40)} ${said}`
}

const trials: Trial[] = []
const waiting = [...chosen]
async function work(): Promise<void> {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const trial = await tryMutant(next, { seedsOf: () => Array.from({ length: seedsMax }, (_, at) => from + at) })
    trials.push(trial)
    console.log(describe(trial))
  }
}
await Promise.all(Array.from({ length: numberOf('JOBS', availableParallelism(), 1) }, work))

const survivors = trials.filter(trial => !trial.isCaught)
if (!only)
  for (const { rows, why } of unapplied) console.log(`none     ${rows.map(row => row || '+').join(' ')}: ${why}`)
console.log(`${trials.length - survivors.length} of ${trials.length} mutants are caught`)
process.exit(survivors.length === 0 ? 0 : 1)
