// Makes a failing schedule short: leaves out ever smaller parts of its faults as long as it fails in the same way (Zeller's
// delta debugging, 2002).

import { type RunOptions, runSeed } from './simulation.ts'

export interface Shrunk {
  /** Numbers of the faults that are enough. */
  readonly faults: readonly number[]
  readonly runs: number
}

export async function shrink(
  options: RunOptions,
  faultCount: number,
  failure: unknown,
  runsMax = 150,
): Promise<Shrunk> {
  const wanted = kindOf(failure)
  let runs = 0
  const fails = async (faults: readonly number[]): Promise<boolean> => {
    runs++
    const { failure: found } = await runSeed({ ...options, only: new Set(faults) })
    return found !== undefined && kindOf(found) === wanted
  }
  let faults = Array.from({ length: faultCount }, (_, at) => at)
  for (let parts = 2; faults.length > 0 && runs < runsMax; ) {
    const size = Math.ceil(faults.length / parts)
    let isSmaller = false
    for (let from = 0; from < faults.length && runs < runsMax; from += size) {
      const rest = [...faults.slice(0, from), ...faults.slice(from + size)]
      if (!(await fails(rest))) continue
      faults = rest
      isSmaller = true
      break
    }
    if (isSmaller) parts = Math.max(2, parts - 1)
    else if (size === 1) break
    else parts = Math.min(faults.length, parts * 2)
  }
  return { faults, runs }
}

/** A failure by its words alone: indexes and times change when faults are left out. */
export function kindOf(failure: unknown): string {
  const text = failure instanceof Error ? failure.message : String(failure)
  return text.split(/[:;(\n]/, 1)[0]!.replaceAll(/\d+/g, '#')
}
