import { describe, expect, test } from 'vitest'
import { Backoff } from '../../src/client/backoff.ts'
import { compareBytes, keyAfter, prefixEnd, textOf, toBytes } from '../../src/client/bytes.ts'
import { parseConnectionString } from '../../src/client/connection-string.ts'
import { DeadlineWatch } from '../../src/client/deadline-watch.ts'
import { parseInstant } from '../../src/client/instant.ts'
import { parseDeleteSpan, parseSpan } from '../../src/client/span.ts'
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

  const span = (options: Parameters<typeof parseSpan>[1], parse = parseSpan): unknown => {
    const parsed = parse('m', options)
    return parsed && [parsed.start, parsed.end].map(bytes => Buffer.from(bytes).toString())
  }

  test.each<[Parameters<typeof parseSpan>[1], unknown]>([
    [{}, ['', '']],
    [{ all: true }, ['', '']],
    [{ start: '', end: '' }, ['', '']],
    [{ prefix: '' }, ['', '']],
    [{ prefix: 'b' }, ['b', 'c']],
    [{ prefix: 'b', start: 'a', end: 'z' }, ['b', 'c']],
    [{ prefix: 'b', start: 'b5', end: 'b7' }, ['b5', 'b7']],
    [{ prefix: 'b', start: 'b5' }, ['b5', 'c']],
    [{ start: 'b', toEnd: true }, ['b', '']],
    [{ fromStart: true, end: 'b' }, ['', 'b']],
    // What lies in both is nothing, which is no mistake.
    [{ prefix: 'b', start: 'zz' }, undefined],
    [{ prefix: 'b', end: 'a' }, undefined],
    [{ prefix: 'b', end: 'b' }, undefined],
    [{ prefix: 'b', start: 'c' }, undefined],
    [{ prefix: Buffer.from([255]), start: Buffer.from([254]), end: Buffer.from([255]) }, undefined],
    [{ start: 'b', end: 'b' }, undefined],
  ])('a prefix narrows a span and never widens it: %j', (options, expected) => {
    expect(span(options)).toEqual(expected)
  })

  test.each<[Parameters<typeof parseSpan>[1], unknown]>([
    [{ all: true }, ['', '']],
    [{ prefix: 'b' }, ['b', 'c']],
    [{ prefix: 'b', start: 'b5' }, ['b5', 'c']],
    [{ start: 'b', end: 'd' }, ['b', 'd']],
    [{ start: 'b', toEnd: true }, ['b', '']],
    [{ fromStart: true, end: 'b' }, ['\0', 'b']],
    [{ prefix: 'b', start: 'zz' }, undefined],
    [{ prefix: Buffer.from([255]) }, [Buffer.from([255]).toString(), '']],
  ])('to delete, every end is named: %j', (options, expected) => {
    expect(span(options, parseDeleteSpan)).toEqual(expected)
  })

  test.each<[Parameters<typeof parseSpan>[1], string]>([
    [{}, 'no start is given'],
    [{ all: false }, 'no start is given'],
    [{ prefix: '' }, 'prefix is empty'],
    [{ prefix: '', start: 'a', end: 'b' }, 'prefix is empty'],
    [{ start: '', end: '' }, 'start is empty'],
    [{ start: 'a', end: '' }, 'end is empty'],
    [{ start: '', end: 'a' }, 'start is empty'],
    [{ prefix: 'a', end: new Uint8Array(0) }, 'end is empty'],
    [{ start: 'a' }, 'no end is given'],
    [{ end: 'a' }, 'no start is given'],
    [{ toEnd: true }, 'no start is given'],
    [{ fromStart: true }, 'no end is given'],
    [{ fromStart: true, toEnd: true }, '{ all: true }'],
    [{ all: true, prefix: 'a' }, 'goes alone'],
    [{ all: true, start: 'a' }, 'goes alone'],
    [{ prefix: 'a', toEnd: true }, 'has its ends'],
    [{ start: 'a', end: 'b', toEnd: true }, 'in place of end'],
    [{ start: 'b', end: 'a' }, 'before it starts'],
  ])('nothing is deleted because something was left out: %j', (options, message) => {
    expect(() => span(options, parseDeleteSpan)).toThrow(message)
  })

  test('nothing lies between a key and the one after', () => {
    const key = Buffer.from('key')
    expect(compareBytes(key, keyAfter(key))).toBe(-1)
    expect(hex(keyAfter(key))).toBe(`${hex(key)}00`)
  })
})

