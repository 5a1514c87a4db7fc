import { describe, expect, it } from 'vitest'
import { AnswerBudget, AnswerRoom } from '../../src/base/answer-budget.ts'

describe('the budget of an answer', () => {
  it('is spent by what was read, and never before anything was', () => {
    const budget = new AnswerBudget(1_000)
    expect([budget.isSpent, budget.mustWait]).toEqual([false, false])
    budget.take(900)
    expect(budget.isSpent).toBe(false)
    budget.take(900)
    expect(budget.isSpent).toBe(true)
  })

  it('counts items that have no bytes: of those, too, there is an end', () => {
    const budget = new AnswerBudget(1_000)
    let items = 0
    while (!budget.isSpent && items < 10_000) {
      budget.take(0)
      items++
    }
    expect(items).toBeLessThan(100)
  })

  it('ends where the room of the consumer does, and waits where nothing was read yet', () => {
    const room = new AnswerRoom(1_000)
    const [one, other] = [new AnswerBudget(10_000, room), new AnswerBudget(10_000, room)]
    one.take(1_000)
    expect([one.isSpent, one.mustWait]).toEqual([true, false])
    expect([other.isSpent, other.mustWait]).toEqual([false, true])
    let woken = 0
    other.onRoom(() => woken++)
    expect(woken).toBe(0)
    // Handed over, and on its way to the consumer; then taken by it.
    room.hold(1_000)
    one.release()
    expect([woken, other.mustWait]).toEqual([0, true])
    room.release(1_000)
    expect([woken, other.mustWait]).toEqual([1, false])
    other.onRoom(() => woken++)
    expect(woken).toBe(2)
  })
})
