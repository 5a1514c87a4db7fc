// What a client takes for now while clocks lie: a node's, several, its own.

import { expect, test } from 'vitest'
import { ObservedClock } from '../../src/client/observed-clock.ts'
import type { Clock } from '../../src/time/clock.ts'
import { addMs, timestampFromUnixMs } from '../../src/time/timestamp.ts'

const hourMs = 3_600_000
const startUnixMs = 1_800_000_000_000
const truth = timestampFromUnixMs(startUnixMs)
const ahead = addMs(truth, hourMs)
const behind = addMs(truth, -hourMs)

/** Monotonic and wall time move apart when told to. */
function createObserved(wallAheadMs = 0) {
  const time = { monotonicMs: 1000, unixMs: startUnixMs + wallAheadMs }
  const clock: Clock = {
    unixMs: () => time.unixMs,
    monotonicMs: () => time.monotonicMs,
    setTimer: () => ({ cancel: () => undefined }),
    defer: callback => callback(),
  }
  const pass = (ms: number): void => {
    time.monotonicMs += ms
    time.unixMs += ms
  }
  return { observed: new ObservedClock(clock), time, pass }
}

test('before any answer the own wall clock is all there is', () => {
  expect(createObserved().observed.now(3)).toBe(truth)
})

test.each([
  ['ahead', ahead],
  ['behind', behind],
])('one node of three, an hour %s, moves nothing, in whatever order they answer', (_, wild) => {
  for (const clocks of [
    [wild, truth, truth],
    [truth, wild, truth],
    [truth, truth, wild],
  ]) {
    const { observed, pass } = createObserved(hourMs)
    clocks.forEach((clock, i) => observed.observe(`n${i}`, clock))
    expect(observed.now(3)).toBe(truth)
    pass(50.5)
    expect(observed.now(3)).toBe(addMs(truth, 50))
  }
})

test('two nodes of five, both wild and both the same way, move nothing', () => {
  for (const wild of [ahead, behind]) {
    const { observed } = createObserved()
    ;[wild, truth, wild, truth, truth].forEach((clock, i) => observed.observe(`n${i}`, clock))
    expect(observed.now(5)).toBe(truth)
  }
})

test('of a node and the own wall clock the later counts: too early an instant cannot be taken back', () => {
  for (const [wallAheadMs, clock, expected] of [
    [0, behind, truth],
    [-hourMs, truth, truth],
    [0, ahead, ahead],
    [hourMs, truth, ahead],
  ] as const) {
    const { observed } = createObserved(wallAheadMs)
    observed.observe('n1', clock)
    expect(observed.now(3)).toBe(expected)
  }
})

test('the own wall clock does not count where a majority has answered', () => {
  const { observed } = createObserved(hourMs)
  observed.observe('n1', truth)
  expect(observed.now(1)).toBe(truth)
  observed.observe('n2', truth)
  expect(observed.now(3)).toBe(truth)
})

test('after a refusal the wall clock counts no more, and the word of the leader holds', () => {
  const { observed, pass } = createObserved(hourMs)
  observed.observe('n1', ahead)
  expect(observed.nowAfterRefusal('n2', truth)).toBe(truth)
  pass(20_000)
  // What was heard long before another refusal may be of a clock that was set since.
  observed.observe('n3', addMs(truth, 20_000))
  expect(observed.nowAfterRefusal('n2', addMs(truth, 20_000))).toBe(addMs(truth, 20_000))
  expect(observed.now(9)).toBe(addMs(truth, 20_000))
})

test('a leader that alone says so is outvoted by the others', () => {
  const { observed } = createObserved()
  for (const node of ['n1', 'n2', 'n3']) observed.observe(node, truth)
  expect(observed.nowAfterRefusal('n3', behind)).toBe(truth)
  expect(observed.nowAfterRefusal('n3', Number.NaN)).toBe(truth)
})

test('a machine that slept, and days without an answer, leave no estimate in the past', () => {
  const { observed, time } = createObserved(-hourMs)
  for (const node of ['n1', 'n2', 'n3']) observed.observe(node, truth)
  time.unixMs += 2 * hourMs
  expect(observed.now(3)).toBe(addMs(truth, 2 * hourMs))
  time.unixMs -= 5 * hourMs
  expect(observed.now(3)).toBe(truth)
})

test('only stamps move the token, it never goes back, and no estimate is below it', () => {
  const { observed } = createObserved()
  observed.observe('n1', ahead)
  expect(observed.token).toBe(0)
  observed.tokenTo(addMs(ahead, hourMs))
  observed.tokenTo(truth)
  observed.tokenTo(undefined)
  expect(observed.token).toBe(addMs(ahead, hourMs))
  expect(observed.now(1)).toBe(observed.token)
})
