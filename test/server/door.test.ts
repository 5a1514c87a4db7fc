import { expect, test } from 'vitest'
import type { Socket } from 'node:net'
import { Door } from '../../src/server/door.ts'
import type { Clock } from '../../src/time/clock.ts'

/** A loop whose turns the test takes. */
function createLoop() {
  let due: (() => void)[] = []
  const clock: Clock = {
    unixMs: () => 0,
    monotonicMs: () => 0,
    setTimer: () => ({ cancel: () => undefined }),
    defer: callback => {
      due.push(callback)
    },
  }
  const turn = (): void => {
    const callbacks = due
    due = []
    for (const callback of callbacks) callback()
  }
  return { clock, turn, isIdle: () => due.length === 0 }
}

const socket = (destroyed = false): Socket => ({ destroyed }) as Socket

test('new connections come in a few a turn, in order, and those that have hung up not at all', () => {
  const { clock, turn, isIdle } = createLoop()
  const admitted: Socket[] = []
  const door = new Door(clock, 2, each => admitted.push(each))
  const sockets = [socket(), socket(true), socket(), socket(), socket(), socket()]
  for (const each of sockets) door.open(each)
  const [a, , b, c, d, e] = sockets
  expect(admitted).toEqual([])
  turn()
  expect(admitted).toEqual([a, b])
  turn()
  expect(admitted).toEqual([a, b, c, d])
  turn()
  expect(admitted).toEqual([a, b, c, d, e])
  expect(isIdle()).toBe(true)
})
