import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Background, ensureRunning, isPaused, pidOf, signal, stop } from '../../src/cli/local-cluster-processes.ts'
import { until } from '../support/until.ts'

let folder: string
let sleeper: Background

/** Runs until it is told to end; its mark, the folder, is an argument that it does not look at. */
function start(code = 'setInterval(() => {}, 1000)'): boolean {
  return ensureRunning(sleeper, process.execPath, ['-e', code, folder], { cwd: folder })
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-processes-'))
  sleeper = { pidFile: join(folder, 'pid'), log: join(folder, 'log'), mark: folder }
})

afterEach(async () => {
  await stop(sleeper, 2_000)
  rmSync(folder, { recursive: true, force: true })
})

test('what runs is not started again', async () => {
  expect(start()).toBe(true)
  const pid = pidOf(sleeper)
  expect(pid).toBeGreaterThan(1)
  expect(start()).toBe(false)
  expect(pidOf(sleeper)).toBe(pid)
})

test('it runs in the environment that it is given', async () => {
  const env = { QUORATE_TEST: 'as told' }
  const code = 'console.log(process.env.QUORATE_TEST); setInterval(() => {}, 1000)'
  ensureRunning(sleeper, process.execPath, ['-e', code, folder], { cwd: folder, env })
  await until('it has spoken', () => readFileSync(sleeper.log, 'utf8') === 'as told\n')
})

test('a pid file that names a process of somebody else is not believed, and that process is not signalled', () => {
  writeFileSync(sleeper.pidFile, String(process.pid))
  expect(pidOf(sleeper)).toBeUndefined()
  expect(signal(sleeper, 'SIGKILL')).toBe(false)
})

test('a pid file of nonsense is nobody', () => {
  for (const text of ['', 'x', '-1', '0', '1', '99999999999']) {
    writeFileSync(sleeper.pidFile, text)
    expect(pidOf(sleeper), text).toBeUndefined()
  }
})

test('a paused process is known as such, and stops all the same', async () => {
  start()
  signal(sleeper, 'SIGSTOP')
  await until('it is paused', () => isPaused(sleeper))
  expect(await stop(sleeper, 2_000)).toBe(true)
  expect(pidOf(sleeper)).toBeUndefined()
})

test('one that ignores SIGTERM is killed', async () => {
  start("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('deaf')")
  await until('it is deaf', () => readFileSync(sleeper.log, 'utf8').includes('deaf'))
  expect(await stop(sleeper, 100)).toBe(true)
  expect(pidOf(sleeper)).toBeUndefined()
})
