import { expect, test } from 'vitest'
import { ConditionWaiters } from '../../src/range/condition-waiters.ts'

test('who waits hears that the condition is met, that time is up, or that nothing changes any more', async () => {
  const waiters = new ConditionWaiters()
  let applied = 1
  const reaches = (index: number, deadlineMs: number) => waiters.wait(() => applied >= index, deadlineMs)
  const now = reaches(1, 10)
  const soon = reaches(2, 10)
  const late = reaches(3, 10)
  const never = reaches(4, 1_000)
  applied = 2
  waiters.check()
  waiters.expire(10)
  waiters.close()
  expect(await Promise.all([now, soon, late, never])).toEqual([true, true, false, false])
  // Nobody would ever tell whoever comes afterwards.
  expect(await Promise.all([reaches(2, 1_000), reaches(5, 1_000)])).toEqual([true, false])
})
