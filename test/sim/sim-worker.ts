// Runs the seeds that it is sent, one after the other, and sends back what came of them.

import { must } from '../../src/base/assert.ts'
import { parentPort } from 'node:worker_threads'
import type { FaultKind } from './faults.ts'
import { describeFailure, runSeed } from './simulation.ts'

/** What a seed came to, as numbers and words: it crosses threads. */
export interface SeedReport {
  readonly seed: number
  readonly failure: string | undefined
  readonly faultCount: number
  readonly injected: ReadonlyMap<FaultKind, number>
  readonly virtualMs: number
  readonly operations: number
  readonly trace: string
}

const port = must(parentPort)
port.on('message', (seed: number) => {
  void runSeed({ seed }).then(result => {
    const { failure, faults, injected, virtualMs, counts, trace } = result
    const report: SeedReport = {
      seed,
      failure: failure === undefined ? undefined : describeFailure(failure),
      faultCount: faults.length,
      injected,
      virtualMs,
      operations: counts.writes + counts.reads,
      trace,
    }
    port.postMessage(report)
  })
})
