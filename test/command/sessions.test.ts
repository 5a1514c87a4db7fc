import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { type SessionBatch, type SessionLimits, Sessions, sessionLimits } from '../../src/command/sessions.ts'
import { type Timestamp, addMs, asTimestamp } from '../../src/time/timestamp.ts'

const now = asTimestamp(1_000_000_000)
const later = addMs(now, 5_000)
const outcome = (timestamp: number) => ({ kind: 1, timestamp })

function batchOf(
  notAfter: Timestamp,
  numbers: readonly number[] = [1],
  more: Partial<SessionBatch> = {},
): SessionBatch {
  return { notAfter, floor: 1, isGateway: false, writes: numbers.map(number => ({ number })), ...more }
}

/** As applying an entry of one batch does. */
function apply(sessions: Sessions, id: string, batch: SessionBatch, logTime: Timestamp): string | readonly string[] {
  const queue = sessions.admit(id, batch, logTime)
  if (queue !== undefined) return queue
  return batch.writes.map(({ number }) => {
    const { kind } = sessions.judge(id, number ?? 0, batch.notAfter, logTime)
    if (kind === 'run') sessions.record(id, batch, number ?? 0, outcome(number ?? 0))
    return kind
  })
}

const tiny = (limits: Partial<SessionLimits> = {}): Sessions => new Sessions({ ...sessionLimits, ...limits })

describe('the session table (DESIGN 10)', () => {
  it('a known number gets its first outcome', () => {
    const sessions = new Sessions()
    expect(apply(sessions, 'a', batchOf(later), now)).toEqual(['run'])
    expect(sessions.judge('a', 1, later, now)).toEqual({ kind: 'known', outcome: outcome(1) })
  })

  it('a known number gets its outcome even past notAfter, an unknown one is refused', () => {
    const sessions = new Sessions()
    apply(sessions, 'a', batchOf(later), now)
    const past = addMs(later, 1)
    expect(apply(sessions, 'a', batchOf(later, [1, 2]), past)).toEqual(['known', 'too-late'])
  })

  it('a number below the floor is refused, and its outcome forgotten', () => {
    const sessions = new Sessions()
    apply(sessions, 'a', batchOf(later, [1, 3]), now)
    expect(apply(sessions, 'a', batchOf(later, [3, 4], { floor: 3 }), now)).toEqual(['known', 'run'])
    expect(apply(sessions, 'a', batchOf(later, [1, 2]), now)).toEqual(['too-late', 'too-late'])
  })

  it('keeps the floor that its first batch came with', () => {
    const sessions = new Sessions()
    apply(sessions, 'a', batchOf(later, [5], { floor: 5 }), now)
    expect(apply(sessions, 'a', batchOf(later, [4]), now)).toEqual(['too-late'])
  })

  it('is the same whatever order numbers, floors and repetitions come in', () => {
    const prng = createPrng(7)
    const sessions = new Sessions()
    const known = new Map<number, number>()
    let floor = 1
    for (let step = 0; step < 5_000; step++) {
      const number = floor + prng.below(200)
      if (prng.below(10) === 0) floor += prng.below(50)
      const expected = number < floor ? 'too-late' : known.has(number) ? 'known' : 'run'
      expect(apply(sessions, 'a', batchOf(later, [number], { floor }), now)).toEqual([expected])
      if (expected === 'run') known.set(number, number)
      for (const seen of known.keys()) if (seen < floor) known.delete(seen)
    }
  })
})

