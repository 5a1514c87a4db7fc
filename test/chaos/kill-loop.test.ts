// A short kill -9 loop on real processes; kill-loop.ts is the long one.

import { expect, test } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { killLoop } from './kill-loop-run.ts'

test('one, two and all nodes killed under load lose no acknowledged write, and come to equal state', async () => {
  const { rows, problems } = await killLoop({ cycles: 6, random: createPrng(7) })
  expect(problems).toEqual([])
  expect(rows.map(row => row.cycles)).toEqual([2, 2, 2])
  for (const row of rows) expect(row.acknowledged).toBeGreaterThan(100)
}, 90_000)
