// Whether a leader has room for one more write, asked before and after it is decoded.

import type { Sessions } from '../command/sessions.ts'
import type { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import type { Refusal, WriteRequest } from './local-store.ts'
import type { Proposals } from './proposals.ts'
import type { ReplicaHost } from './replica-host.ts'

export function admissionRefusal(
  { limits, log }: ReplicaHost,
  request: WriteRequest,
  generation: number,
  proposals: Proposals,
): Refusal | undefined {
  if (request.generation !== 0 && request.generation !== generation) return { kind: 'range-mismatch', generation }
  if (proposals.waitingBytes + request.writes.length > limits.proposalQueueBytes)
    return { kind: 'overloaded', queue: 'proposals', retryAfterMs: 50 }
  if (log.bytesOnDisk > limits.logBytes) return { kind: 'overloaded', queue: 'log', retryAfterMs: 200 }
  return undefined
}

/** Applying would refuse it as well: it need not go through the log for that. */
export function sessionRefusal(sessions: Sessions, batch: quorate.v1.WriteBatch, now: Timestamp): Refusal | undefined {
  if (batch.session.length === 0) return undefined
  const retryAfterMs = sessions.refusedForMs(batch.session, batch, now)
  return retryAfterMs === undefined ? undefined : { kind: 'overloaded', queue: 'sessions', retryAfterMs }
}
