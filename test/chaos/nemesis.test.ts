// The nemesis by itself, with faults that harm nobody: what it lets overlap, and what it makes of a fault without effect.

import { expect, test } from 'vitest'
import type { Fault, Plan, Stage } from './faults/fault.ts'
import { Nemesis, type NemesisEvent } from './nemesis.ts'
import { until } from '../support/until.ts'

/** No node, no disk, no clock: the faults below want none. */
const stage = { cluster: { nodes: [] } } as unknown as Omit<Stage, 'isFree' | 'prng'>

function fault(name: string, plan: Partial<Plan>): Fault {
  return {
    name,
    async plan() {
      return {
        describe: name,
        claims: [],
        impaired: [],
        lastsMaxMs: 100,
        inject: async () => true,
        verify: async () => true,
        heal: async () => {},
        ...plan,
      }
    },
  }
}

test('it keeps two to four faults going, and heals them all', async () => {
  let active = 0
  let most = 0
  const counted = (name: string) =>
    fault(name, {
      async inject() {
        most = Math.max(most, ++active)
        return true
      },
      async heal() {
        active--
      },
    })
  const events: NemesisEvent[] = []
  const nemesis = Nemesis.start({
    stage,
    seed: 1,
    log: event => events.push(event),
    faults: [counted('a'), counted('b')],
  })
  await until('many faults', () => events.filter(({ what }) => what === 'healed').length >= 20)
  const report = await nemesis.stop()
  expect(active).toBe(0)
  expect(most).toBeGreaterThanOrEqual(2)
  expect(most).toBeLessThanOrEqual(4)
  expect(report.voids).toEqual([])
  expect(Object.keys(report.verified).sort()).toEqual(['a', 'b'])
})

test('what would leave no quorum comes at most once in a while', async () => {
  const names = ['n1', 'n2', 'n3']
  const faults = names.map(name => fault(name, { impaired: [name], claims: [`process:${name}`], lastsMaxMs: 60_000 }))
  const impaired = new Set<string>()
  let spells = 0
  const nemesis = Nemesis.start({
    stage,
    seed: 2,
    faults,
    log({ what, fault: name }) {
      if (what === 'verified') impaired.add(name)
      if (what === 'healed') impaired.delete(name)
      if (impaired.size === 3) spells++
    },
  })
  await until('the spell without a quorum is over', () => spells > 0 && impaired.size < 3, { limitMs: 15_000 })
  await nemesis.stop()
  expect(spells).toBe(1)
})

test('two faults never hold the same thing', async () => {
  let holders = 0
  const wipe = fault('wipe', {
    claims: ['configuration'],
    async inject() {
      expect(++holders).toBe(1)
      return true
    },
    async heal() {
      holders--
    },
  })
  const events: NemesisEvent[] = []
  const nemesis = Nemesis.start({ stage, seed: 3, log: event => events.push(event), faults: [wipe] })
  await until('a few turns', () => events.filter(({ what }) => what === 'healed').length >= 5)
  const report = await nemesis.stop()
  expect(report.voids).toEqual([])
})

test('a fault without effect is reported, and so is one that cannot be healed', async () => {
  const idle = fault('idle', { showsWithinMs: 50, verify: async () => false })
  const stuck = fault('stuck', { heal: () => Promise.reject(new Error('no')) })
  const events: NemesisEvent[] = []
  const nemesis = Nemesis.start({ stage, seed: 4, log: event => events.push(event), faults: [idle, stuck] })
  await until('both', () => new Set(events.map(({ what }) => what)).size >= 5)
  const report = await nemesis.stop()
  expect(report.voids.length).toBeGreaterThan(0)
  expect(report.failures.some(failure => failure.includes('stuck') && failure.includes('no'))).toBe(true)
  expect(report.verified.idle).toBeUndefined()
})

test('an administrative call that was refused counts as no fault', async () => {
  const refused = fault('refused', {
    inject: async () => false,
    verify: () => Promise.reject(new Error('never asked')),
  })
  const events: NemesisEvent[] = []
  const nemesis = Nemesis.start({ stage, seed: 5, log: event => events.push(event), faults: [refused] })
  await until('a refusal', () => events.some(({ what }) => what === 'refused'))
  const report = await nemesis.stop()
  expect(report.refused.refused).toBeGreaterThan(0)
  expect(report.verified).toEqual({})
  expect(report.voids).toEqual([])
})
