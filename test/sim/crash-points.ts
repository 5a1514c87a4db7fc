// A story told again and again: each time one node crashes one event later, from where the story begins until it is over. So
// every step of it is once the last one. Events are the simulator's: whatever a node does between two answers of its disk,
// the network or its timers is one.

import { strict as assert } from 'node:assert'
import type { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

export interface Story {
  /** Up to where crashes begin: the same each time. */
  readonly begin: () => Promise<Scenario>
  readonly victim: (scenario: Scenario) => SimNode
  readonly isOver: (scenario: Scenario) => boolean
  /** The victim has started again: it must come to its end all the same. */
  readonly goOn: (scenario: Scenario) => Promise<void>
}

export interface CrashPoints {
  /** Events of the victim from the beginning to the end. */
  readonly events: number
  readonly crashes: number
  /** What went wrong, and after how many events. */
  readonly failures: readonly string[]
}

const storyMsMax = 60_000
const downMs = 20

/** After `first` events of the victim's, and then every `stride`. */
export async function crashAtEach(
  story: Story,
  kind: 'kill' | 'power',
  { first = 0, stride = 1 } = {},
): Promise<CrashPoints> {
  const failures: string[] = []
  let crashes = 0
  for (let at = first; ; at += stride) {
    const scenario = await story.begin()
    const { world } = scenario
    const victim = story.victim(scenario)
    let seen = 0
    const touched = world.touched.bind(world)
    world.touched = node => {
      if (node === victim) seen++
      touched(node)
    }
    const end = await world.run(world.nowMs + storyMsMax, () => seen >= at || story.isOver(scenario))
    assert.equal(end, 'condition', `the story comes to its end by itself; ${world.describe()}`)
    if (story.isOver(scenario)) {
      scenario.close()
      return { events: at, crashes, failures }
    }
    crashes++
    try {
      victim.crash(kind)
      world.scheduler.after(downMs, () => victim.start())
      await world.until('it runs again', storyMsMax, () => victim.core !== undefined)
      await story.goOn(scenario)
    } catch (error) {
      failures.push(`${kind} after ${at} events: ${error instanceof Error ? error.message : String(error)}`)
    }
    scenario.close()
  }
}