describe('the end of a session (DESIGN 10)', () => {
  it('comes once log time has passed the last notAfter of what it wrote, and not before', () => {
    const sessions = new Sessions()
    const last = addMs(later, 1_000)
    apply(sessions, 'a', batchOf(later), now)
    apply(sessions, 'a', batchOf(last, [2]), now)
    apply(sessions, 'a', batchOf(later, [3]), now)
    expect(sessions.endPassed(addMs(later, 1))).toEqual([])
    expect(sessions.endPassed(last)).toEqual([])
    expect(sessions.judge('a', 1, later, last).kind).toBe('known')
    expect(sessions.endPassed(asTimestamp(last + 1))).toEqual(['a'])
    expect(sessions.count).toBe(0)
  })

  it('leaves nothing that could run twice: what was sent before is too late by its own notAfter', () => {
    const sessions = new Sessions()
    apply(sessions, 'a', batchOf(later, [1, 2]), now)
    const past = asTimestamp(later + 1)
    sessions.endPassed(past)
    expect(apply(sessions, 'a', batchOf(later, [1, 2, 3]), past)).toEqual(['too-late', 'too-late', 'too-late'])
    expect(sessions.count).toBe(0)
  })

  it('is of so many an entry, the first to end first, whatever order they were opened in', () => {
    const prng = createPrng(3)
    const ids = Array.from({ length: 40 }, (_, at) => `s${at}`)
    const ends = new Map(ids.map(id => [id, addMs(now, prng.below(20))]))
    const inOrder = ids.toSorted((a, b) => ends.get(a)! - ends.get(b)! || (a < b ? -1 : 1))
    for (let round = 0; round < 20; round++) {
      const sessions = tiny({ endedPerEntryMax: 7 })
      for (const id of ids.toSorted(() => prng.next() - 0.5)) {
        apply(sessions, id, batchOf(now), now)
        // Moved to its end in two steps.
        apply(sessions, id, batchOf(ends.get(id)!, [2]), now)
      }
      const ended: string[] = []
      for (let entry = 0; entry < 6; entry++) {
        const part = sessions.endPassed(addMs(now, 100))
        expect(part.length).toBe(Math.min(7, 40 - ended.length))
        ended.push(...part)
      }
      expect(ended).toEqual(inOrder)
    }
  })
})

