// `make power-loss`: CYCLES of power loss under load, a few dozen to a seed, and a table of what they met. A failure names
// the seed; SEED=7 runs that one alone.

import { numberOf } from '../support/environment.ts'
import { type PowerLossReport, runPowerLoss, victimKinds } from './power-loss-run.ts'

const cyclesASeed = 30
const progressEveryMs = 5_000

async function run(seed: number, cycles: number): Promise<PowerLossReport> {
  try {
    return await runPowerLoss(seed, cycles)
  } catch (error) {
    console.log(error)
    console.log(`seed ${seed} failed; again: make power-loss SEED=${seed}`)
    process.exit(1)
  }
}

const alone = process.env.SEED !== undefined && process.env.SEED !== ''
const wanted = alone ? cyclesASeed : numberOf('CYCLES', 2_000)
const reports: PowerLossReport[] = []
const total = (of: (report: PowerLossReport) => number): number => reports.reduce((sum, report) => sum + of(report), 0)
const cycleCount = ({ cycles }: PowerLossReport): number => victimKinds.reduce((sum, kind) => sum + cycles[kind], 0)
let saidMs = performance.now()
for (let seed = numberOf('SEED', 1); total(cycleCount) < wanted; seed++) {
  reports.push(await run(seed, Math.min(cyclesASeed, wanted - total(cycleCount))))
  if (performance.now() - saidMs < progressEveryMs) continue
  saidMs = performance.now()
  console.log(`${total(cycleCount)} of ${wanted} cycles, ${reports.length} seeds`)
}

const rows: readonly (readonly [string, number])[] = [
  ...victimKinds.map(kind => [`power lost by ${kind}`, total(({ cycles }) => cycles[kind])] as const),
  ['nodes that lost it', total(({ losses }) => losses)],
  ['  with a write under way', total(({ lossesInFlight }) => lossesInFlight)],
  ['  while starting', total(({ lossesAtStart }) => lossesAtStart)],
  ['acknowledged writes', total(({ acknowledgedWrites }) => acknowledgedWrites)],
  ['reads and scans', total(({ reads }) => reads)],
  ['unknown outcomes', total(({ unknown }) => unknown)],
  ['virtual minutes', Math.round(total(({ virtualMs }) => virtualMs) / 60_000)],
]
for (const [what, count] of rows) console.log(`${what.padEnd(26)} ${count}`)
console.log(
  `${total(cycleCount)} cycles over ${reports.length} seeds: nothing acknowledged was lost, all nodes hold the same`,
)
