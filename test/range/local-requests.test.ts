import { describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { asRangeId, userKeyspace } from '../../src/base/ids.ts'
import type { VersionStore } from '../../src/mvcc/version-store.ts'
import type { ReadRequest } from '../../src/range/local-store.ts'
import { type LocalStoreOptions, createLocalStore } from '../../src/range/local-requests.ts'
import { timestampZero } from '../../src/time/timestamp.ts'

describe('a read during which a snapshot was installed', () => {
  const thrown = new KvError('unavailable', 'the state was replaced by a snapshot while it was read')
  const replica = { stopped: undefined, isInstalling: false, state: { appliedIndex: 1, lastStamp: 1, threshold: 0 } }
  const versions: Partial<VersionStore> = {
    scan: () => Promise.reject(thrown),
    history: () => Promise.reject(thrown),
    get: () => {
      throw thrown
    },
  }
  const local = createLocalStore({ store: { replica: () => replica }, versions } as unknown as LocalStoreOptions)
  const read: ReadRequest = {
    rangeId: asRangeId(1),
    keyspace: userKeyspace,
    kind: 'stale',
    at: timestampZero,
    clock: timestampZero,
    deadlineMs: 0,
  }
  const none = new Uint8Array()
  const span = { start: none, end: none, limit: 1, bytesMax: 1, reverse: false, keysOnly: false, countOnly: false }

  it.each([
    ['get', () => local.get({ ...read, keys: [none] })],
    ['scan', () => local.scanPage({ ...read, ...span })],
    ['history', () => local.history({ ...read, key: none, limit: 1, before: timestampZero })],
  ])('is answered `unavailable`: a %s', async (_, ask) => {
    expect(await ask()).toEqual({ kind: 'unavailable', message: thrown.message })
  })
})
