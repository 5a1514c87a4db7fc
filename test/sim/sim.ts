// `make sim`: many seeds, on all cores, with a line that says how far it is; or one seed to read (SEED=7), with all or some
// of its faults (ONLY=3,9). A failure prints the command that replays it, made as short as it gets.

import { availableParallelism } from 'node:os'
import { numberOf } from '../support/environment.ts'
import { type FaultKind, faultKinds } from './faults.ts'
import { runSeeds } from './seed-pool.ts'
import { shrink } from './shrink.ts'
import type { SeedReport } from './sim-worker.ts'
import { runSeed } from './simulation.ts'

const progressEveryMs = 5_000

async function replay(seed: number): Promise<never> {
  const only = process.env.ONLY
  const options = { seed, ...(only !== undefined && { only: new Set(only.split(',').filter(Boolean).map(Number)) }) }
  const result = await runSeed({ ...options, print: line => console.log(line) })
  result.faults.forEach(({ atMs, kind }, at) => {
    if (options.only?.has(at) ?? true) console.log(`fault ${at}: ${kind} at ${(atMs / 1000).toFixed(3)}`)
  })
  console.log(result.state)
  console.log(`seed ${seed}, trace ${result.trace}, ${result.events} events, ${result.committed} entries`)
  if (result.failure !== undefined) console.log(result.failure)
  process.exit(result.failure === undefined ? 0 : 1)
}

async function explain(report: SeedReport): Promise<void> {
  console.log(`\nseed ${report.seed} failed\n${report.failure}\nreplay it: make sim SEED=${report.seed}`)
  const { failure } = await runSeed({ seed: report.seed })
  if (failure === undefined) {
    console.log('and it does not fail again: something in here is not drawn from the seed')
    return
  }
  const { faults, runs } = await shrink({ seed: report.seed }, report.faultCount, failure)
  console.log(`${faults.length} of ${report.faultCount} faults are enough (${runs} runs):`)
  console.log(`make sim SEED=${report.seed} ONLY=${faults.join(',')}`)
}

async function runMany(from: number, count: number, jobs: number): Promise<void> {
  const beganMs = performance.now()
  const injected = new Map<FaultKind, number>()
  const failed: SeedReport[] = []
  const failuresMax = numberOf('FAILURES', 3)
  let [done, virtualMs, operations] = [0, 0, 0]
  const say = (): void => {
    const minutes = (performance.now() - beganMs) / 60_000
    const faults = [...injected.values()].reduce((sum, number) => sum + number, 0)
    console.log(
      `${done} of ${count} seeds, ${(virtualMs / 3_600_000).toFixed(1)} simulated hours, ${operations} operations, ${faults} faults, ${Math.round(done / minutes)} seeds a minute, ${failed.length} failed`,
    )
  }
  const timer = setInterval(say, progressEveryMs)
  await runSeeds({
    from,
    count,
    jobs,
    isEnough: () => failed.length >= failuresMax,
    onReport: report => {
      done++
      virtualMs += report.virtualMs
      operations += report.operations
      for (const [kind, number] of report.injected) injected.set(kind, (injected.get(kind) ?? 0) + number)
      if (report.failure === undefined) return
      failed.push(report)
      console.log(`seed ${report.seed} failed: ${report.failure.split('\n', 1)[0]}`)
    },
  })
  clearInterval(timer)
  say()
  for (const kind of faultKinds) console.log(`${kind.padEnd(16)} ${injected.get(kind) ?? 0}`)
  for (const report of failed) await explain(report)
  process.exit(failed.length === 0 ? 0 : 1)
}

const seed = process.env.SEED
if (seed !== undefined && seed !== '') await replay(numberOf('SEED', 1))
await runMany(numberOf('FROM', 1), numberOf('SEEDS', 200), numberOf('JOBS', availableParallelism()))
