// Virtual time that keeps pace with the real one, for contract suites, which know nothing of virtual time.

import { setTimeout as delay } from 'node:timers/promises'
import { SimClock, type SimClockOptions, SimScheduler, SimWall } from '../sim/sim-clock.ts'

export interface VirtualTime {
  readonly scheduler: SimScheduler
  createClock(options?: Omit<SimClockOptions, 'wall'>): SimClock
  stop(): Promise<void>
}

export function startVirtualTime(): VirtualTime {
  const scheduler = new SimScheduler()
  const begunMs = performance.now()
  let isStopped = false
  const running = (async () => {
    while (!isStopped) {
      await scheduler.run({ untilMs: performance.now() - begunMs })
      await delay(1)
    }
  })()
  return {
    scheduler,
    createClock: options => new SimClock({ wall: new SimWall(scheduler, Date.now()), ...options }),
    async stop() {
      isStopped = true
      await running
    },
  }
}
