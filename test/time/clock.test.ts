import { expect } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { SimClock, type SimClockOptions, SimScheduler, SimWall } from '../sim/sim-clock.ts'
import { until } from '../support/until.ts'
import { type ClockUnderTest, clockContract } from './clock-contract.ts'

clockContract('the system clock', () => ({
  clock: systemClock,
  wait: async (what, condition) => void (await until(what, condition, { intervalMs: 2 })),
}))

function simulated(options: Omit<SimClockOptions, 'wall'> = {}, driftRatio = 0): ClockUnderTest {
  const scheduler = new SimScheduler()
  const wall = new SimWall(scheduler, Date.UTC(2026, 0, 1))
  wall.setDrift(driftRatio)
  return {
    clock: new SimClock({ wall, ...options }),
    async wait(what, condition) {
      expect(await scheduler.run({ until: condition, untilMs: scheduler.nowMs + 20_000 }), what).toBe('condition')
    },
  }
}

clockContract('virtual time', () => simulated())
clockContract('virtual time that runs fast', () => simulated({}, 0.01))
clockContract('virtual time on a machine that stalls', () =>
  simulated({ prng: createPrng(7), stallEvery: 2, stallMs: 15 }),
)
