// Puts one mutant in a copy of the sources and finds out whether it is noticed: by a simulation that fails where that of the
// original does not, or by a unit test that fails.

import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { copySources, root } from './mutant-copy.ts'
import type { SeedsReport, SeedsTask } from './mutant-seeds.ts'
import type { CaughtBySim, CaughtByUnit, Mutant } from './mutants/mutant.ts'

export interface Trial {
  readonly mutant: Mutant
  readonly isCaught: boolean
  /** The simulation's: seeds run until one noticed. */
  readonly seedsRun: number
  /** What noticed it said, or what happened instead. */
  readonly message: string
}

export interface TrialOptions {
  /** Those to try, in their order, where a simulation judges. */
  readonly seedsOf: (caughtBy: CaughtBySim) => readonly number[]
  /** Whether somebody else sees to it that the original passes this seed. */
  readonly isClean?: (caughtBy: CaughtBySim, seed: number) => boolean
}

/** More than any healthy run takes, on a machine that is busy with others. */
const processMs = 240_000

interface Ended {
  readonly code: number | undefined
  readonly output: string
}

/** Ends with what it printed; killed, and without a code, when it takes too long. */
function run(cwd: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, VITEST: '', NODE_OPTIONS: '--max-old-space-size=2048', UPDATE: '' },
    })
    const parts: string[] = []
    child.stdout.on('data', (chunk: Buffer) => parts.push(chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => parts.push(chunk.toString()))
    const timer = setTimeout(() => child.kill('SIGKILL'), processMs)
    child.on('error', reject)
    child.on('close', code => {
      clearTimeout(timer)
      resolve({ code: code ?? undefined, output: parts.join('') })
    })
  })
}

async function runSeeds(cwd: string, task: SeedsTask): Promise<SeedsReport> {
  const { code, output } = await run(cwd, ['test/sim/mutant-seeds.ts', JSON.stringify(task)])
  const line = output.trim().split('\n').at(-1) ?? ''
  if (code === 0) return JSON.parse(line) as SeedsReport
  const message = code === undefined ? 'it never ends' : `its process ends: ${lastLines(output)}`
  return { failed: { seed: task.seeds[0] ?? 0, message }, runs: 1 }
}

async function trySim(mutant: Mutant, caughtBy: CaughtBySim, { seedsOf, isClean }: TrialOptions): Promise<Trial> {
  const seeds = seedsOf(caughtBy)
  await using copy = await copySources(mutant.name, mutant.edits)
  const { seed: _, kind: __, ...options } = caughtBy
  for (let from = 0; ; ) {
    const report = await runSeeds(copy.path, { ...options, seeds: seeds.slice(from) })
    const seedsRun = from + report.runs
    const { failed } = report
    if (failed === undefined) return { mutant, isCaught: false, seedsRun, message: 'no seed noticed it' }
    // What the original fails by as well says nothing of the mutant.
    const original =
      isClean?.(caughtBy, failed.seed) === true
        ? { failed: undefined }
        : await runSeeds(root, { ...options, seeds: [failed.seed] })
    if (original.failed === undefined)
      return { mutant, isCaught: true, seedsRun, message: `seed ${failed.seed}: ${failed.message}` }
    from = seedsRun
    if (from >= seeds.length)
      return { mutant, isCaught: false, seedsRun, message: `the original fails, too: ${original.failed.message}` }
  }
}

interface VitestReport {
  readonly numFailedTests: number
  readonly numTotalTests: number
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

async function tryUnit(mutant: Mutant, { test, name }: CaughtByUnit): Promise<Trial> {
  await using copy = await copySources(mutant.name, mutant.edits)
  const file = join(copy.path, 'report.json')
  const args = ['run', '--config', 'test/vitest.config.ts', test, '--reporter=json', `--outputFile=${file}`]
  const bin = 'node_modules/vitest/vitest.mjs'
  const { code, output } = await run(copy.path, [bin, ...args, ...(name === undefined ? [] : ['-t', name])])
  if (code === undefined) return { mutant, isCaught: true, seedsRun: 0, message: 'it never ends' }
  const report = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Partial<VitestReport>
  const results = (report.testResults ?? []).flatMap(result => result.assertionResults)
  const failed = results.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName)
  const isRun = failed.length > 0 || results.some(({ status }) => status === 'passed')
  assert.ok(code !== 0 || isRun, `${mutant.name}: no test of ${test} is named '${name}'`)
  assert.ok(code === 0 || failed.length > 0, `${mutant.name}: ${test} does not run:\n${lastLines(output)}`)
  return { mutant, isCaught: failed.length > 0, seedsRun: 0, message: failed[0] ?? 'all tests pass' }
}

export function tryMutant(mutant: Mutant, options: TrialOptions): Promise<Trial> {
  const { caughtBy } = mutant
  return caughtBy.kind === 'sim' ? trySim(mutant, caughtBy, options) : tryUnit(mutant, caughtBy)
}

function lastLines(output: string): string {
  return output.trim().split('\n').slice(-15).join('\n')
}
