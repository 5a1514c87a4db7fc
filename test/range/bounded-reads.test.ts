// A small request may ask for very much: what is read for it at once, and for whom, is bounded.

import { describe, expect, it } from 'vitest'
import { AnswerBudget, AnswerRoom } from '../../src/base/answer-budget.ts'
import { asRangeId, userKeyspace } from '../../src/base/ids.ts'
import type { VersionStore } from '../../src/mvcc/version-store.ts'
import { type LocalStoreOptions, createLocalStore } from '../../src/range/local-requests.ts'
import type { GetRequest, LocalStore } from '../../src/range/local-store.ts'
import type { Clock } from '../../src/time/clock.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { type Timestamp, asTimestamp, timestampZero } from '../../src/time/timestamp.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'
import { bytes, open, put } from '../mvcc/store-steps.ts'

const valueBytes = 1_000

/** A replica over `keys` keys, each with `versions` versions; `gets` counts what is read of the present. */
async function createStore(keys: number, versions = 1, clock: Clock = systemClock) {
  const store = await open(createMemoryEngine())
  let stamp = 0
  for (let version = 0; version < versions; version++)
    for (let key = 0; key < keys; key++) put(store, ++stamp, `k${key}`, 'v'.repeat(valueBytes), stamp)
  const state = { appliedIndex: 1, lastStamp: stamp, readStamp: stamp, threshold: 0, closed: stamp }
  const replica = { stopped: undefined as { readonly kind: 'draining' } | undefined, isInstalling: false, state }
  const world = { gets: 0, onGet: (): void => {} }
  const counting: Partial<VersionStore> = {
    warm: () => {},
    get: (keyspace, key) => {
      world.gets++
      world.onGet()
      return store.get(keyspace, key)
    },
    getAt: (...asked) => store.getAt(...asked),
    visit: (...asked) => store.visit(...asked),
    history: (...asked) => store.history(...asked),
  }
  const local: LocalStore = createLocalStore({
    store: { replica: () => replica },
    versions: counting,
    clock,
  } as unknown as LocalStoreOptions)
  const request = (more: Partial<GetRequest> = {}): GetRequest => ({
    rangeId: asRangeId(1),
    keyspace: userKeyspace,
    kind: 'stale',
    at: timestampZero,
    clock: timestampZero,
    deadlineMs: systemClock.monotonicMs() + 60_000,
    keys: Array.from({ length: keys }, (_, key) => bytes(`k${key}`)),
    ...more,
  })
  return { local, world, replica, request, stamp: asTimestamp(stamp) }
}

async function itemsOf(answer: ReturnType<LocalStore['get']>) {
  const found = await answer
  if (found.kind !== 'done') throw new Error(found.kind)
  return found.items
}

describe('a get of many keys', () => {
  it.each(['stale', 'at'] as const)('ends with its budget, one value at least: %s', async kind => {
    const { local, request, stamp } = await createStore(50)
    const of = (bytesMax: number) =>
      itemsOf(local.get(request({ kind, at: stamp, budget: new AnswerBudget(bytesMax) })))
    const items = await of(10 * valueBytes)
    expect(items.length).toBeGreaterThan(5)
    expect(items.length).toBeLessThan(12)
    expect(items.every(item => item.value?.length === valueBytes)).toBe(true)
    expect(await of(1)).toHaveLength(1)
    expect(await of(1_000_000)).toHaveLength(50)
  })

  it('reads no more than it answers', async () => {
    const { local, request, world } = await createStore(50)
    const items = await itemsOf(local.get(request({ budget: new AnswerBudget(10 * valueBytes) })))
    expect(world.gets).toBe(items.length)
  })

  it('gives way to others every 10 ms, and goes on where it was', async () => {
    let nowMs = 0
    let turns = 0
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      defer: callback => {
        turns++
        systemClock.defer(callback)
      },
    }
    const { local, request, world } = await createStore(2_000, 1, clock)
    let mostInTurn = 0
    let turnOf = 0
    let inTurn = 0
    world.onGet = () => {
      nowMs += 0.05
      if (turnOf !== turns) [turnOf, inTurn] = [turns, 0]
      mostInTurn = Math.max(mostInTurn, ++inTurn)
    }
    const items = await itemsOf(local.get(request({ deadlineMs: 1_000 })))
    expect(items.map(item => item.timestamp)).toEqual(Array.from({ length: 2_000 }, (_, at) => at + 1))
    // 200 take 10 ms, and the clock is not asked after each.
    expect(mostInTurn).toBeLessThan(300)
    expect(turns).toBeGreaterThan(4)
  })

  it.each(['caller', 'deadline', 'replica'] as const)('ends soon when it is over with its %s', async end => {
    let nowMs = 0
    const clock: Clock = { ...systemClock, monotonicMs: () => nowMs }
    const { local, request, world, replica } = await createStore(5_000, 1, clock)
    const controller = new AbortController()
    world.onGet = () => {
      nowMs += 0.1
      if (world.gets !== 1_000) return
      if (end === 'caller') controller.abort()
      if (end === 'replica') replica.stopped = { kind: 'draining' }
    }
    const deadlineMs = end === 'deadline' ? 100 : 10_000
    const answer = await local.get(request({ deadlineMs, signal: controller.signal }))
    expect(answer.kind).toBe(end === 'replica' ? 'draining' : 'unavailable')
    expect(world.gets).toBeLessThan(1_500)
  })
})

