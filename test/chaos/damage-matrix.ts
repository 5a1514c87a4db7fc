// Trials of all kinds, counted: kind of file × kind of damage × outcome. Once for each kind of file, what the refusal
// says is done, and the node must be whole again.

import type { Prng } from '../../src/base/prng.ts'
import { damage, damageKinds, type FileKind } from './damage-kinds.ts'
import type { DamageLab, TrialResult } from './damage-lab.ts'
import { damageSpool, prepareSpool, spoolDamages } from './damage-spool.ts'

export interface MatrixOptions {
  readonly random: Prng
  /** Of flips and truncations, for each kind of file; of the others there are fewer different ones. */
  readonly trials: number
  readonly kinds: readonly (FileKind | 'spool')[]
  readonly onTrial?: (text: string) => void
}

export interface MatrixRow {
  readonly file: string
  readonly damage: string
  refused: number
  rebuilt: number
  repaired: number
  WRONG: number
}

export interface MatrixResult {
  readonly rows: readonly MatrixRow[]
  readonly wrong: readonly string[]
}

const fewTrials = 4

export async function runMatrix(lab: DamageLab, options: MatrixOptions): Promise<MatrixResult> {
  const rows: MatrixRow[] = []
  const wrong: string[] = []
  const count = (row: MatrixRow, what: string, result: TrialResult): void => {
    row[result.outcome]++
    const text = `${row.file} ${row.damage}: ${what}: ${result.outcome}: ${result.detail}`
    options.onTrial?.(text)
    if (result.outcome === 'WRONG') wrong.push(text)
  }
  const newRow = (file: string, how: string): MatrixRow => {
    const row: MatrixRow = { file, damage: how, refused: 0, rebuilt: 0, repaired: 0, WRONG: 0 }
    rows.push(row)
    return row
  }
  for (const kind of options.kinds) {
    if (kind === 'spool') {
      await prepareSpool(lab)
      for (const how of spoolDamages) {
        const row = newRow('snapshot', how)
        for (
          let trial = 0;
          trial < Math.min(options.trials, how === 'file flipped' ? options.trials : fewTrials);
          trial++
        ) {
          let what = ''
          const result = await lab.trial(async data => {
            what = await damageSpool(lab, data, how, options.random)
          }, lab.midway)
          count(row, what, result)
        }
      }
      continue
    }
    for (const how of damageKinds) {
      const row = newRow(kind, how)
      const trials = how === 'flipped' || how === 'truncated' ? options.trials : Math.min(options.trials, fewTrials)
      for (let trial = 0; trial < trials; trial++) {
        let what: string | undefined
        const result = await lab.trial(data => {
          const done = damage(data, lab.other, kind, how, options.random)
          what = done && `${done.file.slice(data.length + 1)} ${done.what}`
        })
        if (what !== undefined) count(row, what, result)
      }
    }
  }
  wrong.push(...(await lab.finish()))
  // Last: the victim has another store id afterwards.
  const rebuilt = await lab.rebuild()
  count(newRow('(wiped, as told)', ''), 'the victim joins anew', rebuilt)
  return { rows, wrong: [...wrong, ...(await lab.finish())] }
}
