// The linearizability checker: Porcupine, in the Go module beside this file, built into .cache/ when its sources are newer.

import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const source = join(import.meta.dirname, 'porcupine')
const checker = join(import.meta.dirname, '../../.cache/porcupine/check')
const buildLimitMs = 300_000
/** Over the checker's own limits: it answers in time, or is broken. */
const graceMs = 60_000

export interface BadPartition {
  readonly model: string
  readonly key: string
  readonly verdict: 'illegal' | 'unknown'
  readonly operations: number
  readonly elapsedMs: number
  /** Porcupine's picture of it, an HTML file beside the history. */
  readonly visualisation?: string
}

export interface Verdict {
  /** `unknown`: some partition could not be decided in time. That is no pass. */
  readonly verdict: 'ok' | 'illegal' | 'unknown'
  readonly operations: number
  readonly outcomes: { readonly ok: number; readonly fail: number; readonly info: number }
  readonly partitions: number
  readonly largestPartition: number
  /** Of the partition that took longest. */
  readonly slowestMs: number
  readonly elapsedMs: number
  /** The partitions that are not ok, the first few. */
  readonly bad: readonly BadPartition[]
}

export interface CheckOptions {
  /** For one partition; past it the verdict is `unknown`. Default 60,000. */
  readonly partitionLimitMs?: number
  /** For everything. Default 600,000. */
  readonly limitMs?: number
}

/** Rejects when the history is broken (cut short, malformed, empty), or the checker cannot be had. */
export async function checkHistory(path: string, options: CheckOptions = {}): Promise<Verdict> {
  const { partitionLimitMs = 60_000, limitMs = 600_000 } = options
  await buildChecker()
  const limits = [`-partition-limit=${partitionLimitMs}ms`, `-limit=${limitMs}ms`]
  try {
    const { stdout } = await run(checker, [...limits, path], {
      timeout: limitMs + graceMs,
      maxBuffer: 64 * 1024 * 1024,
    })
    return JSON.parse(stdout) as Verdict
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number | string; stdout?: string; stderr?: string }
    // 1: illegal, 2: unknown; both with a verdict. Anything else is no verdict at all.
    if ((code === 1 || code === 2) && stdout) return JSON.parse(stdout) as Verdict
    throw new Error(`the history ${path} could not be checked: ${stderr || (error as Error).message}`, { cause: error })
  }
}

let built: Promise<void> | undefined

function buildChecker(): Promise<void> {
  built ??= isFresh() ? Promise.resolve() : build()
  return built
}

function isFresh(): boolean {
  const made = statSync(checker, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return readdirSync(source).every(name => statSync(join(source, name)).mtimeMs < made)
}

async function build(): Promise<void> {
  mkdirSync(dirname(checker), { recursive: true })
  try {
    await run('go', ['build', '-o', checker, '.'], { cwd: source, timeout: buildLimitMs })
  } catch (error) {
    const { code, stderr } = error as { code?: number | string; stderr?: string }
    if (code === 'ENOENT') {
      throw new Error('the history checker is a Go program: install Go 1.22 or later and put `go` on the PATH', {
        cause: error,
      })
    }
    throw new Error(`the history checker in ${source} does not build: ${stderr || (error as Error).message}`, {
      cause: error,
    })
  }
}
