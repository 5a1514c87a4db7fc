// Whether a leader has room for one more write, asked before it is decoded.

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
