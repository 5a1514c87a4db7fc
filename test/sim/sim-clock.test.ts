import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { SimClock, type SimClockOptions, SimScheduler, SimWall } from './sim-clock.ts'

const beginMs = Date.UTC(2026, 0, 1)

function createProcess(options: Partial<SimClockOptions> = {}) {
  const scheduler = new SimScheduler()
  const wall = new SimWall(scheduler, beginMs)
  const ran: string[] = []
  const note = (what: string) => () => void ran.push(what)
  return { scheduler, wall, clock: new SimClock({ wall, ...options }), ran, note }
}

describe('virtual time', () => {
  it('passes only in a run, and ends where the run was told to end', async () => {
    const { scheduler, clock, ran, note } = createProcess()
    clock.setTimer(10, note('ten'))
    clock.setTimer(1_000, note('thousand'))
    expect(await scheduler.run({ untilMs: 999 })).toBe('time')
    expect([ran, scheduler.nowMs]).toEqual([['ten'], 999])
    expect(await scheduler.run()).toBe('idle')
    expect([ran, scheduler.nowMs]).toEqual([['ten', 'thousand'], 1_000])
  })

  it('takes one step at a time, with all that it made ready', async () => {
    const { scheduler, clock, ran, note } = createProcess()
    clock.setTimer(1, () => void Promise.resolve().then(note('after one')))
    clock.setTimer(2, note('two'))
    expect(await scheduler.step()).toBe(true)
    expect(ran).toEqual(['after one'])
    expect(await scheduler.step()).toBe(true)
    expect(await scheduler.step()).toBe(false)
  })

  it('shows the world to a checker after each event, and ends with what it throws', async () => {
    const { scheduler, clock, ran, note } = createProcess()
    for (const at of [1, 2, 3]) clock.setTimer(at, note(`${at}`))
    const afterEvent = (): void => {
      if (ran.length === 2) throw new Error('two is wrong')
    }
    await expect(scheduler.run({ afterEvent })).rejects.toThrow('two is wrong')
    expect(ran).toEqual(['1', '2'])
  })

  it('ends a loop that waits at one instant', async () => {
    const { scheduler, clock } = createProcess()
    const again = (): void => clock.defer(again)
    again()
    await expect(scheduler.run()).rejects.toThrow('time stands still')
  })

  it('keeps its order while most timers are cancelled', async () => {
    const { scheduler, clock } = createProcess()
    const prng = createPrng(3)
    const due: number[] = []
    for (let i = 0; i < 20_000; i++) {
      const timer = clock.setTimer(1 + prng.below(5_000), () => due.push(scheduler.nowMs))
      if (prng.below(10) > 0) timer.cancel()
    }
    await scheduler.run()
    expect(due.length).toBeGreaterThan(1_500)
    expect(due).toEqual(due.toSorted((a, b) => a - b))
  })

  it('is the same again with the same seed, however uneven the machine', async () => {
    const run = async (): Promise<number[]> => {
      const { scheduler, clock } = createProcess({ prng: createPrng(5), timerLateMaxMs: 3, turnMaxMs: 1 })
      const seen: number[] = []
      const turn = (): void => {
        seen.push(scheduler.nowMs)
        clock.defer(() => void Promise.resolve().then(() => clock.setTimer(seen.length % 7, turn)))
      }
      turn()
      await scheduler.run({ untilMs: 1_000 })
      return seen
    }
    expect(await run()).toEqual(await run())
  })
})

describe('a simulated machine', () => {
  it('lets its wall clock jump, drift, and stand still, and its monotonic clock go on', async () => {
    const { scheduler, wall, clock } = createProcess()
    wall.jump(-5_000)
    expect(clock.unixMs()).toBe(beginMs - 5_000)
    wall.jump(5_000)
    wall.setDrift(0.1)
    await scheduler.run({ untilMs: 1_000 })
    expect([clock.unixMs(), clock.monotonicMs()]).toEqual([beginMs + 1_100, 1_100])
    wall.freeze()
    await scheduler.run({ untilMs: 2_000 })
    expect([clock.unixMs(), clock.monotonicMs()]).toEqual([beginMs + 1_100, 2_200])
    wall.thaw()
    wall.setDrift(0)
    await scheduler.run({ untilMs: 3_000 })
    expect([clock.unixMs(), clock.monotonicMs()]).toEqual([beginMs + 2_100, 3_200])
  })

  it('runs nothing of a paused process; then what arrived, what was deferred, and timers, in this order', async () => {
    const { scheduler, clock, ran, note } = createProcess()
    clock.setTimer(10, note('timer'))
    clock.setTimer(20, note('cancelled'))
    clock.defer(note('deferred'))
    clock.arriveAfter(30, note('disk'))
    clock.pause()
    const cancelled = clock.setTimer(5, note('never'))
    scheduler.after(40, () => clock.arrive(note('message')))
    scheduler.after(50, () => cancelled.cancel())
    await scheduler.run({ untilMs: 100 })
    expect(ran).toEqual([])
    clock.resume()
    await scheduler.run({ untilMs: 200 })
    expect(ran).toEqual(['disk', 'message', 'deferred', 'timer', 'cancelled'])
  })

  it('runs nothing of a killed process ever again, and leaves the others alone', async () => {
    const { scheduler, wall, clock, ran, note } = createProcess()
    clock.setTimer(10, note('timer'))
    clock.defer(note('deferred'))
    clock.arriveAfter(5, note('disk'))
    clock.kill()
    clock.setTimer(1, note('afterwards'))
    clock.arrive(note('message'))
    clock.resume()
    const next = new SimClock({ wall })
    next.setTimer(10, note('its successor'))
    await scheduler.run()
    expect(ran).toEqual(['its successor'])
  })

  it('hands what a callback throws to its process alone', async () => {
    const errors: unknown[] = []
    const { scheduler, clock, ran, note } = createProcess({ onUncaught: error => errors.push(error) })
    const failure = new Error('a bug')
    clock.setTimer(1, () => {
      throw failure
    })
    clock.setTimer(2, note('next'))
    await scheduler.run()
    expect([errors, ran]).toEqual([[failure], ['next']])
  })
})
