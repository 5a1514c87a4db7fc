// What a replica may answer: some prefix of all writes in the order of their timestamps, whole and with the right values.

import type { Client } from '../../src/client/client.ts'
import type { quorate } from '../../src/proto/quorate.js'

export interface TrueVersion {
  readonly key: string
  readonly value: string
  readonly timestamp: number
  readonly version: number
  readonly deleted: boolean
}

export class Truth {
  /** In the order in which they came to be. */
  readonly versions: readonly TrueVersion[]

  constructor(versions: readonly TrueVersion[]) {
    this.versions = [...versions].sort((a, b) => a.timestamp - b.timestamp)
  }

  /** All versions of all keys, as the leader knows them. */
  static async read(client: Client, keys: Iterable<string>): Promise<Truth> {
    const versions: TrueVersion[] = []
    for (const key of keys) {
      const page = await client.history(key)
      if (page.more) throw new Error(`${key} has more versions than a page takes`)
      for (const { value, timestamp, version, deleted } of page.versions)
        versions.push({ key, value: Buffer.from(value).toString('latin1'), timestamp, version, deleted })
    }
    return new Truth(versions)
  }

  /** Timestamps at which something was written: every tenth or so. */
  instants(count: number): readonly number[] {
    const step = Math.max(1, Math.floor(this.versions.length / count))
    return this.versions.filter((_, at) => at % step === step - 1).map(version => version.timestamp)
  }

  #stateAt(timestamp: number): Map<string, TrueVersion> {
    const state = new Map<string, TrueVersion>()
    for (const version of this.versions) {
      if (version.timestamp > timestamp) break
      if (version.deleted) state.delete(version.key)
      else state.set(version.key, version)
    }
    return state
  }

  /** What is wrong with `items` as the state at the instant; undefined: nothing. */
  wrongAt(timestamp: number, items: readonly quorate.v1.IKeyVersion[]): string | undefined {
    const expected = this.#stateAt(timestamp)
    for (const item of items) {
      const key = Buffer.from(item.key ?? []).toString()
      const version = expected.get(key)
      if (version === undefined) return `${key} should not be there at ${timestamp}`
      expected.delete(key)
      if (version.timestamp !== item.timestamp || version.version !== item.version)
        return `${key} has version ${item.version} of ${item.timestamp}, not ${version.version} of ${version.timestamp}`
      if (version.value !== Buffer.from(item.value ?? []).toString('latin1')) return `${key} has another value`
    }
    const [lost] = expected.keys()
    return lost === undefined ? undefined : `${lost} and ${expected.size - 1} other keys are not there at ${timestamp}`
  }

  /** As `wrongAt`, of a replica that may be behind: the state of some instant, all of it. */
  wrongAsPrefix(items: readonly quorate.v1.IKeyVersion[]): string | undefined {
    const newest = Math.max(0, ...items.map(item => item.timestamp ?? 0))
    // Deletions after the newest item leave no trace but what is gone.
    let wrong = this.wrongAt(newest, items)
    for (const version of this.versions) {
      if (wrong === undefined) return undefined
      if (version.timestamp <= newest) continue
      if (!version.deleted) break
      wrong = this.wrongAt(version.timestamp, items)
    }
    return wrong
  }

  get newest(): number {
    return this.versions.at(-1)?.timestamp ?? 0
  }
}
