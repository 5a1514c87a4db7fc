// What a read throws when stored bytes disagree with their checksum: a damaged value is never served. Whoever catches
// it quarantines the replica (DESIGN.md 15).

import type { EngineKey } from '../engine/engine.ts'

export class DamageError extends Error {
  override readonly name = 'DamageError'
  /** The engine key whose value is damaged. */
  readonly key: EngineKey

  constructor(key: EngineKey, reason: string) {
    super(`the stored value of engine key ${JSON.stringify(key)} is damaged: ${reason}`)
    this.key = key
  }
}
