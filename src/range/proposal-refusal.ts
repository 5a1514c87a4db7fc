// What a write is told: that the core did not take it into the log, so that it was certainly not applied; or what applying
// its entry came to.

import { unreachable } from '../base/assert.ts'
import type { NodeId } from '../base/ids.ts'
import type { RequestResult } from '../command/apply.ts'
import type { RangeState } from '../command/range-state.ts'
import type { ProposeResult } from '../raft/types.ts'
import { type Refusal, type WriteAnswer, transferQueue } from './local-store.ts'
import type { ReplicaHost } from './replica-host.ts'

type EntryLimits = {
  readonly entryBytes: ReplicaHost['limits']['entryBytes']
  readonly parse: { readonly requestBytes: number }
}

/** Around the requests of an entry. */
const entryFrameBytes = 4096

/** Requests are gathered up to `entryBytes`, and one alone may be of any size that is allowed. */
export function proposalBytesMax(limits: EntryLimits): number {
  return limits.entryBytes + limits.parse.requestBytes + entryFrameBytes
}

export function proposalRefusal(
  result: Exclude<ProposeResult, { kind: 'accepted' }>,
  entryBytes: number,
  limits: EntryLimits,
  leader: NodeId | undefined,
): Refusal {
  switch (result.kind) {
    case 'overloaded':
      return { kind: 'overloaded', queue: result.queue, retryAfterMs: 50 }
    case 'transferring':
      // It still leads: to name itself would send the caller round in circles. Soon another leads, or this one again.
      return { kind: 'overloaded', queue: transferQueue, retryAfterMs: 20 }
    case 'too-large':
      return { kind: 'too-large', limit: 'entryBytes', limitBytes: proposalBytesMax(limits), value: entryBytes }
    case 'not-leader':
      return { kind: 'not-leader', leader }
    case 'refused':
      return { kind: 'unavailable', message: result.reason }
    default:
      return unreachable(result)
  }
}

/** `state`: after the entry. */
export function appliedAnswer(result: RequestResult, state: RangeState): WriteAnswer {
  const clock = state.lastStamp
  switch (result.kind) {
    case 'done':
      return { kind: 'done', outcomes: result.outcomes, clock }
    case 'range-mismatch':
      return { kind: 'range-mismatch', generation: state.generation }
    case 'full':
      return { kind: 'overloaded', queue: result.queue, retryAfterMs: state.sessions.retryAfterMs(clock) }
    default:
      return unreachable(result)
  }
}
