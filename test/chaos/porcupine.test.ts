// The checker, checked: a folder of histories with one anomaly each, every one of which it must refuse, and a folder of
// good ones that look suspicious. What it cannot read, or cannot decide in time, is no pass.

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { checkHistory } from './porcupine.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-histories-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const histories = join(import.meta.dirname, 'histories')
const named = (kind: 'good' | 'bad'): string[] =>
  readdirSync(join(histories, kind)).filter(name => /\.jsonl$/.test(name))

/** Checked in a copy, because pictures go beside a history. */
function copyOf(kind: 'good' | 'bad', name: string): string {
  const path = join(folder, `${kind}-${name}`)
  cpSync(join(histories, kind, name), path)
  return path
}

function written(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const put = (process: number, invoke: number, value: string, more: object = {}): object => ({
  ...{ process, model: 'register', key: 'r', kind: 'put', input: { value }, outcome: 'ok', invoke },
  ...{ return: invoke + 5, node: 'n1' },
  ...more,
})
const lines = (...values: readonly object[]): string => values.map(value => `${JSON.stringify(value)}\n`).join('')

describe('known-bad histories', () => {
  test('there are some of every model', () => {
    for (const model of ['register', 'set', 'queue']) {
      expect(named('bad').filter(name => name.startsWith(model)).length, model).toBeGreaterThan(5)
    }
  })

  test.each(named('bad'))('%s is illegal', async name => {
    const verdict = await checkHistory(copyOf('bad', name))
    expect(verdict.verdict).toBe('illegal')
    expect(verdict.bad).toHaveLength(1)
    expect(existsSync(must(verdict.bad[0]?.visualisation))).toBe(true)
  })
})

describe('good histories', () => {
  test('there are some of every model', () => {
    for (const model of ['register', 'set', 'queue']) {
      expect(named('good').filter(name => name.startsWith(model)).length, model).toBeGreaterThan(3)
    }
  })

  test.each(named('good'))('%s is linearizable', async name => {
    const path = copyOf('good', name)
    const verdict = await checkHistory(path)
    expect(verdict).toMatchObject({ verdict: 'ok', bad: [] })
    expect(verdict.operations).toBe(readFileSync(path, 'utf8').split('\n').length - 2)
  })
})

describe('a verdict', () => {
  test('is unknown when a key cannot be decided in time', async () => {
    // Writes that all overlap, and reads in an order that only the last of a great many orders explains.
    const writes = Array.from({ length: 40 }, (_, n) => put(n, n, `v${n}`, { return: 10_000 }))
    const reads = Array.from({ length: 40 }, (_, n) => ({
      ...{ process: 100 + n, model: 'register', key: 'r', kind: 'cas', outcome: 'ok', node: 'n1' },
      ...{ input: { expected: 'v0', value: `w${n}` }, output: { swapped: n % 2 === 0 } },
      ...{ invoke: 50 + n, return: 10_000 },
    }))
    const path = written('hard.jsonl', lines(...writes, ...reads, { end: 80 }))
    const verdict = await checkHistory(path, { partitionLimitMs: 300 })
    expect(verdict).toMatchObject({ verdict: 'unknown', bad: [{ key: 'r', verdict: 'unknown' }] })
  })

  test('is unknown for the keys whose turn does not come before the time is up', async () => {
    const path = written('late.jsonl', lines(put(0, 0, 'a'), { end: 1 }))
    expect(await checkHistory(path, { limitMs: 0 })).toMatchObject({ verdict: 'unknown' })
  })

  test('names the key that is wrong among many that are right', async () => {
    const verdict = await checkHistory(copyOf('bad', 'register-lost-in-one-of-many-keys.jsonl'))
    expect(verdict).toMatchObject({ partitions: 3, bad: [{ model: 'register', key: 'r2' }] })
  })

  test('counts operations by outcome', async () => {
    const failed = put(1, 10, 'b', { outcome: 'fail' })
    const unknown = put(2, 10, 'c', { outcome: 'info', return: null })
    const path = written('counted.jsonl', lines(put(0, 0, 'a'), failed, unknown, { end: 3 }))
    const verdict = await checkHistory(path)
    expect(verdict).toMatchObject({ verdict: 'ok', operations: 3, outcomes: { ok: 1, fail: 1, info: 1 } })
  })
})

test('what the checker concludes about unknown outcomes changes no verdict of Porcupine, on thousands of random histories', async () => {
  // Its own test, in Go: it compares the two on the same operations.
  const go = promisify(execFile)('go', ['test', './...'], {
    cwd: join(import.meta.dirname, 'porcupine'),
    timeout: 50_000,
  })
  expect((await go).stdout).toMatch(/^ok/)
})

describe('a broken history is refused', () => {
  const good = put(0, 0, 'a')
  test.each([
    ['that does not exist', undefined, /no such file/],
    ['that is empty', '', /cut short/],
    ['without its last line', lines(good), /cut short/],
    ['that ends in the middle of a line', lines(good).slice(0, 30), /JSON/],
    ['that lacks an operation', lines(good, { end: 2 }), /2 operations were written and 1 are here/],
    ['that goes on after its last line', lines(good, { end: 1 }, good), /follows the last/],
    ['of no operations', lines({ end: 0 }), /nothing to check/],
    ['in which nothing took effect', lines(put(0, 0, 'a', { outcome: 'fail' }), { end: 1 }), /nothing to check/],
    ['that is not JSON', 'hello\n', /invalid character/],
    ['with an unknown outcome by another name', lines(put(0, 0, 'a', { outcome: 'maybe' }), { end: 1 }), /maybe/],
    ['with an unknown kind', lines(put(0, 0, 'a', { kind: 'increment' }), { end: 1 }), /increment/],
    ['with an unknown model', lines(put(0, 0, 'a', { model: 'stack' }), { end: 1 }), /stack/],
    ['with a write of no value', lines(put(0, 0, 'a', { input: {} }), { end: 1 }), /lacks a field/],
    ['with a value written twice', lines(good, put(1, 10, 'a'), { end: 2 }), /unique/],
    ['with an answer before its question', lines(put(0, 10, 'a', { return: 5 }), { end: 1 }), /before it was invoked/],
    ['with an answer that never came', lines(put(0, 0, 'a', { return: null }), { end: 1 }), /only then/],
    ['with a process that does two things at once', lines(good, put(0, 3, 'b'), { end: 2 }), /still at another/],
    [
      'with a process that goes on after an unknown outcome',
      lines(put(0, 0, 'a', { outcome: 'info', return: null }), put(0, 100, 'b'), { end: 2 }),
      /unknown one/,
    ],
  ])('%s', async (name, text, message) => {
    const path = join(folder, `broken-${name.replaceAll(' ', '-')}.jsonl`)
    if (text !== undefined) writeFileSync(path, text)
    await expect(checkHistory(path)).rejects.toThrow(message)
  })
})
