// Where the effects of a command go: the versions, the counters, the running hash.

import { type Index, type Keyspace, systemKeyspace } from '../base/ids.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { RangeState } from './range-state.ts'

/** Bounds what is applied without giving way to others. It says when, and has no part in what. */
export interface ApplyTurn {
  readonly isOver: boolean
  spend(keyOperations: number): void
  /** Runs `work` in a later turn, in which it may do one piece without asking again. */
  next(work: () => void): void
}

export interface ApplyContext {
  readonly state: RangeState
  readonly versions: VersionStore
  readonly turn: ApplyTurn
  /** A write of the system keyspace, after it took effect; undefined: deleted. */
  readonly onSystemWrite?: (key: Uint8Array, value: Uint8Array | undefined) => void
  /** The state is as of the entry at `index`, for this turn: a checksum of it is wanted. */
  readonly onChecksum?: (index: Index) => void
}

/** One operation of an entry. */
export interface OperationContext extends ApplyContext {
  readonly index: Index
  readonly keyspace: Keyspace
}

/** One effect on one key: the versions, the counters, the hash, and the node that listens to its own registry. */
export function writeKey(
  context: OperationContext,
  key: Uint8Array,
  value: Uint8Array | undefined,
  stamp: Timestamp,
): number | undefined {
  const { state, versions, keyspace, index } = context
  const effect =
    value === undefined
      ? versions.delete(state, index, keyspace, key, stamp)
      : versions.put(state, index, keyspace, key, value, stamp)
  if (effect === undefined) return undefined
  state.hashIn(effect.crc)
  state.byteCount += effect.bytesDelta
  const keysDelta = Number(value !== undefined) - Number(effect.wasAlive)
  state.keyCount += keysDelta
  if (keyspace === systemKeyspace) state.systemKeyCount += keysDelta
  if (keyspace === systemKeyspace) context.onSystemWrite?.(key, value)
  return effect.version
}
