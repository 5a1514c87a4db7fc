// A range that begins: one voter, an empty state, and a log that begins after it.

import { type RangeId, asIndex, asReplicaId, asTerm } from '../base/ids.ts'
import { RangeState } from '../command/range-state.ts'
import type { SessionLimits } from '../command/sessions.ts'
import type { Log, ReplicaLog } from '../log/log.ts'
import { configurationOf } from '../raft/configuration.ts'
import type { HardState } from '../raft/types.ts'
import { type RangeDescriptor, type ReplicaDescriptor, encodeConfiguration, encodeDescriptor } from './descriptor.ts'

/** A new range's log begins here, so that whoever joins it begins with a snapshot that says what it is. */
const firstIndex = asIndex(10)
const firstTerm = asTerm(1)

interface NewRange {
  readonly log: ReplicaLog
  readonly hardState: HardState
  readonly state: RangeState
}

/** Its log is durable when this resolves; its state is not yet. */
export async function createRange(
  log: Log,
  rangeId: RangeId,
  member: Omit<ReplicaDescriptor, 'replicaId'>,
  sessionLimits: SessionLimits | undefined,
): Promise<NewRange> {
  const replicaId = asReplicaId(1)
  const descriptor: RangeDescriptor = {
    rangeId,
    start: new Uint8Array(0),
    end: new Uint8Array(0),
    generation: 1,
    configuration: 1,
    replicas: [{ replicaId, ...member }],
    nextReplicaId: asReplicaId(2),
  }
  const state = new RangeState({
    rangeId,
    replicaId,
    appliedIndex: firstIndex,
    appliedTerm: firstTerm,
    ...(sessionLimits && { sessionLimits }),
    descriptor: encodeDescriptor(descriptor),
    configuration: encodeConfiguration(configurationOf([replicaId])),
  })
  const hardState: HardState = { term: firstTerm, vote: asReplicaId(0), commit: firstIndex }
  const replicaLog = log.createReplica(rangeId, replicaId)
  replicaLog.reset(firstIndex, firstTerm)
  replicaLog.append([], hardState)
  await new Promise<void>(resolve => log.flush(() => resolve()))
  return { log: replicaLog, hardState, state }
}
