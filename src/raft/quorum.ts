// What a majority agrees on, for both halves of a joint configuration (dissertation 4.3): a decision needs each half.
// Knows voters and numbers; nothing of logs, messages or learners, which are never asked.

import type { ReplicaId } from '../base/ids.ts'
import type { Configuration } from './types.ts'

export type VoteResult = 'won' | 'lost' | 'pending'

// Sorting space for the acknowledged numbers of one half. It is filled and read within one call.
const scratch: number[] = []

/** The largest number that a majority of each half has acknowledged; 0 when there are no voters. */
export function quorumAcked(configuration: Configuration, acked: (voter: ReplicaId) => number): number {
  if (configuration.voters.length === 0) return 0
  const incoming = majorityAcked(configuration.voters, acked)
  if (configuration.votersOutgoing.length === 0) return incoming
  return Math.min(incoming, majorityAcked(configuration.votersOutgoing, acked))
}

function majorityAcked(voters: readonly ReplicaId[], acked: (voter: ReplicaId) => number): number {
  // Insertion sort, descending: a handful of voters, on the path of every acknowledgement.
  const count = voters.length
  for (let i = 0; i < count; i++) {
    const value = acked(voters[i] as ReplicaId)
    let slot = i
    while (slot > 0 && (scratch[slot - 1] as number) < value) {
      scratch[slot] = scratch[slot - 1] as number
      slot--
    }
    scratch[slot] = value
  }
  return scratch[count >> 1] as number
}

/** `vote` answers true, false, or undefined for a voter that has not been heard. */
export function voteResult(configuration: Configuration, vote: (voter: ReplicaId) => boolean | undefined): VoteResult {
  if (configuration.voters.length === 0) return 'lost'
  const incoming = majorityVote(configuration.voters, vote)
  if (configuration.votersOutgoing.length === 0) return incoming
  const outgoing = majorityVote(configuration.votersOutgoing, vote)
  if (incoming === 'lost' || outgoing === 'lost') return 'lost'
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending'
}

function majorityVote(voters: readonly ReplicaId[], vote: (voter: ReplicaId) => boolean | undefined): VoteResult {
  const needed = (voters.length >> 1) + 1
  let granted = 0
  let missing = 0
  for (const voter of voters) {
    const answer = vote(voter)
    if (answer === undefined) missing++
    else if (answer) granted++
  }
  if (granted >= needed) return 'won'
  return granted + missing >= needed ? 'pending' : 'lost'
}
