import { describe, expect, it } from 'vitest'
import { Sessions } from '../../src/command/sessions.ts'
import { addMs, asTimestamp } from '../../src/time/timestamp.ts'

const now = asTimestamp(1_000_000_000)
const later = addMs(now, 5_000)
const outcome = (timestamp: number) => ({ kind: 1, timestamp })

describe('the session table (DESIGN 10)', () => {
  it('a known number gets its first outcome', () => {
    const sessions = new Sessions()
    expect(sessions.judge('a', 1, later, now)).toEqual({ kind: 'run' })
    sessions.record('a', 1, later, outcome(7))
    expect(sessions.judge('a', 1, later, now)).toEqual({ kind: 'known', outcome: outcome(7) })
  })

  it('a known number gets its outcome even past notAfter, an unknown one is refused', () => {
    const sessions = new Sessions()
    sessions.record('a', 1, later, outcome(7))
    const past = addMs(later, 1)
    expect(sessions.judge('a', 1, later, past).kind).toBe('known')
    expect(sessions.judge('a', 2, later, past)).toEqual({ kind: 'too-late' })
  })

  it('a number below the floor is refused, and its outcome forgotten', () => {
    const sessions = new Sessions()
    sessions.record('a', 1, later, outcome(7))
    sessions.record('a', 3, later, outcome(8))
    sessions.raiseFloor('a', 3)
    expect(sessions.judge('a', 1, later, now)).toEqual({ kind: 'too-late' })
    expect(sessions.judge('a', 2, later, now)).toEqual({ kind: 'too-late' })
    expect(sessions.judge('a', 3, later, now).kind).toBe('known')
  })

  it('past its limit it forgets the oldest sessions, and refuses whatever they may have held', () => {
    const sessions = new Sessions({ outcomesMax: 10, sessionsMax: 100, graceMs: 1_000 })
    for (let number = 1; number <= 6; number++) sessions.record('old', number, later, outcome(number))
    const newer = addMs(later, 10_000)
    for (let number = 1; number <= 6; number++) sessions.record('new', number, newer, outcome(number))
    sessions.collect(now)
    expect(sessions.judge('old', 1, later, now)).toEqual({ kind: 'too-late' })
    expect(sessions.judge('new', 1, newer, now).kind).toBe('known')
    expect(sessions.judge('other', 1, newer, now).kind).toBe('run')
  })

  it('comes back as it was from what was written', () => {
    const sessions = new Sessions()
    sessions.record('0123456789abcdef', 5, later, { kind: 1, timestamp: 9, resume: Uint8Array.of(1, 2) })
    sessions.raiseFloor('0123456789abcdef', 4)
    const copy = new Sessions()
    for (const { id, value } of sessions.takeDirty()) copy.load(id, value!)
    expect(copy.judge('0123456789abcdef', 3, later, now).kind).toBe('too-late')
    const verdict = copy.judge('0123456789abcdef', 5, later, now)
    expect(verdict.kind).toBe('known')
    expect(sessions.takeDirty()).toEqual([])
  })
})
