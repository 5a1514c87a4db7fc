import { describe, expect, it } from 'vitest'
import { type Index, asIndex, asNodeId, asRangeId, userKeyspace } from '../../src/base/ids.ts'
import { createLocalStore, type LocalStoreOptions } from '../../src/range/local-requests.ts'
import type { GetRequest } from '../../src/range/local-store.ts'
import { ReadQueue } from '../../src/range/read-queue.ts'
import { timestampZero } from '../../src/time/timestamp.ts'

const request: GetRequest = {
  rangeId: asRangeId(1),
  keyspace: userKeyspace,
  kind: 'linearizable',
  at: timestampZero,
  clock: timestampZero,
  deadlineMs: 1_000,
  keys: [Buffer.from('k')],
}

/** A leader whose rounds end when the test says so, and a state that holds `value`. */
function createLeader() {
  const state = { appliedIndex: asIndex(5), lastStamp: 1, readStamp: 1, threshold: 0 }
  const world = {
    value: 'old',
    gets: 0,
    rounds: 0,
    isLeader: true,
    error: undefined as Error | undefined,
    deferred: [] as (() => void)[],
  }
  const reads = new ReadQueue({ begin: () => ++world.rounds, applied: () => state.appliedIndex, nowMs: () => 0 }, 100)
  const replica = {
    stopped: undefined as { readonly kind: 'draining' } | undefined,
    isInstalling: false,
    state,
    reads,
    leaderNode: asNodeId('n1'),
    schedule: () => void reads.maybeBegin(),
    get isLeader() {
      return world.isLeader
    },
  }
  const versions = {
    warm: () => {},
    get: () => {
      world.gets++
      if (world.error !== undefined) throw world.error
      return {
        key: request.keys[0],
        value: Buffer.from(world.value),
        timestamp: 1,
        created: 1,
        version: 1,
        deleted: false,
      }
    },
  }
  const local = createLocalStore({
    store: { replica: () => replica },
    versions,
    clock: { monotonicMs: () => 0, defer: (callback: () => void) => world.deferred.push(callback) },
  } as unknown as LocalStoreOptions)
  const runDeferred = (): void => {
    while (world.deferred.length > 0) world.deferred.shift()?.()
  }
  const written = (value: string, index: number): void => {
    world.value = value
    state.appliedIndex = index as Index
  }
  const get = async (): Promise<string | undefined> => {
    const answer = await local.get(request)
    return answer.kind === 'done' ? Buffer.from(answer.items[0]?.value ?? []).toString() : answer.kind
  }
  return { world, replica, reads, runDeferred, written, get }
}

describe('a linearizable get on a leader', () => {
  it('reads while its round is under way', async () => {
    const { world, reads, runDeferred, get } = createLeader()
    const answer = get()
    runDeferred()
    expect(world.gets).toBe(1)
    reads.roundEnded(1, asIndex(5), true)
    expect([await answer, world.gets]).toEqual(['old', 1])
  })

  it('reads again when its round asks for more than was applied by then', async () => {
    const { reads, runDeferred, written, get } = createLeader()
    const answer = get()
    runDeferred()
    reads.roundEnded(1, asIndex(6), true)
    written('new', 6)
    reads.appliedTo(asIndex(6))
    expect(await answer).toBe('new')
  })

  it('reads again for the round that takes the place of a lost one', async () => {
    const { world, reads, runDeferred, written, get } = createLeader()
    const answer = get()
    runDeferred()
    reads.roundsLost()
    reads.maybeBegin()
    written('new', 5)
    reads.roundEnded(2, asIndex(5), true)
    expect(await answer).toBe('new')
    expect(world.gets).toBe(2)
  })

  it('reads once, at the end, where the round was quicker', async () => {
    const { world, reads, runDeferred, get } = createLeader()
    const answer = get()
    reads.roundEnded(1, asIndex(5), true)
    expect(await answer).toBe('old')
    runDeferred()
    expect(world.gets).toBe(1)
  })

  it('tells whoever asked when the state cannot be read, and nobody else', async () => {
    const { world, reads, runDeferred, get } = createLeader()
    world.error = new Error('too many open files')
    const answer = get()
    expect(runDeferred).not.toThrow()
    reads.roundEnded(1, asIndex(5), true)
    await expect(answer).rejects.toThrow('too many open files')
  })

  it('is refused at once by a replica that has stopped', async () => {
    const { replica, get } = createLeader()
    replica.stopped = { kind: 'draining' }
    expect(await get()).toBe('draining')
  })

  it('reads nothing ahead where it does not lead', async () => {
    const { world, runDeferred, get } = createLeader()
    world.isLeader = false
    void get()
    runDeferred()
    expect(world.gets).toBe(0)
  })
})
