// Loaded into a node before its own code: how late its event loop ran. SIGUSR2 begins anew; written where LOOP_PROBE says when
// the process ends.

import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface LoopDelay {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

/** How often it looks: what it records is how much later than this it was let. */
const resolutionMs = 1

const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
histogram.enable()
process.on('SIGUSR2', () => histogram.reset())
process.on('exit', () => {
  const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs)
  const delay: LoopDelay = {
    p50Ms: ms(histogram.percentile(50)),
    p99Ms: ms(histogram.percentile(99)),
    p999Ms: ms(histogram.percentile(99.9)),
    maxMs: ms(histogram.max),
  }
  const file = process.env.LOOP_PROBE
  if (file !== undefined) writeFileSync(file, JSON.stringify(delay))
})
