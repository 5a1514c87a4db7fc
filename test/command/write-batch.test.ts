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
        { number: 3, deleteRange: { start: key } },
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
    ['one key twice in a branch', { writes: [{ commit: { then: [{ put: { key } }, { delete: { key } }] } }] }],
  ])('refuses %s', (_name, batch) => {
    expect(parse(batch).kind).toBe('invalid')
  })

  it('says by which clock notAfter is too far ahead, so that it can be fixed anew', () => {
    const ahead = addMs(now, defaultWriteLimits.notAfterAheadMs)
    const batch = { session, writes: [{ number: 1, put: { key } }] }
    expect(parse({ ...batch, notAfter: ahead }).kind).toBe('ok')
    expect(parse({ ...batch, notAfter: ahead + 1 })).toMatchObject({
      kind: 'invalid',
      details: { limit: 'notAfterAheadMs', limitValue: '900000', now: String(now) },
    })
  })

  it.each<[string, quorate.v1.IWriteBatch]>([
    ['keyBytes', { writes: [{ put: { key: new Uint8Array(4097) } }] }],
    ['valueBytes', { writes: [{ put: { key, value: new Uint8Array(1024 * 1024 + 1) } }] }],
    ['deleteRangeKeys', { writes: [{ deleteRange: { limit: 10_001 } }] }],
  ])('names the limit %s', (limit, batch) => {
    expect(parse(batch)).toMatchObject({ kind: 'too-large', limit })
  })

  it('refuses bytes that are no batch', () => {
    expect(parseWriteBatch(Uint8Array.of(0xff, 0xff, 0xff), defaultWriteLimits, now).kind).toBe('invalid')
  })
})
