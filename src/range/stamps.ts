// Moves a node's clock past the stamps of entries it holds: whoever leads next stamps above all of its log (bug 51).

import { must } from '../base/assert.ts'
import { type Index, asIndex } from '../base/ids.ts'
import { lastStampOf } from '../command/entry.ts'
import type { Entry, LogView } from '../raft/types.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'

const readBytesMax = 1024 * 1024

export function mergeStamps(hybridClock: HybridClock, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const stamp = entry.kind === 'command' ? lastStampOf(entry.data) : undefined
    if (stamp !== undefined) hybridClock.mergeOwn(stamp)
  }
}

/** All entries of `log` above `applied`; what is applied is in the state's last stamp. */
export function mergeLogStamps(hybridClock: HybridClock, log: LogView, applied: Index): void {
  let from = asIndex(Math.max(applied, log.truncatedIndex) + 1)
  while (from <= log.lastIndex) {
    const entries = log.entries(from, asIndex(log.lastIndex + 1), readBytesMax)
    mergeStamps(hybridClock, entries)
    from = asIndex(must(entries.at(-1)).index + 1)
  }
}
