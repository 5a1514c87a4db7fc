import { expect, it } from 'vitest'
import { HybridClock, clockSkewMaxMs } from '../../src/time/hybrid-clock.ts'
import { addMs, timestampFromUnixMs } from '../../src/time/timestamp.ts'

const startUnixMs = Date.UTC(2026, 0, 1)

it('moves past what others say within the tolerated skew, and stays where it is beyond', () => {
  const clock = new HybridClock(() => startUnixMs)
  const edge = addMs(clock.raw(), clockSkewMaxMs)
  expect(clock.maybeMerge(addMs(edge, 1))).toBe(false)
  expect(clock.maybePass(addMs(edge, 1))).toBe(false)
  expect(clock.peek()).toBe(clock.raw())
  expect(clock.maybePass(edge)).toBe(true)
  expect(clock.now()).toBe(edge + 1)
})

it('has passed the stamps of its own log, however far the wall clock was set back since', () => {
  let unixMs = startUnixMs + 3_600_000
  const clock = new HybridClock(() => unixMs)
  const stamp = clock.now()
  unixMs = startUnixMs
  expect(clock.maybeMerge(stamp)).toBe(false)
  expect(clock.maybePass(stamp)).toBe(true)
  expect(clock.maybePass(addMs(stamp, 1))).toBe(false)
  expect(clock.now()).toBeGreaterThan(stamp)
  expect(clock.raw()).toBe(timestampFromUnixMs(startUnixMs))
})
