// Who votes, who learns: questions about a Configuration. Values only; how one becomes another is in
// configuration-change.ts.

import type { ReplicaId } from '../base/ids.ts'
import type { Configuration } from './types.ts'

export const emptyConfiguration: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

export function configurationOf(voters: readonly ReplicaId[], learners: readonly ReplicaId[] = []): Configuration {
  return { ...emptyConfiguration, voters: sortedIds(voters), learners: sortedIds(learners) }
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0
}

export function isVoter(configuration: Configuration, replica: ReplicaId): boolean {
  return configuration.voters.includes(replica) || configuration.votersOutgoing.includes(replica)
}

/** Receives entries and has no vote. One of `learnersNext` still votes, in the outgoing half. */
export function isLearner(configuration: Configuration, replica: ReplicaId): boolean {
  return configuration.learners.includes(replica)
}

export function isSoleVoter(configuration: Configuration, replica: ReplicaId): boolean {
  return !isJoint(configuration) && configuration.voters.length === 1 && configuration.voters[0] === replica
}

/** Everyone that the leader replicates to, itself included; ascending. */
export function membersOf(configuration: Configuration): ReplicaId[] {
  return sortedIds(
    new Set([
      ...configuration.voters,
      ...configuration.votersOutgoing,
      ...configuration.learners,
      ...configuration.learnersNext,
    ]),
  )
}

export function sortedIds(ids: Iterable<ReplicaId>): ReplicaId[] {
  return [...ids].sort((a, b) => a - b)
}

export function isOnlyVoter({ voters, votersOutgoing }: Configuration, replica: ReplicaId): boolean {
  return voters.length === 1 && votersOutgoing.length === 0 && voters[0] === replica
}
