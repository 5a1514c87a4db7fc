// What every Clock owes (src/time/clock.ts), as tests.

import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/time/clock.ts'

export interface ClockUnderTest {
  readonly clock: Clock
  /** Lets time pass until the condition holds; fails when it does not come to hold. */
  wait(what: string, condition: () => boolean): Promise<void>
}

/** Node counts whole milliseconds: a timer may be early by less than one. */
const grainMs = 1

export function clockContract(name: string, open: () => ClockUnderTest): void {
  describe(`the Clock contract: ${name}`, () => {
    it('runs neither a timer nor what was deferred before the caller has gone on', async () => {
      const { clock, wait } = open()
      const ran: string[] = []
      clock.setTimer(0, () => ran.push('timer'))
      clock.defer(() => ran.push('deferred'))
      expect(ran).toEqual([])
      await wait('both run', () => ran.length === 2)
    })

    it('runs a timer once its delay has passed, and once only', async () => {
      const { clock, wait } = open()
      const begunMs = clock.monotonicMs()
      let firedMs: number[] = []
      clock.setTimer(20, () => (firedMs = [...firedMs, clock.monotonicMs()]))
      let isLater = false
      clock.setTimer(60, () => (isLater = true))
      await wait('the later timer', () => isLater)
      expect(firedMs).toHaveLength(1)
      expect((firedMs[0] ?? 0) - begunMs).toBeGreaterThan(20 - grainMs)
    })

    it('runs timers in the order in which they come due, those of one delay in the order in which they were set', async () => {
      const { clock, wait } = open()
      const ran: string[] = []
      clock.setTimer(40, () => ran.push('late'))
      for (const name of ['a', 'b', 'c']) clock.setTimer(10, () => ran.push(name))
      await wait('all run', () => ran.length === 4)
      expect(ran).toEqual(['a', 'b', 'c', 'late'])
    })

    it('never runs a timer that was cancelled, by one that ran just before it either', async () => {
      const { clock, wait } = open()
      const ran: string[] = []
      const cancelled = clock.setTimer(5, () => ran.push('cancelled at once'))
      cancelled.cancel()
      clock.setTimer(10, () => {
        ran.push('first')
        second.cancel()
      })
      const second = clock.setTimer(10, () => ran.push('second'))
      clock.setTimer(30, () => ran.push('last'))
      await wait('the last runs', () => ran.includes('last'))
      expect(ran).toEqual(['first', 'last'])
    })

    it('takes a second cancel, and one after the timer ran, without complaint', async () => {
      const { clock, wait } = open()
      let ran = 0
      const timer = clock.setTimer(1, () => (ran += 1))
      await wait('it runs', () => ran === 1)
      timer.cancel()
      timer.cancel()
      expect(ran).toBe(1)
    })

    it('runs what was deferred in its order, and before a timer set at the same moment', async () => {
      const { clock, wait } = open()
      const ran: string[] = []
      clock.setTimer(1, () => {
        clock.setTimer(1, () => ran.push('timer'))
        for (const name of ['a', 'b', 'c']) clock.defer(() => ran.push(name))
      })
      await wait('all run', () => ran.length === 4)
      expect(ran).toEqual(['a', 'b', 'c', 'timer'])
    })

    it('runs all that one callback made ready before the next callback', async () => {
      const { clock, wait } = open()
      const ran: string[] = []
      const chain = async (name: string): Promise<void> => {
        for (let i = 0; i < 50; i++) await Promise.resolve()
        ran.push(`the promises of ${name}`)
      }
      for (const name of ['a', 'b'])
        clock.defer(() => {
          ran.push(name)
          void chain(name)
        })
      await wait('all run', () => ran.length === 4)
      expect(ran).toEqual(['a', 'the promises of a', 'b', 'the promises of b'])
    })

    it('lets its readings be taken without the object', async () => {
      const { clock } = open()
      const { unixMs } = clock
      expect(unixMs()).toBeGreaterThan(Date.UTC(2024, 0, 1))
      expect(Number.isInteger(unixMs())).toBe(true)
    })

    it('has a monotonic clock that goes on with its timers and never back', async () => {
      const { clock, wait } = open()
      const readings = [clock.monotonicMs()]
      const read = (): void => {
        readings.push(clock.monotonicMs())
        if (readings.length < 10) clock.setTimer(2, read)
      }
      clock.setTimer(2, read)
      await wait('ten readings', () => readings.length === 10)
      expect(readings).toEqual(readings.toSorted((a, b) => a - b))
      expect((readings[9] ?? 0) - (readings[0] ?? 0)).toBeGreaterThan(9 * (2 - grainMs))
    })
  })
}
