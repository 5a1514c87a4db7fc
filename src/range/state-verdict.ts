// What the hashes that the replicas of a range have come to at one index say of them (DESIGN.md 7). Pure.
//
// Invariant: an answer that is missing counts for nobody. A majority is one of all voters, of both halves of a joint configuration.

import type { ReplicaId } from '../base/ids.ts'
import type { Configuration } from '../raft/types.ts'

/** Instead of a hash: the replica found its state to be damaged. It agrees with nobody, not with another that says so either. */
export const unreadable = ''

export type StateVerdict =
  /** Most voters have come to `hash`. `differing`: who has come to another; `missing`: who has not answered. */
  | {
      readonly kind: 'agreed'
      readonly hash: string
      readonly differing: readonly ReplicaId[]
      readonly missing: readonly ReplicaId[]
    }
  /** Too few have answered to tell. `isHalved`: most have, and do not agree; it is up to the others, if they come. */
  | { readonly kind: 'open'; readonly isHalved: boolean; readonly missing: readonly ReplicaId[] }
  /** Whatever the others say, no majority will agree. */
  | { readonly kind: 'none-agrees' }

/** `answers`: of whoever has answered, learners too: they are judged, and do not judge. */
export function judgeStates(
  { voters, votersOutgoing, learners }: Configuration,
  answers: ReadonlyMap<ReplicaId, string>,
): StateVerdict {
  const halves = [voters, votersOutgoing].filter(half => half.length > 0)
  const members = [...new Set([...voters, ...votersOutgoing, ...learners])]
  const missing = members.filter(member => !answers.has(member))
  const isMajority = (isCounted: (voter: ReplicaId) => boolean): boolean =>
    halves.length > 0 && halves.every(half => half.filter(isCounted).length * 2 > half.length)
  const hashes = new Set(answers.values())
  hashes.delete(unreadable)
  for (const hash of hashes)
    if (isMajority(voter => answers.get(voter) === hash)) {
      const differing = members.filter(member => answers.has(member) && answers.get(member) !== hash)
      return { kind: 'agreed', hash, differing, missing }
    }
  const mayAgree = (hash: string | undefined): boolean =>
    isMajority(voter => !answers.has(voter) || answers.get(voter) === hash)
  if (![undefined, ...hashes].some(mayAgree)) return { kind: 'none-agrees' }
  return { kind: 'open', isHalved: isMajority(voter => answers.has(voter)), missing }
}
