// Conditions under which rare bugs show sooner than under those that a seed draws.

import { defaultLimits } from '../../../src/node-limits.ts'
import type { FaultKind } from '../faults.ts'
import type { SimOptions } from '../options.ts'

type Conditions = Partial<SimOptions>

/** Every write is on its way for long, and something happens meanwhile. */
export const slowDisks: Conditions = {
  machine: {
    syncMinMs: 10,
    syncMaxMs: 80,
    spikeEvery: 20,
    spikeMs: 300,
    timerLateMaxMs: 5,
    stallEvery: 0,
    stallMs: 0,
  },
  thinkMs: 60,
  faultEveryMs: 400,
}

/** Whoever falls behind needs a snapshot. */
export const shortLogs: Conditions = {
  limits: {
    ...defaultLimits,
    engineFlushMs: 50,
    logRetainedBytes: 1,
    logHeldStallMs: 1_500,
    logSegmentBytes: 8_192,
    drainMs: 1_000,
  },
}

/** More is written than the append channels carry, whose heartbeats and commits go as quickly as ever. */
export const thinAppends: Conditions = {
  clients: 6,
  thinkMs: 40,
  clientLoss: 0,
  link: {
    delayMinMs: 0.1,
    delayMaxMs: 2,
    loss: 0,
    duplication: 0,
    reorder: false,
    lanes: { append: { delayMinMs: 0.1, delayMaxMs: 2, bytesPerMs: 8, waitingBytesMax: 1 << 20 } },
  },
}

/** Much is written, and read, between two of everything else. */
export const manyClients: Conditions = { clients: 8, thinkMs: 25, clientLoss: 0, faultEveryMs: 800 }

/** A replica may not fall far behind what is committed, and does when its engine is slow. */
export const smallIntake: Conditions = {
  ...slowDisks,
  ...manyClients,
  limits: { ...defaultLimits, engineFlushMs: 50, engineDirtyBytes: 64, unappliedBytes: 600, drainMs: 1_000 },
}

export const crashes: readonly FaultKind[] = ['kill', 'power-loss', 'kill-majority', 'power-loss-all']
/** Who was left behind needs a snapshot where logs are short. */
export const leftBehind: readonly FaultKind[] = ['isolate', 'kill', 'split', 'pause']
/** Another leads before the one before it knows. */
export const staleLeaders: readonly FaultKind[] = ['stutter-leader', 'pause-leader', 'isolate', 'transfer', 'split']
/** Members come and go while others are down. */
export const membersAndCrashes: readonly FaultKind[] = ['remove', 'kill', 'isolate', 'pause']
