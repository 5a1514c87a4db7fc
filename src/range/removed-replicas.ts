// Which replicas were removed from this node: the highest id of each range, kept in the engine, so that a late message for
// one of them never makes it again (DESIGN.md 5), after a restart either.

import type { RangeId, ReplicaId } from '../base/ids.ts'
import { RangeState } from '../command/range-state.ts'
import type { Engine } from '../engine/engine.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import { endOfQuarantine } from './quarantine-marker.ts'

export class RemovedReplicas {
  readonly #engine: Engine
  readonly #versions: VersionStore

  constructor(engine: Engine, versions: VersionStore) {
    this.#engine = engine
    this.#versions = versions
  }

  /** 0: none. */
  highest(rangeId: RangeId): number {
    const value = this.#engine.get(removedKey(rangeId))
    return value === undefined ? 0 : Number(Buffer.from(value).toString())
  }

  /** Its applied state goes as well, or a later replica of this node would take it for its own. Durable when it resolves. */
  async add(rangeId: RangeId, replicaId: ReplicaId): Promise<void> {
    await this.#engine.write([
      {
        key: removedKey(rangeId),
        value: Buffer.from(String(Math.max(replicaId, this.highest(rangeId)))),
      },
      { key: RangeState.keyOf(this.#versions, rangeId), value: undefined },
      endOfQuarantine(rangeId),
    ])
  }
}

function removedKey(rangeId: RangeId): string {
  return `nremoved/${rangeId}`
}
