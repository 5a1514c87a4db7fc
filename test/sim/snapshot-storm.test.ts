// Slow disks and a log that is cut as soon as it may be: a snapshot takes longer to install than the log behind it is kept.
// Once, each was too old by the time it was there, and the next one as well (seeds 1, 4 and 6, among others).

import { expect, test } from 'vitest'
import { defaultLimits } from '../../src/node-limits.ts'
import { runSeed } from './simulation.ts'

const overrides = {
  clients: 8,
  thinkMs: 20,
  faultEveryMs: 300,
  safetyMs: 20_000,
  machine: {
    syncMinMs: 20,
    syncMaxMs: 150,
    spikeEvery: 50,
    spikeMs: 400,
    timerLateMaxMs: 0,
    stallEvery: 0,
    stallMs: 0,
  },
  limits: { ...defaultLimits, logRetainedBytes: 1, engineFlushMs: 20, logSegmentBytes: 32_768, drainMs: 1_000 },
}

test('who joins under load on a slow disk needs no more than a few snapshots', { timeout: 60_000 }, async () => {
  for (const seed of [1, 4, 6]) {
    let snapshots = 0
    const print = (line: string): void => {
      if (line.includes('sending a snapshot')) snapshots++
    }
    const { failure } = await runSeed({ seed, kinds: ['wipe', 'kill'], overrides, print })
    expect(failure).toBeUndefined()
    expect(snapshots).toBeLessThan(15)
  }
})
