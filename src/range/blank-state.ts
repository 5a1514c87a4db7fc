// The state of a replica that has none yet.

import { type RangeId, type ReplicaId, asIndex, asReplicaId, asTerm } from '../base/ids.ts'
import { RangeState } from '../command/range-state.ts'
import { emptyConfiguration } from '../raft/configuration.ts'
import { type RangeDescriptor, encodeConfiguration, encodeDescriptor } from './descriptor.ts'

/** A replica that waits for its first snapshot: it knows nobody, votes for nobody new, and serves nothing. */
export function blankState(replica: { readonly rangeId: RangeId; readonly replicaId: ReplicaId }): RangeState {
  const descriptor: RangeDescriptor = {
    rangeId: replica.rangeId,
    start: new Uint8Array(0),
    end: new Uint8Array(0),
    generation: 0,
    configuration: 0,
    replicas: [],
    nextReplicaId: asReplicaId(1),
  }
  return new RangeState({
    rangeId: replica.rangeId,
    replicaId: replica.replicaId,
    appliedIndex: asIndex(0),
    appliedTerm: asTerm(0),
    descriptor: encodeDescriptor(descriptor),
    configuration: encodeConfiguration(emptyConfiguration),
  })
}
