// Background processes by pid file. A pid is only trusted when the process's own command line carries the mark that it
// was started with: pids are used again, and the file may be older than the machine's last boot.

import { execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemClock } from '../time/system-clock.ts'

export interface Background {
  readonly pidFile: string
  readonly log: string
  /** Something in the command line that no other process has: a data directory, an address. */
  readonly mark: string
}

export function wait(ms: number): Promise<void> {
  return new Promise(resolve => systemClock.setTimer(ms, resolve))
}

/** Tries until `attempt` gives something, or throws what it last failed with. */
export async function until<T>(what: string, limitMs: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.monotonicMs() + limitMs
  let cause: unknown
  for (;;) {
    try {
      const value = await attempt()
      if (value !== undefined) return value
    } catch (error) {
      cause = error
    }
    if (systemClock.monotonicMs() > deadline) {
      const reason = cause instanceof Error ? `: ${cause.message}` : ''
      throw new Error(`gave up after ${Math.round(limitMs / 1000)} s, waiting for ${what}${reason}`, { cause })
    }
    await wait(50)
  }
}

/** The pid, when the process runs and is ours. */
export function pidOf(process_: Background): number | undefined {
  let pid: number
  try {
    pid = Number(readFileSync(process_.pidFile, 'utf8'))
  } catch {
    return undefined
  }
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
  return commandLine(pid).includes(process_.mark) ? pid : undefined
}

/** Empty when there is no such process, or when it is a zombie. */
function commandLine(pid: number): string {
  return existsSync('/proc/self') ? readOr(`/proc/${pid}/cmdline`) : ps(pid, 'command')
}

export function isPaused(process_: Background): boolean {
  const pid = pidOf(process_)
  if (pid === undefined) return false
  const stat = readOr(`/proc/${pid}/stat`)
  const state = existsSync('/proc/self') ? stat.slice(stat.lastIndexOf(')') + 2) : ps(pid, 'stat')
  return state.startsWith('T')
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** For systems without /proc. */
function ps(pid: number, field: string): string {
  try {
    return execFileSync('ps', ['-o', `${field}=`, '-p', String(pid)], { encoding: 'utf8', stdio: 'pipe' })
  } catch {
    return ''
  }
}

/** Starts it detached, unless it runs already. Says whether it started anything. */
export function ensureRunning(
  process_: Background,
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): boolean {
  if (pidOf(process_) !== undefined) return false
  mkdirSync(dirname(process_.pidFile), { recursive: true })
  const log = openSync(process_.log, 'a')
  try {
    const child = spawn(command, args, { ...options, detached: true, stdio: ['ignore', log, log] })
    if (child.pid === undefined) throw new Error(`cannot start ${command}`)
    writeFileSync(process_.pidFile, `${child.pid}\n`)
    child.unref()
  } finally {
    closeSync(log)
  }
  return true
}

export function signal(process_: Background, name: NodeJS.Signals): boolean {
  const pid = pidOf(process_)
  if (pid === undefined) return false
  process.kill(pid, name)
  return true
}

/** SIGTERM (and SIGCONT, for one that is paused), then SIGKILL for one that does not go. */
export async function stop(process_: Background, limitMs: number): Promise<boolean> {
  if (!signal(process_, 'SIGTERM')) return false
  signal(process_, 'SIGCONT')
  const gone = async () => (pidOf(process_) === undefined ? true : undefined)
  await until('the process to end', limitMs, gone).catch(async () => {
    signal(process_, 'SIGKILL')
    await until('the killed process to end', 5_000, gone)
  })
  rmSync(process_.pidFile, { force: true })
  return true
}
