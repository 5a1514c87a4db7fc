// A version as its readers see it: nothing of this node in it.

import type { EngineKey } from '../engine/engine.ts'
import type { Timestamp } from '../time/timestamp.ts'
import { DamageError } from '../engine/engine.ts'
import { decodeRow } from './engine-keys.ts'
import { decodeVersion, type Latest, type Version } from './version.ts'

export interface KeyRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly timestamp: Timestamp
  /** When the key came to life; a deletion's is its own timestamp. */
  readonly created: Timestamp
  /** Counts the key's versions since then, from 1; a deletion's is 0. */
  readonly version: number
  readonly deleted: boolean
}

/** `key`: the version's, where its bytes are at hand. */
export function toRecord(version: Version, key: Uint8Array = decodeRow(version.row)): KeyRecord {
  return {
    key,
    value: version.record.subarray(version.valueOffset),
    timestamp: version.timestamp,
    created: version.created,
    version: version.version,
    deleted: version.deleted,
  }
}

/** Of a key whose newest version was found by its bytes. */
export function latestRecord(latest: Latest, key: Uint8Array): KeyRecord {
  return {
    key,
    value: latest.bytes.subarray(latest.valueOffset, latest.end),
    timestamp: latest.timestamp,
    created: latest.created,
    version: latest.version,
    deleted: latest.deleted,
  }
}

/** The version under a 'd' or 't' key. Throws DamageError. */
export function decodeStored(key: EngineKey, value: Uint8Array): Version {
  const version = decodeVersion(key.slice(1), value)
  if (version === undefined) throw new DamageError(key, 'its checksum does not hold')
  return version
}
