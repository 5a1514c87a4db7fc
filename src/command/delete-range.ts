// DeleteRange: removes a bounded number of keys of a span, atomically, and says where to go on.

import { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import { type OperationContext, writeKey } from './effect.ts'

/** Part of the command's meaning, so never configured: what `limit` 0 asks for. */
const keysDefault = 1_000
/** Likewise: what is removed is kept as history, in one record. */
const removedBytesMax = 4 * 1024 * 1024
const empty = new Uint8Array(0)

export async function applyDeleteRange(
  context: OperationContext,
  operation: quorate.v1.IDeleteRangeOp,
  stamp: Timestamp,
): Promise<quorate.v1.IOutcome> {
  const limit = operation.limit || keysDefault
  const found = await context.versions.rangeKeys(
    context.keyspace,
    operation.start ?? empty,
    operation.end ?? empty,
    limit,
    removedBytesMax,
  )
  for (const key of found.keys) writeKey(context, key, undefined, stamp)
  return {
    kind: quorate.v1.OutcomeKind.OUTCOME_KIND_DONE,
    timestamp: stamp,
    deleted: found.keys.length,
    resume: found.resume ?? empty,
  }
}
