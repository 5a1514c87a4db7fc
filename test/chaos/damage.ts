// The damage matrix at length: every kind of file × every kind of damage, TRIALS times each, on one node of three; then the
// spool of a snapshot on its way in. Prints a table of outcomes, and every trial that went wrong.
// SEED=… chooses another load and other places; ONLY=table,manifest some of the files.

import { createPrng } from '../../src/base/prng.ts'
import { numberOf } from '../support/environment.ts'
import { fileKinds } from './damage-kinds.ts'
import { DamageLab } from './damage-lab.ts'
import { runMatrix } from './damage-matrix.ts'

const trials = numberOf('TRIALS', 20, 1)
const seed = numberOf('SEED', 1)
const kinds = [...fileKinds, 'spool'] as const
const only = process.env.ONLY
const { rows, wrong } = await run()

async function run() {
  await using lab = await DamageLab.open(seed)
  return await runMatrix(lab, {
    random: createPrng(seed),
    trials,
    kinds: kinds.filter(kind => only === undefined || only.split(',').includes(kind)),
    onTrial: text => process.stderr.write(`${text}\n`),
  })
}

console.table(rows)
for (const text of wrong) console.log(text)
process.exitCode = wrong.length === 0 ? 0 : 1
