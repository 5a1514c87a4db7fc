// A short damage matrix; damage.ts is the long one.

import { expect, test } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { fileKinds } from './damage-kinds.ts'
import { DamageLab } from './damage-lab.ts'
import { runMatrix } from './damage-matrix.ts'

test('whatever happens to a file of one node, it refuses or comes to equal state, and never reads wrongly', async () => {
  await using lab = await DamageLab.open(11)
  const { rows, wrong } = await runMatrix(lab, {
    random: createPrng(11),
    trials: 2,
    kinds: [...fileKinds, 'spool'],
  })
  expect(wrong).toEqual([])
  // Every kind of damage was there, and what LevelDB would have taken as it is was refused.
  expect(rows.every(row => row.refused + row.rebuilt + row.repaired > 0)).toBe(true)
  for (const row of rows.filter(({ file }) => file === 'table')) expect(row.refused, row.damage).toBe(2)
}, 120_000)
