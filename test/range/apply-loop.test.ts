import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import type { Entry } from '../../src/raft/types.ts'
import { ApplyLoop } from '../../src/range/apply-loop.ts'
import { ApplyTurn } from '../../src/range/apply-turn.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const entry = (index: number): Entry => ({
  term: asTerm(1),
  index: asIndex(index),
  kind: 'command',
  data: new Uint8Array(0),
})

function createLoop(applyOne: (entry: Entry) => Promise<void> | undefined, turn = new ApplyTurn(systemClock, 1_000)) {
  const poisoned: unknown[] = []
  let isHeld = false
  const loop = new ApplyLoop({
    turn,
    isHeld: () => isHeld,
    applyOne,
    onPoisoned: error => poisoned.push(error),
  })
  return {
    loop,
    poisoned,
    hold: (held: boolean) => {
      isHeld = held
    },
  }
}

describe('the apply loop', () => {
  it('applies in order, and waits for an entry that needs to', async () => {
    const seen: number[] = []
    let release: () => void = () => {}
    const { loop } = createLoop(({ index }) => {
      seen.push(index)
      return index === 2 ? new Promise(resolve => (release = resolve)) : undefined
    })
    loop.push([entry(1), entry(2), entry(3)])
    expect(seen).toEqual([1, 2])
    release()
    await new Promise(setImmediate)
    expect(seen).toEqual([1, 2, 3])
  })

  it('a pause waits for the entry that is half applied, and nothing begins until it ends', async () => {
    const seen: number[] = []
    let release: () => void = () => {}
    const { loop } = createLoop(({ index }) => {
      seen.push(index)
      return index === 1 ? new Promise(resolve => (release = resolve)) : undefined
    })
    loop.push([entry(1), entry(2)])
    let isPaused = false
    const paused = loop.pause().then(() => {
      isPaused = true
    })
    await new Promise(setImmediate)
    expect(isPaused).toBe(false)
    release()
    await paused
    await new Promise(setImmediate)
    expect(seen).toEqual([1])
    loop.unpause()
    expect(seen).toEqual([1, 2])
  })

  it('holds while the engine is full, and goes on when told', () => {
    const seen: number[] = []
    const { loop, hold } = createLoop(({ index }) => {
      seen.push(index)
      return undefined
    })
    hold(true)
    loop.push([entry(1)])
    expect(seen).toEqual([])
    hold(false)
    loop.resume()
    expect(seen).toEqual([1])
  })

  it('applies so much in a turn, however often it is given more in it', async () => {
    const seen: number[] = []
    const { loop } = createLoop(({ index }) => {
      seen.push(index)
      return undefined
    }, new ApplyTurn(systemClock, 2))
    for (const index of [1, 2, 3, 4, 5]) loop.push([entry(index)])
    expect(seen).toEqual([1, 2])
    await new Promise(setImmediate)
    expect(seen).toEqual([1, 2, 3, 4])
    await new Promise(setImmediate)
    expect(seen).toEqual([1, 2, 3, 4, 5])
  })

  it('replicas share a turn, and none starves behind another', async () => {
    const seen: string[] = []
    const turn = new ApplyTurn(systemClock, 2)
    const [a, b] = ['a', 'b'].map(
      name =>
        createLoop(({ index }) => {
          seen.push(`${name}${index}`)
          return undefined
        }, turn).loop,
    )
    a?.push(Array.from({ length: 20 }, (_, at) => entry(at + 1)))
    b?.push([1, 2].map(entry))
    for (let turns = 0; turns < 2; turns++) await new Promise(setImmediate)
    expect(seen).toContain('b2')
    expect(seen).not.toContain('a20')
  })

  it('a turn is over after 10 ms, whatever was counted', () => {
    let nowMs = 0
    const turn = new ApplyTurn({ ...systemClock, monotonicMs: () => nowMs }, 1_000)
    expect(turn.isOver).toBe(false)
    turn.spend(1)
    nowMs = 9.9
    expect(turn.isOver).toBe(false)
    nowMs = 10
    expect(turn.isOver).toBe(true)
  })

  it('nothing is applied after an entry that cannot be', async () => {
    const seen: number[] = []
    const { loop, poisoned } = createLoop(({ index }) => {
      seen.push(index)
      if (index === 2) throw new Error('poison')
      return undefined
    })
    loop.push([entry(1), entry(2), entry(3)])
    loop.resume()
    expect(seen).toEqual([1, 2])
    expect(poisoned.length).toBe(1)
  })
})
