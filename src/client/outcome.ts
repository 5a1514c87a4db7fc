// What a write came to, from the wire: a result, or the error that it stands for.

import { KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import type { OutcomeMessage } from './wire.ts'

/** Throws what is no result. */
export function mustBeDone(outcome: OutcomeMessage): void {
  switch (outcome.kind) {
    case quorate.v1.OutcomeKind.OUTCOME_KIND_DONE:
    case quorate.v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED:
      return
    case quorate.v1.OutcomeKind.OUTCOME_KIND_TOO_LATE:
      throw new KvError('too-late', outcome.message || 'too late: whether the write was applied is unknown')
    case quorate.v1.OutcomeKind.OUTCOME_KIND_INVALID:
      throw new KvError('invalid-argument', outcome.message || 'refused; nothing was changed')
    default:
      throw new KvError('internal', `an outcome of unknown kind ${String(outcome.kind)}`)
  }
}
