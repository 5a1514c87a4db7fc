import { describe, expect, it } from 'vitest'
import { defaultWriteLimits } from '../../src/command/limits.ts'
import { parseWriteBatch } from '../../src/command/write-batch.ts'
import { addMs, asTimestamp } from '../../src/time/timestamp.ts'
import { quorate } from '../../src/proto/quorate.js'

const key = Buffer.from('k')
const session = new Uint8Array(16)
const now = asTimestamp(4096_000_000)
const parse = (batch: quorate.v1.IWriteBatch) =>
  parseWriteBatch(quorate.v1.WriteBatch.encode(batch).finish(), defaultWriteLimits, now)

describe('parseWriteBatch', () => {
  it('takes each kind of write', () => {
    const parsed = parse({
      session,
      notAfter: 5,
      writes: [
        { number: 1, put: { key, value: key } },
        { number: 2, delete: { key } },
        { number: 3, deleteRange: { start: key, toEnd: true } },
        { number: 4, commit: { compares: [{ key, absent: true }], then: [{ put: { key, value: key } }] } },
      ],
    })
    expect(parsed.kind).toBe('ok')
    if (parsed.kind === 'ok') expect(parsed.operations).toBe(4)
  })

  it.each<[string, quorate.v1.IWriteBatch]>([
    ['a key of no bytes', { writes: [{ put: { key: new Uint8Array(0) } }] }],
    ['a session id of another length', { session: new Uint8Array(3), notAfter: 1, writes: [] }],
    ['a session without notAfter', { session, writes: [{ number: 1, put: { key } }] }],
    ['a write without a number in a session', { session, notAfter: 1, writes: [{ put: { key } }] }],
    ['a write without an operation', { writes: [{ number: 1 }] }],
    ['a compare without a target', { writes: [{ commit: { compares: [{ key }] } }] }],
    [
      'a number twice',
      {
        session,
        notAfter: 1,
        writes: [
          { number: 1, put: { key } },
          { number: 1, put: { key } },
        ],
      },
    ],
    [
      'a notAfter beyond all clocks',
      { session, notAfter: Number.MAX_SAFE_INTEGER, writes: [{ number: 1, put: { key } }] },
    ],
    [
      "a number below its own batch's floor",
      { session, notAfter: now, floor: 4, writes: [{ number: 3, put: { key } }] },
    ],
    ['one key twice in a branch', { writes: [{ commit: { then: [{ put: { key } }, { delete: { key } }] } }] }],
    ['a commit that names no key', { writes: [{ commit: {} }] }],
    ['an operator below all', { writes: [{ commit: { compares: [{ key, operator: -1 as never, version: 1 }] } }] }],
    ['an operator above all', { writes: [{ commit: { compares: [{ key, operator: 4 as never, version: 1 }] } }] }],
    ['absent by order', { writes: [{ commit: { compares: [{ key, operator: 2, absent: true }] } }] }],
    ['a version with lost digits', { writes: [{ commit: { compares: [{ key, version: 2 ** 53 }] } }] }],
    ['a timestamp with lost digits', { writes: [{ commit: { compares: [{ key, timestamp: 2 ** 63 }] } }] }],
    ['a number with lost digits', { session, notAfter: 1, writes: [{ number: 2 ** 53, put: { key } }] }],
    ['a floor with lost digits', { session, notAfter: 1, floor: 2 ** 60, writes: [{ number: 1, put: { key } }] }],
  ])('refuses %s', (_name, batch) => {
    expect(parse(batch).kind).toBe('invalid')
  })

  it('refuses what touches too many keys by the name of the limit, however few its bytes are', () => {
    const commit = { compares: Array.from({ length: 128 }, () => ({ key, absent: true })) }
    const commits = (count: number) => ({ writes: Array.from({ length: count }, () => ({ commit })) })
    expect(parse(commits(128))).toMatchObject({ kind: 'ok', keyOperations: 16_384 })
    expect(parse(commits(129))).toEqual({
      kind: 'too-large',
      limit: 'batchKeyOperations',
      limitBytes: 16_384,
      value: 16_512,
    })
    const deletion = { deleteRange: { all: true, limit: 10_000 } }
    expect(parse({ writes: [deletion] }).kind).toBe('ok')
    expect(parse({ writes: [deletion, deletion] }).kind).toBe('too-large')
  })

  it('says by which clock notAfter is too far ahead, so that it can be fixed anew', () => {
    const ahead = addMs(now, defaultWriteLimits.notAfterAheadMs)
    const batch = { session, writes: [{ number: 1, put: { key } }] }
    expect(parse({ ...batch, notAfter: ahead }).kind).toBe('ok')
    expect(parse({ ...batch, notAfter: ahead + 1 })).toMatchObject({
      kind: 'invalid',
      details: { limit: 'notAfterAheadMs', limitValue: '120000', now: String(now) },
    })
  })

  const other = Buffer.from('l')
  const empty = new Uint8Array(0)
  it.each<[string, quorate.v1.IDeleteRangeOp]>([
    ['nothing at all', {}],
    ['a limit alone', { limit: 1 }],
    ['two empty ends', { start: empty, end: empty }],
    ['a start without an end', { start: key }],
    ['an end without a start', { end: key }],
    ['an open end without a start', { toEnd: true }],
    ['an open end that is closed', { start: key, end: other, toEnd: true }],
    ['all of a span', { all: true, start: key }],
    ['all up to a key', { all: true, end: key }],
    ['all to the end', { all: true, toEnd: true }],
    ['an end before the start', { start: other, end: key }],
  ])('never takes a deletion of %s for the whole keyspace', (_name, deleteRange) => {
    expect(parse({ writes: [{ deleteRange }] })).toMatchObject({ kind: 'invalid' })
  })

  it.each<quorate.v1.IDeleteRangeOp>([
    { all: true },
    { start: key, end: other },
    { start: key, end: key },
    { start: key, toEnd: true, limit: 10_000 },
    { start: Buffer.alloc(4097), end: Buffer.alloc(4097, 1) },
  ])('takes a deletion that names its ends', deleteRange => {
    expect(parse({ writes: [{ deleteRange }] }).kind).toBe('ok')
  })

  it.each<[string, quorate.v1.IWriteBatch]>([
    ['keyBytes', { writes: [{ deleteRange: { start: new Uint8Array(4098), toEnd: true } }] }],
    ['keyBytes', { writes: [{ put: { key: new Uint8Array(4097) } }] }],
    ['valueBytes', { writes: [{ put: { key, value: new Uint8Array(1024 * 1024 + 1) } }] }],
    ['deleteRangeKeys', { writes: [{ deleteRange: { all: true, limit: 10_001 } }] }],
  ])('names the limit %s', (limit, batch) => {
    expect(parse(batch)).toMatchObject({ kind: 'too-large', limit })
  })

  it('refuses bytes that are no batch', () => {
    expect(parseWriteBatch(Uint8Array.of(0xff, 0xff, 0xff), defaultWriteLimits, now).kind).toBe('invalid')
  })
})
