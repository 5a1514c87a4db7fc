// Every other event is a kill, the ones between are power losses; CRASH_POINTS=all has both at each.

import { describe, expect, test } from 'vitest'
import { crashAtEach } from './crash-points.ts'
import { stories } from './crash-stories.ts'

const isAll = process.env.CRASH_POINTS === 'all'
const stride = isAll ? 1 : 2

describe('whoever crashes at any step of it comes back, and all is whole, when', () => {
  test.each(Object.entries(stories))('%s', { timeout: 120_000 }, async (_, story) => {
    const killed = await crashAtEach(story, 'kill', { stride })
    const cut = await crashAtEach(story, 'power', { first: isAll ? 0 : 1, stride })
    expect([...killed.failures, ...cut.failures]).toEqual([])
    expect(killed.crashes + cut.crashes).toBeGreaterThan(5)
  })
})
