// The Raft core of a replica, with the limits that this program gives it.

import { asIndex } from '../base/ids.ts'
import type { RangeState } from '../command/range-state.ts'
import type { ReplicaLog } from '../log/log.ts'
import { createRaft } from '../raft/raft.ts'
import type { HardState, Raft } from '../raft/types.ts'
import { decodeConfiguration } from './descriptor.ts'
import { proposalBytesMax } from './proposal-refusal.ts'
import type { ReplicaHost } from './replica-host.ts'

const appendBytesMax = 1024 * 1024
const inflightMessagesMax = 64
/** Less than a link's queue holds (transport/peer-link.ts): what a slow follower has yet to take is never dropped there. */
const inflightBytesMax = 12 * 1024 * 1024

/** `isStateLost`: `state` tells no more than who else there was. */
export function createCore(
  host: ReplicaHost,
  log: ReplicaLog,
  hardState: HardState,
  state: RangeState,
  isStateLost: boolean,
): Raft {
  const options = {
    id: log.replicaId,
    electionTimeoutTicks: host.timing.electionTimeoutTicks,
    heartbeatTicks: host.timing.heartbeatTicks,
    inflightMessagesMax,
    inflightBytesMax,
    appendBytesMax,
    uncommittedBytesMax: host.limits.uncommittedBytes,
    applyingBytesMax: host.limits.applyingBytes,
    unappliedBytesMax: host.limits.unappliedBytes,
    proposalBytesMax: proposalBytesMax(host.limits),
    random: (bound: number) => host.random(bound),
  }
  const configuration = decodeConfiguration(state.configuration)
  // What is known to have been applied once does not count as waiting to be, though nothing is applied any more.
  const lost = asIndex(Math.max(log.truncatedIndex, Math.min(state.appliedIndex, hardState.commit)))
  const applied = isStateLost ? lost : state.appliedIndex
  return createRaft(options, { log, hardState, configuration, applied, isStateLost })
}
