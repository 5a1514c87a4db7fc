// Commit: every compare holds, and `then` applies, or `otherwise` does; all of it at one instant.

import { quorate } from '../proto/quorate.js'
import type { KeyRecord } from '../mvcc/version-store.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { type OperationContext, writeKey } from './effect.ts'

const { OUTCOME_KIND_DONE: done, OUTCOME_KIND_CONDITION_FAILED: conditionFailed } = quorate.v1.OutcomeKind
const noValue = new Uint8Array(0)

export function applyCommit(
  context: OperationContext,
  commit: quorate.v1.ICommitOp,
  stamp: Timestamp,
): quorate.v1.IOutcome {
  const failed = (commit.compares ?? []).findIndex(
    compare => !holds(compare, context.versions.get(context.keyspace, compare.key!)),
  )
  let version = 0
  for (const change of (failed < 0 ? commit.then : commit.otherwise) ?? []) {
    if (change.put) version = writeKey(context, change.put.key!, change.put.value ?? noValue, stamp) ?? 0
    else if (change.delete) writeKey(context, change.delete.key!, undefined, stamp)
  }
  return failed < 0
    ? { kind: done, timestamp: stamp, version }
    : { kind: conditionFailed, timestamp: stamp, failedCompare: failed + 1 }
}

function holds(compare: quorate.v1.ICompare, found: KeyRecord | undefined): boolean {
  const operator = compare.operator ?? quorate.v1.CompareOperator.EQUAL
  if (compare.absent != null) return holdsFor(operator, compare.absent === (found === undefined) ? 0 : 1)
  if (compare.version != null) return holdsFor(operator, Math.sign((found?.version ?? 0) - compare.version))
  if (compare.timestamp != null) return holdsFor(operator, Math.sign((found?.timestamp ?? 0) - compare.timestamp))
  if (found === undefined) return operator === quorate.v1.CompareOperator.NOT_EQUAL
  return holdsFor(operator, Buffer.compare(found.value, compare.value!))
}

/** `order`: the found against the target, -1, 0 or 1. */
function holdsFor(operator: quorate.v1.CompareOperator, order: number): boolean {
  switch (operator) {
    case quorate.v1.CompareOperator.EQUAL:
      return order === 0
    case quorate.v1.CompareOperator.NOT_EQUAL:
      return order !== 0
    case quorate.v1.CompareOperator.LESS:
      return order < 0
    case quorate.v1.CompareOperator.GREATER:
      return order > 0
    default:
      return false
  }
}
