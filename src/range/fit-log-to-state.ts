// Log and state of a replica are two files that a crash leaves at two points: what they must still have in common.

import { KvError } from '../base/errors.ts'
import { startAnew } from '../base/remedies.ts'
import { asIndex, asReplicaId } from '../base/ids.ts'
import type { RangeState } from '../command/range-state.ts'
import type { RecoveredReplica } from '../log/log.ts'
import type { HardState } from '../raft/types.ts'

/**
 * What the replica knows when it goes on. `installedIndex`: of the last snapshot that was put in place. Throws KvError
 * `damaged` when one of the two has lost what the other relies on.
 */
export function fitLogToState(
  { rangeId, log, hardState }: RecoveredReplica,
  state: RangeState | undefined,
  installedIndex: number,
): HardState {
  const appliedIndex = state?.appliedIndex ?? asIndex(0)
  // What the log no longer has must be in the state.
  if (log.truncatedIndex > appliedIndex)
    throw new KvError(
      'damaged',
      `the state of range ${rangeId} ends at entry ${appliedIndex}, and its log begins after ${log.truncatedIndex}. ${startAnew}`,
    )
  if (state === undefined) return hardState
  const { appliedTerm } = state
  if (log.term(appliedIndex) !== appliedTerm) {
    // Beside the state the log can be only after an install whose reset did not reach the disk.
    if (installedIndex !== appliedIndex)
      throw new KvError(
        'damaged',
        `the log of range ${rangeId} has lost what this node had applied (entry ${appliedIndex}), and votes with it. ${startAnew}`,
      )
    log.reset(appliedIndex, appliedTerm)
  }
  if (hardState.term >= appliedTerm) return hardState
  // The term came with that snapshot: nothing was said in it yet, so no vote was given.
  const known = { ...hardState, term: appliedTerm, vote: asReplicaId(0) }
  log.append([], known)
  return known
}
