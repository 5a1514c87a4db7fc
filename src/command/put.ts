// Put and Delete of one key.

import { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import { type OperationContext, writeKey } from './effect.ts'

const done = quorate.v1.OutcomeKind.OUTCOME_KIND_DONE
const noValue = new Uint8Array(0)

export function applyPut(context: OperationContext, put: quorate.v1.IPutOp, stamp: Timestamp): quorate.v1.IOutcome {
  const version = writeKey(context, put.key!, put.value ?? noValue, stamp)
  return { kind: done, timestamp: stamp, version: version ?? 0 }
}

export function applyDelete(
  context: OperationContext,
  deletion: quorate.v1.IDeleteOp,
  stamp: Timestamp,
): quorate.v1.IOutcome {
  const version = writeKey(context, deletion.key!, undefined, stamp)
  return { kind: done, timestamp: stamp, deleted: version === undefined ? 0 : 1 }
}
