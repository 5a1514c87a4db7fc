// Seeds on several cores: each worker runs one after the other.

import { Worker } from 'node:worker_threads'
import type { SeedReport } from './sim-worker.ts'

export interface SeedPoolOptions {
  readonly from: number
  readonly count: number
  readonly jobs: number
  readonly onReport: (report: SeedReport) => void
  /** Asked before each seed: whether to leave out the rest. */
  readonly isEnough?: () => boolean
}

export async function runSeeds({
  from,
  count,
  jobs,
  onReport,
  isEnough = () => false,
}: SeedPoolOptions): Promise<void> {
  let next = from
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('sim-worker.ts', import.meta.url))
      const more = (): void => {
        if (next < from + count && !isEnough()) worker.postMessage(next++)
        else void worker.terminate().then(() => resolve())
      }
      worker.on('message', (report: SeedReport) => {
        onReport(report)
        more()
      })
      worker.on('error', reject)
      more()
    })
  await Promise.all(Array.from({ length: jobs }, work))
}
