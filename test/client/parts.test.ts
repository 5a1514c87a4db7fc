import { describe, expect, test } from 'vitest'
import { Backoff } from '../../src/client/backoff.ts'
import { compareBytes, keyAfter, parseSpan, prefixEnd } from '../../src/client/bytes.ts'
import { parseConnectionString } from '../../src/client/connection-string.ts'
import { DeadlineWatch } from '../../src/client/deadline-watch.ts'
import { parseInstant } from '../../src/client/options.ts'
import type { Clock } from '../../src/time/clock.ts'
import { timestampFromUnixMs } from '../../src/time/timestamp.ts'

/** Time that moves when told to. */
function createManualClock() {
  const timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()
  let nowMs = 0
  const clock: Clock = {
    unixMs: () => 1_800_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      const timer = { atMs: nowMs + delayMs, callback }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    defer: callback => callback(),
  }
  const advance = (ms: number): void => {
    nowMs += ms
    for (const timer of timers) {
      if (timer.atMs > nowMs || !timers.delete(timer)) continue
      timer.callback()
    }
  }
  return { clock, advance, timers }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('bytes', () => {
  test('the end of a prefix is the first key behind all that begin with it', () => {
    expect(hex(prefixEnd(Buffer.from('ab')))).toBe('6163')
    expect(hex(prefixEnd(Buffer.from([1, 255, 255])))).toBe('02')
    expect(hex(prefixEnd(Buffer.from([255, 255])))).toBe('')
    expect(hex(prefixEnd(Buffer.alloc(0)))).toBe('')
  })

  test('a prefix narrows a span and never widens it', () => {
    const span = (options: Parameters<typeof parseSpan>[0]): string[] =>
      Object.values(parseSpan(options)).map(bytes => Buffer.from(bytes).toString())
    expect(span({})).toEqual(['', ''])
    expect(span({ prefix: 'b' })).toEqual(['b', 'c'])
    expect(span({ prefix: 'b', start: 'a', end: 'z' })).toEqual(['b', 'c'])
    expect(span({ prefix: 'b', start: 'b5', end: 'b7' })).toEqual(['b5', 'b7'])
    expect(() => parseSpan({ start: 'b', end: 'a' })).toThrow('before it starts')
  })

  test('nothing lies between a key and the one after', () => {
    const key = Buffer.from('key')
    expect(compareBytes(key, keyAfter(key))).toBe(-1)
    expect(hex(keyAfter(key))).toBe(`${hex(key)}00`)
  })
})

test('connection strings: a port may be left out, duplicates count once', () => {
  expect(parseConnectionString('quorate://127.0.0.1:7102,host,[::1]:9,host:7101/')).toEqual([
    '127.0.0.1:7102',
    'host:7101',
    '[::1]:9',
  ])
})

test('an instant includes everything of its millisecond', () => {
  const date = new Date('2026-03-01T12:00:00.123Z')
  expect(parseInstant(date)).toBe(timestampFromUnixMs(date.getTime(), 4095))
  expect(parseInstant(date.toISOString())).toBe(parseInstant(date))
  expect(parseInstant(12_345)).toBe(12_345)
  for (const bad of [0, -1, 1.5, 'soon', new Date(Number.NaN)])
    expect(() => parseInstant(bad)).toThrow('not an instant')
})

test('back-off: the first retry goes at once, later ones grow to a bound, and a storm is slowed', () => {
  const { clock, advance } = createManualClock()
  const backoff = new Backoff(clock, () => 0.5)
  expect([0, 1, 2, 3, 4, 50].map(retry => backoff.delayMs(retry))).toEqual([0, 20, 40, 80, 120, 120])
  expect(backoff.delayMs(0, 300)).toBe(300)
  for (let i = 0; i < 100; i++) backoff.delayMs(0)
  expect(backoff.delayMs(0)).toBe(500)
  advance(1000)
  expect(backoff.delayMs(0)).toBe(0)
})

test('one timer serves all deadlines, earliest first', () => {
  const { clock, advance, timers } = createManualClock()
  let open = [30, 10, 20]
  const swept: number[] = []
  const watch = new DeadlineWatch(clock, nowMs => {
    swept.push(nowMs)
    open = open.filter(deadline => deadline > nowMs)
    return Math.min(Number.POSITIVE_INFINITY, ...open)
  })
  for (const deadline of open) watch.watch(deadline)
  expect(timers.size).toBe(1)
  for (let i = 0; i < 8; i++) advance(5)
  expect(swept).toEqual([10, 20, 30])
  expect(timers.size).toBe(0)
})
