import { describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { asNodeId, asRangeId, userKeyspace } from '../../src/base/ids.ts'
import type { VersionStore } from '../../src/mvcc/version-store.ts'
import type { ReadRequest, WriteRequest } from '../../src/range/local-store.ts'
import { type LocalStoreOptions, createLocalStore } from '../../src/range/local-requests.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { HybridClock } from '../../src/time/hybrid-clock.ts'
import { addMs, timestampZero } from '../../src/time/timestamp.ts'

describe('a read during which a snapshot was installed', () => {
  const thrown = new KvError('unavailable', 'the state was replaced by a snapshot while it was read')
  const replica = {
    stopped: undefined,
    isInstalling: false,
    state: { appliedIndex: 1, lastStamp: 1, readStamp: 1, threshold: 0 },
  }
  const versions: Partial<VersionStore> = {
    warm: () => {},
    visit: () => Promise.reject(thrown),
    history: () => Promise.reject(thrown),
    get: () => {
      throw thrown
    },
  }
  const local = createLocalStore({
    store: { replica: () => replica },
    versions,
    clock: systemClock,
  } as unknown as LocalStoreOptions)
  const read: ReadRequest = {
    rangeId: asRangeId(1),
    keyspace: userKeyspace,
    kind: 'stale',
    at: timestampZero,
    clock: timestampZero,
    deadlineMs: Infinity,
  }
  const none = new Uint8Array()
  const span = { start: none, end: none, limit: 1, bytesMax: 1, reverse: false, keysOnly: false, countOnly: false }

  it.each([
    ['get', () => local.get({ ...read, keys: [none] })],
    ['scan', () => local.scanPage({ ...read, ...span })],
    ['history', () => local.history({ ...read, key: none, limit: 1, bytesMax: 1, before: timestampZero })],
  ])('is answered `unavailable`: a %s', async (_, ask) => {
    expect(await ask()).toEqual({ kind: 'unavailable', message: thrown.message })
  })
})

describe('a node whose wall clock was set back by an hour', () => {
  const rangeId = asRangeId(1)
  const hybridClock = new HybridClock(() => Date.now())
  const stamp = addMs(hybridClock.raw(), 3_600_000)
  hybridClock.mergeOwn(stamp)
  const written: WriteRequest[] = []
  const state = { appliedIndex: 1, lastStamp: stamp, readStamp: stamp, threshold: 0, closed: 0 }
  const replica = {
    stopped: undefined,
    isInstalling: false,
    isLeader: true,
    state,
    write: async (request: WriteRequest) => {
      written.push(request)
      state.closed = request.clock
      return written.length === 1
        ? { kind: 'done', outcomes: [], clock: stamp }
        : { kind: 'invalid', message: 'too far ahead', details: { now: '7' } }
    },
    waitApplied: async (isMet: () => boolean) => isMet(),
  }
  const local = createLocalStore({
    store: { replica: () => replica },
    versions: { getAt: async () => undefined, history: async () => ({ items: [], more: false }) },
    clock: systemClock,
    hybridClock,
    node: asNodeId('n2'),
    isDraining: () => false,
  } as unknown as LocalStoreOptions)
  const read = { rangeId, keyspace: userKeyspace, clock: timestampZero, deadlineMs: Infinity }

  it('still reads at the instants it gave out before, and at none beyond', async () => {
    const keys = [Buffer.from('k')]
    const beyond = { ...read, kind: 'at', at: addMs(stamp, 1), keys } as const
    expect(await local.get(beyond)).toEqual({ kind: 'future-instant' })
    expect(await local.get({ ...beyond, at: stamp })).toMatchObject({ kind: 'done' })
    expect(written.map(request => request.clock)).toEqual([stamp])
  })

  it('says with a history the last stamp of its log', async () => {
    const request = {
      ...read,
      kind: 'stale',
      at: timestampZero,
      key: Buffer.from('k'),
      limit: 1,
      bytesMax: 1,
      before: stamp,
    } as const
    expect(await local.history(request)).toEqual({ kind: 'done', items: [], more: false, clock: stamp })
  })

  it('names itself where it refuses by its own clock', async () => {
    const request = { rangeId, generation: 0, clock: timestampZero, writes: new Uint8Array(1), deadlineMs: Infinity }
    expect(await local.write(request)).toMatchObject({ kind: 'invalid', details: { now: '7', node: 'n2' } })
  })
})
