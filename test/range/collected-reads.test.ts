import { describe, expect, it } from 'vitest'
import { asNodeId, userKeyspace } from '../../src/base/ids.ts'
import type { VersionStore } from '../../src/mvcc/version-store.ts'
import { type LocalStoreOptions, createLocalStore } from '../../src/range/local-requests.ts'
import { rangeOne } from '../../src/range/store.ts'
import { HybridClock } from '../../src/time/hybrid-clock.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { asTimestamp } from '../../src/time/timestamp.ts'

/** One replica whose history is collected while it is being read. */
function createStoreThatCollects() {
  const state = { threshold: asTimestamp(100), closed: asTimestamp(1_000), lastStamp: asTimestamp(1_000) }
  const collect = () => {
    state.threshold = asTimestamp(600)
  }
  const versions = {
    getAt: async () => collect(),
    visit: async () => collect(),
  } as unknown as VersionStore
  const replica = { state, stopped: undefined, isInstalling: false, status: () => ({}), descriptor: { replicas: [1] } }
  return createLocalStore({
    store: { replica: () => replica },
    versions,
    clock: systemClock,
    hybridClock: new HybridClock(systemClock.unixMs),
    node: asNodeId('n1'),
    isDraining: () => false,
  } as unknown as LocalStoreOptions)
}

describe('a read at an old instant whose history is collected meanwhile', () => {
  const at = {
    rangeId: rangeOne,
    keyspace: userKeyspace,
    kind: 'at',
    clock: asTimestamp(0),
    deadlineMs: Infinity,
  } as const
  const refusal = { kind: 'below-threshold', threshold: 600 }

  it('is refused, not answered with absence: get', async () => {
    const store = createStoreThatCollects()
    const keys = [Buffer.from('k')]
    expect(await store.get({ ...at, at: asTimestamp(500), keys })).toEqual(refusal)
  })

  it('is refused, not answered with absence: scan', async () => {
    const store = createStoreThatCollects()
    const [start, end] = [Buffer.from('a'), new Uint8Array(0)]
    const page = { limit: 10, bytesMax: 1_000, reverse: false, keysOnly: false, countOnly: false }
    expect(await store.scanPage({ ...at, at: asTimestamp(500), start, end, ...page })).toEqual(refusal)
  })

  it('is answered when the instant is still kept', async () => {
    const store = createStoreThatCollects()
    expect((await store.get({ ...at, at: asTimestamp(700), keys: [] })).kind).toBe('done')
  })
})
