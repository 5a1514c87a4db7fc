// How sharp the instruments are: known bugs are put into a copy of the sources, and must be noticed. Here each simulated one is
// tried on the seed that is known to notice it, then on others, since what a seed draws changes with the code; unit tests
// are tried on theirs by `make mutants`.

import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { numberOf } from '../support/environment.ts'
import { checkEdits, root } from './mutant-copy.ts'
import { type Trial, tryMutant } from './mutant-trial.ts'
import { mutants, unapplied } from './mutants.ts'

const rowsMax = 75
const moreSeeds = Array.from({ length: 100 }, (_, at) => at + 1)
/** simulation.test.ts runs these on the original. */
const seedsElsewhere = numberOf('SIM_SEEDS', 200, 1)

describe('the list of mutants', () => {
  test('has one for every known bug, or a reason why there is none', () => {
    const rows = new Set([...mutants, ...unapplied].flatMap(item => item.rows))
    expect(Array.from({ length: rowsMax + 1 }, (_, row) => row).filter(row => !rows.has(row))).toEqual([])
    const names = mutants.map(({ name }) => name)
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  })

  test('fits the sources as they are', () => {
    const misfits = mutants.flatMap(mutant => {
      try {
        checkEdits(mutant)
        return []
      } catch (error) {
        return [`${mutant.name}: ${(error as Error).message}`]
      }
    })
    expect(misfits).toEqual([])
  })

  test('names tests that are there', () => {
    const files = mutants.flatMap(({ caughtBy }) => (caughtBy.kind === 'unit' ? [caughtBy.test] : []))
    expect(files.filter(file => !existsSync(join(root, file)))).toEqual([])
  })
})

test('the simulator notices every mutant that it is named for', { timeout: 900_000 }, async () => {
  const waiting = mutants.filter(({ caughtBy }) => caughtBy.kind === 'sim')
  const trials: Trial[] = []
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift())
      trials.push(
        await tryMutant(mutant, {
          seedsOf: ({ seed }) => [seed, ...moreSeeds.filter(more => more !== seed)],
          isClean: ({ kinds, overrides }, seed) => !kinds && !overrides && seed <= seedsElsewhere,
        }),
      )
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  const survivors = trials.filter(({ isCaught }) => !isCaught)
  expect(survivors.map(({ mutant, message }) => `make mutants MUTANT=${mutant.name}: ${message}`)).toEqual([])
  expect(trials.length).toBeGreaterThan(20)
})
