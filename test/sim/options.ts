// What a seed decides before anything happens: the machine, the network, the node's limits, how much load, how many faults.

import { asNodeId } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { NodeConfig } from '../../src/config.ts'
import { type SessionLimits, sessionLimits } from '../../src/command/sessions.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import type { LaneTraits, LaneTraitsByLane, LinkFaults } from '../transport/memory-network.ts'
import type { MachineTraits } from './sim-node.ts'

export interface SimOptions {
  readonly seed: number
  readonly size: number
  /** The others stay learners. */
  readonly voters: number
  readonly electionTimeoutMs: number
  readonly heartbeatMs: number
  readonly link: LinkFaults
  readonly machine: MachineTraits
  readonly limits: NodeConfig['limits']
  /** Whether every frame goes through the codec. */
  readonly encodes: boolean
  readonly clients: number
  /** Mean pause between two operations of a client. */
  readonly thinkMs: number
  readonly clientLoss: number
  /** What a range keeps of sessions, from its making on. */
  readonly sessionLimits: SessionLimits
  /** Mean pause between two sessions that are opened for one write; 0: nobody does so. */
  readonly floodEveryMs: number
  /** Mean time between two faults; each lasts a while. */
  readonly faultEveryMs: number
  readonly safetyMs: number
}

const mebibyte = 1 << 20

export function drawOptions(seed: number, prng: Prng, overrides: Partial<SimOptions> = {}): SimOptions {
  const pick = <T>(...choices: readonly T[]): T => choices[prng.below(choices.length)] as T
  const electionTimeoutMs = pick(500, 1_000, 1_500)
  const size = pick(3, 5, 5, 5)
  const tiny = (): boolean => prng.below(3) === 0
  const drawn: Omit<SimOptions, keyof ReturnType<typeof drawFlood>> = {
    seed,
    size,
    voters: prng.below(6) === 0 ? 3 : size,
    electionTimeoutMs,
    heartbeatMs: Math.round(electionTimeoutMs / pick(4, 5, 8)),
    link: {
      delayMinMs: pick(0, 0.1, 1),
      delayMaxMs: pick(0.2, 2, 10, 30),
      loss: pick(0, 0, 0.001, 0.01, 0.05),
      duplication: pick(0, 0, 0.01, 0.05),
      reorder: pick(false, false, true),
    },
    machine: {
      syncMinMs: pick(0.1, 0.5, 2),
      syncMaxMs: pick(0.3, 3, 15),
      spikeEvery: pick(0, 50, 300),
      spikeMs: pick(50, 200, 800),
      timerLateMaxMs: pick(0, 1, 5),
      stallEvery: pick(0, 0, 20_000),
      stallMs: pick(20, 300),
    },
    limits: {
      ...defaultLimits,
      // Tiny limits make rare paths common.
      entryBytes: tiny() ? 256 : mebibyte,
      // Not drawn: what is drawn elsewhere stays as it was.
      applyTurnKeyOperations: [1, 3, 4_096][seed % 3] as number,
      entryKeyOperations: [2, 16_384][(seed >> 2) % 2] as number,
      applyingBytes: [300, 16 * mebibyte][(seed >> 3) % 2] as number,
      unappliedBytes: [600, 64 * mebibyte][(seed >> 4) % 2] as number,
      engineFlushMs: pick(20, 100, 400),
      engineDirtyBytes: tiny() ? 512 : 4 * mebibyte,
      logRetainedBytes: pick(1, 2_000, 64 * mebibyte),
      logSegmentBytes: pick(8_192, 32_768, 131_072),
      snapshotChunkBytes: 4_096,
      logHeldStallMs: [2_000, 5_000, 30_000][seed % 3] as number,
      historyRetentionMs: pick(2_000, 10_000, 600_000),
      promoteLagEntries: [4, 64, 1_024][seed % 3] as number,
      drainMs: 1_000,
      comparedEvery: ([4, 32, 1_024] as const)[seed % 3] as number,
    },
    encodes: prng.below(8) === 0,
    clients: 2 + prng.below(4),
    thinkMs: pick(100, 300, 600),
    clientLoss: pick(0, 0.01, 0.1),
    faultEveryMs: pick(700, 1_500, 3_000),
    safetyMs: 50_000,
  }
  // Last, so that what was drawn before does not hang on it.
  const lanes = drawLanes(prng, pick)
  const flood = drawFlood(prng)
  // So little that most reads of two keys are answered in part.
  const batchAnswerBytesMax = tiny() ? 1 : drawn.limits.gateway.batchAnswerBytesMax
  const limits = { ...drawn.limits, gateway: { ...drawn.limits.gateway, batchAnswerBytesMax } }
  return { ...drawn, limits, link: { ...drawn.link, lanes }, ...flood, ...overrides }
}

/** Channels that overtake each other, in half of the seeds: each with a delay of its own, and thin or not. */
function drawLanes(prng: Prng, pick: <T>(...choices: readonly T[]) => T): LaneTraitsByLane {
  if (prng.below(2) === 0) return {}
  const lane = (): LaneTraits => ({
    delayMinMs: pick(0, 0.1, 1),
    delayMaxMs: pick(1, 3, 15, 60),
    // At the thinnest, still enough for what the clients of a run write.
    bytesPerMs: pick(40, 400, Number.POSITIVE_INFINITY),
    waitingBytesMax: pick(20_000, 1 << 20),
  })
  const control = { ...lane(), bytesPerMs: Number.POSITIVE_INFINITY }
  return { control, append: lane(), snapshot: lane(), calls: lane() }
}

/** In some runs a table of sessions that is soon full, and somebody who fills it. */
function drawFlood(prng: Prng): Pick<SimOptions, 'sessionLimits' | 'floodEveryMs'> {
  if (prng.below(4) > 0) return { sessionLimits, floodEveryMs: 0 }
  const tiny: SessionLimits = {
    sessionsMax: 4 + prng.below(8),
    gatewaySessionsMax: 8,
    outcomesMax: 12 + prng.below(30),
    sessionOutcomesMax: 9,
    sessionOutcomesAssured: 4,
    endedPerEntryMax: 1 + prng.below(3),
  }
  return { sessionLimits: tiny, floodEveryMs: 150 + prng.below(300) }
}

export function nodeNames(size: number) {
  return Array.from({ length: size }, (_, at) => asNodeId(`n${at + 1}`))
}

export function nodeConfig(options: SimOptions, name: string): NodeConfig {
  const address = { host: 'sim', port: 1 }
  return {
    node: asNodeId(name),
    dataDirectory: name,
    listen: address,
    peerListen: address,
    httpListen: address,
    advertise: undefined,
    peerAdvertise: undefined,
    httpAdvertise: undefined,
    join: [],
    peers: new Map(),
    electionTimeoutMs: options.electionTimeoutMs,
    heartbeatMs: options.heartbeatMs,
    logLevel: 'silent',
    reflection: false,
    votersTarget: options.voters,
    limits: options.limits,
  }
}
