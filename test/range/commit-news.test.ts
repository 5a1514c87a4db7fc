// A commit that nothing else tells of is told within its delay, or twice that, and never by more than one message for all.

import { expect, test } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import { CommitNews } from '../../src/range/commit-news.ts'
import type { Clock } from '../../src/time/clock.ts'

/** A clock whose timers fire when they are told to. */
class HandClock {
  readonly timers: (() => void)[] = []

  readonly clock = {
    setTimer: (_delayMs: number, callback: () => void) => {
      this.timers.push(callback)
      return { cancel: () => void this.timers.splice(this.timers.indexOf(callback), 1) }
    },
  } as Partial<Clock> as Clock

  fire(): void {
    this.timers.shift()?.()
  }
}

test('what was committed when the wait began is told, and what came meanwhile waits once more', () => {
  const hand = new HandClock()
  const told: number[] = []
  const news = new CommitNews(hand.clock, commit => told.push(commit))
  news.committed(asIndex(3))
  news.committed(asIndex(5))
  news.committed(asIndex(8))
  expect([told, hand.timers.length]).toEqual([[], 1])
  hand.fire()
  expect([told, hand.timers.length]).toEqual([[3], 1])
  hand.fire()
  expect([told, hand.timers.length]).toEqual([[3, 8], 0])
  news.committed(asIndex(9))
  hand.fire()
  expect(told).toEqual([3, 8, 9])
})

test('whoever closes it, even while it tells, leaves no timer behind', () => {
  const hand = new HandClock()
  const news: CommitNews = new CommitNews(hand.clock, () => news.close())
  news.committed(asIndex(1))
  news.committed(asIndex(2))
  hand.fire()
  expect(hand.timers).toEqual([])
})
