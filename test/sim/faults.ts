// The faults of a run: drawn from the seed as a list, so that any part of the list can be left out, and put in one by one.
// What was broken for a while is mended when its time is over; what must be noticed is checked for having been noticed.

import type { Prng } from '../../src/base/prng.ts'
import type { LaneTraits } from '../transport/memory-network.ts'

export const faultKinds = [
  'cut-both',
  'cut-one-way',
  'isolate',
  'split',
  'bridge',
  'lossy',
  'slow-link',
  'thin-append',
  'clog',
  'break-streams',
  'kill',
  'power-loss',
  'kill-majority',
  'power-loss-all',
  'pause',
  'pause-leader',
  'stutter-leader',
  'slow-disk',
  'slow-engine',
  'write-error',
  'create-error',
  'disk-full',
  'disk-fills',
  'engine-error',
  'log-read-error',
  'engine-read-error',
  'clock-jump',
  'clock-drift',
  'clock-freeze',
  'transfer',
  'drain',
  'remove',
  'wipe',
  'rot-log',
  'rot-engine',
  'rot-rows',
  'lose-batch',
  'move',
  'move-all',
] as const

export type FaultKind = (typeof faultKinds)[number]

export interface Fault {
  readonly atMs: number
  readonly kind: FaultKind
  /** Numbers that the kind gives a meaning to: which nodes, how much. */
  readonly dice: readonly [number, number, number]
  readonly forMs: number
}

/** How often each kind comes, against the others; the seed switches some of them off. */
const weights: Readonly<Record<FaultKind, number>> = {
  'cut-both': 4,
  'cut-one-way': 4,
  isolate: 6,
  split: 4,
  bridge: 3,
  lossy: 3,
  'slow-link': 3,
  'thin-append': 3,
  clog: 3,
  'break-streams': 3,
  kill: 6,
  'power-loss': 6,
  'kill-majority': 2,
  'power-loss-all': 3,
  pause: 4,
  'pause-leader': 4,
  'stutter-leader': 4,
  'slow-disk': 3,
  'slow-engine': 3,
  'write-error': 2,
  'create-error': 1,
  'disk-full': 1,
  'disk-fills': 3,
  'engine-error': 2,
  'log-read-error': 1,
  'engine-read-error': 2,
  'clock-jump': 3,
  'clock-drift': 2,
  'clock-freeze': 2,
  transfer: 6,
  drain: 3,
  remove: 3,
  wipe: 3,
  'rot-log': 2,
  'rot-engine': 2,
  'rot-rows': 2,
  'lose-batch': 2,
  move: 4,
  'move-all': 1,
}

export function drawFaults(
  prng: Prng,
  span: {
    readonly fromMs: number
    readonly toMs: number
    readonly everyMs: number
    readonly electionTimeoutMs: number
  },
  kinds: readonly FaultKind[] = faultKinds,
): Fault[] {
  // A swarm: each seed leaves out some kinds, so that the others can go far.
  const swarm = kinds.filter(() => prng.below(3) > 0)
  const chosen = swarm.length > 0 ? swarm : kinds
  const total = chosen.reduce((sum, kind) => sum + weights[kind], 0)
  const faults: Fault[] = []
  for (let atMs = span.fromMs; ; ) {
    atMs += span.everyMs * 2 * prng.next()
    if (atMs >= span.toMs) return faults
    let die = prng.next() * total
    const kind = chosen.find(candidate => (die -= weights[candidate]) < 0) ?? (chosen[0] as FaultKind)
    const isLong = prng.below(3) === 0
    const forMs = span.electionTimeoutMs * (isLong ? 4 + prng.next() * 20 : prng.next() * 4)
    faults.push({ atMs, kind, dice: [prng.below(1 << 30), prng.below(1 << 30), prng.below(1 << 30)], forMs })
  }
}

/** A channel that carries less than is written, and may have to drop what waits. */
export function thinLane([, rate, waiting]: Fault['dice']): LaneTraits {
  return {
    delayMinMs: 0,
    delayMaxMs: waiting % 50,
    bytesPerMs: 0.1 + (rate % 100) / 10,
    waitingBytesMax: 2_000 + (waiting % 60_000),
  }
}
