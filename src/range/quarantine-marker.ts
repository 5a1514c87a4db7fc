// Where the engine says that a range's state here is void (quarantine.ts).

import type { RangeId } from '../base/ids.ts'
import type { EngineBatchOperation } from '../engine/engine.ts'

export function quarantineKey(rangeId: RangeId): string {
  return `nquarantined/${rangeId}`
}

/** Its replica begins anew, or is gone. */
export function endOfQuarantine(rangeId: RangeId): EngineBatchOperation {
  return { key: quarantineKey(rangeId), value: undefined }
}