describe('what is given as a key or a value', () => {
  const whole = Uint8Array.from([9, 1, 2, 3, 4, 9]).buffer
  test.each<[string, unknown, string]>([
    ['text', 'aé', '61c3a9'],
    ['empty text', '', ''],
    ['text with a mark of byte order', '\ufeffa', 'efbbbf61'],
    ['a surrogate pair', '\u{1f600}', 'f09f9880'],
    ['a Uint8Array', Uint8Array.from([1, 2]), '0102'],
    ['a Buffer', Buffer.from([1, 2]), '0102'],
    ['a view of the middle', new Uint8Array(whole, 1, 4), '01020304'],
    ['a Uint16Array: its bytes, not its numbers', new Uint16Array(Uint8Array.from([1, 2, 3, 4]).buffer), '01020304'],
    ['a Float64Array', new Float64Array([0]), '0000000000000000'],
    ['a DataView', new DataView(whole, 1, 2), '0102'],
    ['an ArrayBuffer', Uint8Array.from([1, 2, 3]).buffer, '010203'],
    ['a SharedArrayBuffer', new SharedArrayBuffer(2), '0000'],
  ])('%s is exactly those bytes', (_, given, expected) => {
    expect(hex(toBytes(given as string, 'value'))).toBe(expected)
  })

  test('is copied at once', () => {
    const given = Uint8Array.from([1, 2])
    const taken = toBytes(given, 'value')
    given.fill(7)
    expect(hex(taken)).toBe('0102')
  })

  const detached = new Uint8Array(4)
  structuredClone(detached, { transfer: [detached.buffer] })
  test.each<[unknown, string]>([
    [undefined, 'v is undefined'],
    [null, 'v is null'],
    [5, 'v is a number'],
    [Number.NaN, 'v is a number'],
    [5n, 'v is a bigint'],
    [true, 'v is a boolean'],
    [{ a: 1 }, 'v is an object (Object)'],
    [new Date(), 'v is an object (Date)'],
    [[1, 2, 3], 'v is an array'],
    [[], 'v is an array'],
    [new String('a'), 'v is an object (String)'],
    [Object.create(null), 'v is an object'],
    [() => 'a', 'v is a function'],
    [Symbol('a'), 'v is a symbol'],
    ['\ud800', 'half a surrogate pair'],
    ['a\udfff', 'half a surrogate pair'],
    [detached, 'transferred away'],
  ])('%o is refused', (given, message) => {
    expect(() => toBytes(given as string, 'v')).toThrow(message)
  })

  test('text is read back as it was written, or not at all', () => {
    for (const text of ['', '\ufeffa', 'a\0\u{1f600}']) expect(textOf(toBytes(text, 'value'))).toBe(text)
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80]]) {
      expect(() => textOf(Uint8Array.from(bytes))).toThrow('no UTF-8')
    }
  })
})

test('connection strings: a port may be left out, duplicates count once', () => {
  expect(parseConnectionString('quorate://127.0.0.1:7102,host,[::1]:9,host:7101/')).toEqual([
    '127.0.0.1:7102',
    'host:7101',
    '[::1]:9',
  ])
})

describe('instants', () => {
  const ms = Date.parse('2026-03-01T12:00:00.123Z')
  test('a date includes everything of its millisecond, or nothing', () => {
    expect(parseInstant(new Date(ms), 'at', 'last')).toBe(timestampFromUnixMs(ms, 4095))
    expect(parseInstant(new Date(ms), 'at', 'first')).toBe(timestampFromUnixMs(ms, 0))
  })

  test.each<[unknown, number]>([
    ['2026-03-01T12:00:00.123Z', ms],
    ['2026-03-01T12:00:00,123Z', ms],
    ['2026-03-01T14:00:00.123+02:00', ms],
    ['2026-03-01T12:00:00.123456789Z', ms],
    ['2026-03-01', Date.parse('2026-03-01T00:00:00Z')],
    ['2026-03-01T12:00Z', Date.parse('2026-03-01T12:00:00Z')],
    ['2026-03-01T12:00:00', new Date(2026, 2, 1, 12).getTime()],
    ['2026-03-01 12:00:00', new Date(2026, 2, 1, 12).getTime()],
    ['2024-02-29', Date.parse('2024-02-29T00:00:00Z')],
  ])('%s', (text, expected) => {
    expect(parseInstant(text, 'at', 'first')).toBe(timestampFromUnixMs(expected))
  })

  test('a timestamp is itself', () => {
    const timestamp = timestampFromUnixMs(ms, 17)
    expect(parseInstant(timestamp, 'at', 'last')).toBe(timestamp)
  })

  test.each<[unknown, string]>([
    [ms, 'no timestamp of the cluster: give new Date(milliseconds)'],
    [Math.floor(ms / 1000), 'no timestamp of the cluster'],
    [12_345, 'no timestamp of the cluster'],
    [0, 'not an instant'],
    [-1, 'not an instant'],
    [1.5, 'not an instant'],
    [Number.NaN, 'not an instant'],
    [Number.POSITIVE_INFINITY, 'not an instant'],
    [ms * 1_000_000, 'not an instant'],
    ['soon', 'not an instant'],
    ['tomorrow', 'not an instant'],
    ['5', 'not an instant'],
    ['', 'not an instant'],
    ['March 1, 2026', 'not an instant'],
    ['2026-02-30', 'not an instant'],
    ['2025-02-29T00:00:00Z', 'not an instant'],
    ['2026-13-01', 'not an instant'],
    ['2026-03-01T25:00:00Z', 'not an instant'],
    [new Date(Number.NaN), 'an invalid Date'],
    [null, 'not an instant: null'],
    [{}, 'not an instant'],
    [5n, 'not an instant'],
    [new Date('9999-01-01'), 'the latest instant'],
  ])('%o is refused', (given, message) => {
    expect(() => parseInstant(given, 'at', 'last')).toThrow(message)
  })
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