describe('answers that nobody takes', () => {
  it('hold so much; then nothing more is read until there is room', async () => {
    const { local, request, world } = await createStore(50)
    const room = new AnswerRoom(20 * valueBytes)
    const budgets = Array.from({ length: 100 }, () => new AnswerBudget(10 * valueBytes, room))
    const answers = budgets.map(async budget => {
      const { length } = await itemsOf(local.get(request({ budget })))
      return { budget, length }
    })
    const first = await Promise.all(answers.slice(0, 2))
    await new Promise(resolve => setTimeout(resolve, 20))
    const readBefore = world.gets
    expect(readBefore).toBeLessThan(30)
    // Each is taken as it comes: all get theirs, and no more than the room holds at a time.
    for (const { budget } of first) budget.release()
    for (const answer of answers.slice(2)) (await answer).budget.release()
    expect(room.isFull).toBe(false)
    expect(world.gets).toBeGreaterThanOrEqual(100)
  })

  it.each(['caller', 'deadline'] as const)('are waited for no longer than the %s lasts', async end => {
    const { local, request } = await createStore(3)
    const room = new AnswerRoom(10)
    room.hold(10)
    const controller = new AbortController()
    const deadlineMs = systemClock.monotonicMs() + (end === 'deadline' ? 20 : 60_000)
    const pending = local.get(request({ deadlineMs, signal: controller.signal, budget: new AnswerBudget(10, room) }))
    if (end === 'caller') controller.abort()
    expect((await pending).kind).toBe('unavailable')
  })
})

describe('pages that share a budget', () => {
  const none = new Uint8Array()
  const span = {
    start: none,
    end: none,
    limit: 100,
    bytesMax: 64 * 1024,
    reverse: false,
    keysOnly: false,
    countOnly: false,
  }

  it.each([false, true])('are cut, or say that they were not read: reverse %s', async reverse => {
    const { local, request } = await createStore(30)
    const budget = new AnswerBudget(20 * valueBytes)
    const { keys: _, ...read } = request({ budget })
    const first = await local.scanPage({ ...read, ...span, reverse })
    expect(first).toMatchObject({ kind: 'done', resume: expect.any(Uint8Array) })
    expect(await local.scanPage({ ...read, ...span, reverse })).toEqual({ kind: 'not-read' })
    if (first.kind !== 'done') return
    // What was cut goes on without a gap.
    const { keys: __, ...again } = request()
    const from = reverse ? { end: first.resume! } : { start: first.resume! }
    const rest = await local.scanPage({ ...again, ...span, reverse, ...from })
    expect(rest.kind === 'done' && first.count + rest.count).toBe(30)
  })
})

describe('a page that takes long', () => {
  it('ends with what it has, and goes on from there', async () => {
    let nowMs = 0
    const clock: Clock = { ...systemClock, monotonicMs: () => (nowMs += 100) }
    const { local, request } = await createStore(30, 1, clock)
    const { keys: _, ...read } = request({ deadlineMs: 1e9 })
    const none = new Uint8Array()
    const span = { end: none, limit: 100, bytesMax: 1e9, reverse: false, keysOnly: true, countOnly: true }
    let [count, pages] = [0, 0]
    for (let start: Uint8Array | undefined = none; start !== undefined; pages++) {
      const page = await local.scanPage({ ...read, ...span, start })
      if (page.kind !== 'done') throw new Error(page.kind)
      expect(page.count).toBeGreaterThan(0)
      count += page.count
      start = page.resume
    }
    expect(count).toBe(30)
    expect(pages).toBeGreaterThan(4)
  })
})

describe('a read of an old instant that nobody waits for', () => {
  const old = 15 as Timestamp

  it.each(['get', 'scan', 'history'] as const)('goes no further: a %s', async kind => {
    const { local, request } = await createStore(10, 2_000)
    const controller = new AbortController()
    const read = request({ kind: 'at', at: old, signal: controller.signal })
    const none = new Uint8Array()
    const size = { limit: 100_000, bytesMax: 1e9 }
    const ask = {
      get: () => local.get(read),
      scan: () =>
        local.scanPage({ ...read, ...size, start: none, end: none, reverse: false, keysOnly: false, countOnly: false }),
      history: () => local.history({ ...read, ...size, kind: 'stale', key: bytes('k1'), before: asTimestamp(1e9) }),
    }[kind]
    const pending = ask()
    controller.abort()
    expect(await pending).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('given up') })
  })
})
