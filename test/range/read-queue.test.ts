import { describe, expect, it } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import { ReadQueue } from '../../src/range/read-queue.ts'

function createRounds() {
  const state = { applied: asIndex(5), context: 0, canBegin: true, nowMs: 0 }
  const queue = new ReadQueue(
    {
      begin: () => (state.canBegin ? ++state.context : undefined),
      applied: () => state.applied,
      nowMs: () => state.nowMs,
    },
    100,
  )
  return { state, queue }
}

describe('linearizable reads in rounds (dissertation 6.4)', () => {
  it('a reader that arrives during a round waits for the next one', async () => {
    const { queue } = createRounds()
    const first = queue.wait(1_000)
    expect(queue.maybeBegin()).toBe(true)
    const second = queue.wait(1_000)
    let secondPermit: unknown
    void second.then(permit => {
      secondPermit = permit
    })
    queue.roundEnded(1, asIndex(5), true)
    expect(await first).toMatchObject({ kind: 'ready' })
    expect(secondPermit).toBeUndefined()
    expect(queue.maybeBegin()).toBe(true)
    queue.roundEnded(2, asIndex(5), true)
    expect(await second).toMatchObject({ kind: 'ready' })
  })

  it('a confirmed reader waits until its index is applied', async () => {
    const { queue, state } = createRounds()
    const read = queue.wait(1_000)
    queue.maybeBegin()
    let permit: unknown
    void read.then(value => {
      permit = value
    })
    queue.roundEnded(1, asIndex(7), true)
    await Promise.resolve()
    expect(permit).toBeUndefined()
    state.applied = asIndex(6)
    queue.appliedTo(state.applied)
    await Promise.resolve()
    expect(permit).toBeUndefined()
    state.applied = asIndex(7)
    queue.appliedTo(state.applied)
    expect(await read).toMatchObject({ kind: 'ready' })
  })

  it('a confirmed reader whose index is never applied is told at its deadline', async () => {
    const queue = new ReadQueue({ begin: () => 1, applied: () => asIndex(4), nowMs: () => 0 }, 100)
    const read = queue.wait(50)
    queue.maybeBegin()
    queue.roundEnded(1, asIndex(5), true)
    queue.expire(49)
    expect(queue.isIdle).toBe(false)
    queue.expire(50)
    expect(queue.isIdle).toBe(true)
    expect(await read).toEqual({ kind: 'deadline' })
  })

  it('a lost round is begun again as a new one, and the old answer counts for nothing', async () => {
    const { queue, state } = createRounds()
    const read = queue.wait(10_000)
    queue.maybeBegin()
    state.nowMs = 101
    queue.expire(state.nowMs)
    expect(queue.maybeBegin()).toBe(true)
    let permit: unknown
    void read.then(value => {
      permit = value
    })
    queue.roundEnded(1, asIndex(5), true)
    await Promise.resolve()
    expect(permit).toBeUndefined()
    queue.roundEnded(2, asIndex(5), true)
    expect(await read).toMatchObject({ kind: 'ready' })
  })

  it('an unconfirmed round keeps its readers for the next', async () => {
    const { queue } = createRounds()
    const read = queue.wait(1_000)
    queue.maybeBegin()
    queue.roundEnded(1, asIndex(5), false)
    queue.maybeBegin()
    queue.roundEnded(2, asIndex(5), true)
    expect(await read).toMatchObject({ kind: 'ready' })
  })

  it('without a leader a reader is told at its deadline', async () => {
    const { queue, state } = createRounds()
    state.canBegin = false
    const read = queue.wait(50)
    expect(queue.maybeBegin()).toBe(false)
    queue.expire(50)
    expect(await read).toEqual({ kind: 'deadline' })
    expect(queue.isIdle).toBe(true)
  })

  it('a closed queue refuses those who wait, and those who come', async () => {
    const { queue } = createRounds()
    const read = queue.wait(1_000)
    queue.close()
    expect(await read).toEqual({ kind: 'not-leader' })
    expect(await queue.wait(1_000)).toEqual({ kind: 'not-leader' })
  })
})
