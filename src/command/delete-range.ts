// DeleteRange: removes a bounded number of keys of a span, atomically, and says where to go on.

import { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import { type OperationContext, writeKey } from './effect.ts'
import { deleteRangeKeysDefault } from '../base/key-operations.ts'

/** Part of the command's meaning, so never configured: what is removed is kept as history, in one record. */
const removedBytesMax = 4 * 1024 * 1024
const empty = new Uint8Array(0)

/**
 * Why `operation` is no span that somebody named; undefined: it is one. An empty key is what a caller sends that left
 * something out, so it never stands for an end of the keyspace: `all` and `to_end` do.
 */
export function deleteRangeFault(operation: quorate.v1.IDeleteRangeOp | null | undefined): string | undefined {
  const { start, end, all, toEnd } = operation ?? {}
  const hasStart = start != null && start.length > 0
  const hasEnd = end != null && end.length > 0
  if (all) return hasStart || hasEnd || toEnd ? '`all` means every key, so it goes without a span' : undefined
  if (!hasStart) return 'the start of the span is empty: name the first key, or set `all` to delete every key'
  if (toEnd) return hasEnd ? '`to_end` goes without an end' : undefined
  if (!hasEnd) return 'the end of the span is empty: name it, or set `to_end` to delete to the end of the keyspace'
  return Buffer.compare(start, end) > 0 ? 'the span ends before it starts' : undefined
}

/** Its empty start and end are meant: the command was checked before it was proposed. */
export async function applyDeleteRange(
  context: OperationContext,
  operation: quorate.v1.IDeleteRangeOp,
  stamp: Timestamp,
): Promise<quorate.v1.IOutcome> {
  const limit = operation.limit || deleteRangeKeysDefault
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