describe('a full table (DESIGN 10)', () => {
  it('refuses new sessions, and those that it knows go on and keep their outcomes', () => {
    const sessions = tiny({ sessionsMax: 2 })
    apply(sessions, 'a', batchOf(later), now)
    apply(sessions, 'b', batchOf(later), now)
    for (let at = 0; at < 10; at++) expect(apply(sessions, `new${at}`, batchOf(later), now)).toBe('sessions')
    expect(apply(sessions, 'a', batchOf(later, [1, 2]), now)).toEqual(['known', 'run'])
    expect(sessions.count).toBe(2)
  })

  it('takes new sessions again once others have ended', () => {
    const sessions = tiny({ sessionsMax: 1 })
    apply(sessions, 'a', batchOf(later), now)
    const past = addMs(later, 1)
    expect(sessions.endPassed(past)).toEqual(['a'])
    expect(apply(sessions, 'new', batchOf(addMs(past, 10)), past)).toEqual(['run'])
  })

  it('tells what is too late so, whether its session is known or not', () => {
    const sessions = tiny({ sessionsMax: 1 })
    apply(sessions, 'a', batchOf(later), now)
    const past = addMs(later, 1)
    expect(apply(sessions, 'new', batchOf(later), past)).toEqual(['too-late'])
    expect(sessions.refusedForMs(Buffer.from('new'), batchOf(later), past)).toBeUndefined()
  })

  it('has room for gateways when clients have filled it', () => {
    const sessions = tiny({ sessionsMax: 2, gatewaySessionsMax: 1, outcomesMax: 2 })
    apply(sessions, 'a', batchOf(later), now)
    apply(sessions, 'b', batchOf(later), now)
    const isGateway = true
    expect(apply(sessions, 'g', batchOf(later, [1], { isGateway }), now)).toEqual(['run'])
    expect(apply(sessions, 'h', batchOf(later, [1], { isGateway }), now)).toBe('sessions')
  })

  it('refuses new sessions past the limit of outcomes, and of a known one what goes past its share', () => {
    const sessions = tiny({ outcomesMax: 6, sessionOutcomesMax: 8, sessionOutcomesAssured: 3 })
    apply(sessions, 'small', batchOf(later), now)
    apply(sessions, 'large', batchOf(later, [1, 2, 3, 4, 5, 6]), now)
    expect(apply(sessions, 'new', batchOf(later), now)).toBe('sessions')
    expect(apply(sessions, 'large', batchOf(later, [7]), now)).toBe('outcomes')
    expect(apply(sessions, 'small', batchOf(later, [2, 3]), now)).toEqual(['run', 'run'])
    // What was answered is answered again, and the floor makes room.
    expect(apply(sessions, 'large', batchOf(later, [5, 6]), now)).toEqual(['known', 'known'])
    expect(apply(sessions, 'large', batchOf(later, [7], { floor: 6 }), now)).toEqual(['run'])
  })

  it('bounds what one session keeps in a table with room', () => {
    const sessions = tiny({ sessionOutcomesMax: 3 })
    expect(apply(sessions, 'a', batchOf(later, [1, 2, 3]), now)).toEqual(['run', 'run', 'run'])
    expect(apply(sessions, 'a', batchOf(later, [4]), now)).toBe('outcomes')
    expect(apply(sessions, 'b', batchOf(later), now)).toEqual(['run'])
  })

  it('counts an outcome by what it takes: one may say in 4 KiB where a range goes on', () => {
    const sessions = tiny({ outcomesMax: 40 })
    const batch = batchOf(later)
    const resume = new Uint8Array(4_096)
    sessions.record('a', batch, 1, { ...outcome(1), resume })
    expect(apply(sessions, 'b', batch, now)).toEqual(['run'])
    sessions.record('a', batch, 2, { ...outcome(2), resume })
    expect(apply(sessions, 'new', batch, now)).toBe('sessions')
    sessions.admit('a', batchOf(later, [], { floor: 3 }), now)
    expect(apply(sessions, 'new', batch, now)).toEqual(['run'])
  })

  it('a leader need not take what would be refused, and says when to come again', () => {
    const sessions = tiny({ sessionsMax: 1 })
    const refused = (id: string, at: Timestamp) => sessions.refusedForMs(Buffer.from(id), batchOf(addMs(at, 9)), at)
    expect(refused('new', now)).toBeUndefined()
    apply(sessions, 'a', batchOf(later), now)
    expect(refused('new', now)).toBe(1_000)
    expect(refused('new', addMs(later, -200))).toBe(200)
    expect(refused('a', now)).toBeUndefined()
    // Its entry would end the other one.
    expect(refused('new', addMs(later, 1))).toBeUndefined()
  })
})

describe('what is stored of the table', () => {
  it('comes back as it was', () => {
    const sessions = new Sessions()
    const id = '0123456789abcdef'
    sessions.record(id, batchOf(later), 5, { kind: 1, timestamp: 9, resume: Uint8Array.of(1, 2) })
    sessions.admit(id, batchOf(later, [], { floor: 4 }), now)
    const copy = new Sessions()
    for (const { id: name, value } of sessions.takeDirty()) copy.load(name, value!)
    expect(copy.judge(id, 3, later, now).kind).toBe('too-late')
    expect(copy.judge(id, 5, later, now)).toMatchObject({ kind: 'known', outcome: { timestamp: 9 } })
    expect(copy.endPassed(later)).toEqual([])
    expect(copy.endPassed(addMs(later, 1))).toEqual([id])
    expect(sessions.takeDirty()).toEqual([])
  })

  it('is nothing of a session that ended before it was stored, and its removal when it ended after', () => {
    const sessions = new Sessions()
    apply(sessions, 'brief', batchOf(now), now)
    apply(sessions, 'stored', batchOf(later), now)
    sessions.endPassed(addMs(now, 1))
    expect(sessions.takeDirty().map(({ id }) => id)).toEqual(['stored'])
    const past = addMs(later, 1)
    sessions.endPassed(past)
    // It comes back, and ends again, before the removal of its row was written.
    apply(sessions, 'stored', batchOf(addMs(past, 1)), past)
    sessions.endPassed(addMs(past, 2))
    expect(sessions.takeDirty()).toEqual([{ id: 'stored', value: undefined }])
  })
})
