// What a leader looks at before it takes a write, and the entry that it makes of those that it took.

import { userKeyspace } from '../base/ids.ts'
import { encodeBatchEntry, encodeChecksumEntry, encodeThresholdEntry } from '../command/entry.ts'
import type { Sessions } from '../command/sessions.ts'
import { type ParsedBatch, parseWriteBatch } from '../command/write-batch.ts'
import type { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import { diskRefusal } from './disk-refusal.ts'
import type { Refusal, WriteRequest } from './local-store.ts'
import type { PendingWrite, Proposals } from './proposals.ts'
import type { Replica } from './replica.ts'
import type { ReplicaHost } from './replica-host.ts'

/** Whether there is room for one more, asked before it is decoded. */
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
function sessionRefusal(sessions: Sessions, batch: quorate.v1.WriteBatch, now: Timestamp): Refusal | undefined {
  if (batch.session.length === 0) return undefined
  const retryAfterMs = sessions.refusedForMs(batch.session, batch, now)
  return retryAfterMs === undefined ? undefined : { kind: 'overloaded', queue: 'sessions', retryAfterMs }
}

/** `isInternal`: the node's own writes, which alone may change the system keyspace. */
export function parseAdmitted(
  { limits, hybridClock, disks }: ReplicaHost,
  replica: Replica,
  request: WriteRequest,
  isInternal: boolean,
): ParsedBatch | Refusal {
  const parsed = parseWriteBatch(request.writes, limits.parse, hybridClock.peek())
  if (parsed.kind !== 'ok') return parsed
  if (parsed.batch.keyspace !== userKeyspace && !isInternal)
    return { kind: 'invalid', message: 'only the user keyspace can be written' }
  const full =
    sessionRefusal(replica.state.sessions, parsed.batch, hybridClock.peek()) ??
    diskRefusal(disks, replica, parsed.batch, isInternal)
  if (full !== undefined) return full
  if (!hybridClock.maybePass(request.clock)) return { kind: 'future-instant' }
  return parsed
}

/** One entry of them all; from here on their stamps are taken. */
export function encodeWrites(
  { commandVersion, hybridClock }: ReplicaHost,
  generation: number,
  writes: readonly PendingWrite[],
): Uint8Array {
  const operations = writes.reduce((sum, write) => sum + write.operations, 0)
  return encodeBatchEntry({
    commandVersion,
    generation,
    firstTimestamp: hybridClock.reserve(Math.max(1, operations)),
    operations,
    requests: writes.map(write => write.writes),
  })
}

/** It takes a stamp, like any entry. */
export function encodeThreshold(
  { commandVersion, hybridClock }: ReplicaHost,
  generation: number,
  threshold: Timestamp,
): Uint8Array {
  return encodeThresholdEntry({ commandVersion, generation, firstTimestamp: hybridClock.reserve(1), threshold })
}

/** It takes a stamp as well. */
export function encodeChecksum({ commandVersion, hybridClock }: ReplicaHost, generation: number): Uint8Array {
  return encodeChecksumEntry({ commandVersion, generation, firstTimestamp: hybridClock.reserve(1) })
}
