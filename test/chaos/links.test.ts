// Links that are up and bad: slow ones, ones that lose everything and reset on healing, ones that hold everything back and
// deliver it late, and client links that lose only the answers.

import { expect } from 'vitest'
import { connect } from '../../src/client/client.ts'
import { must } from '../../src/base/assert.ts'
import { quorate } from '../../src/proto/quorate.js'
import { until } from '../support/until.ts'
import { chaosSuite, type Scene } from './chaos-suite.ts'

const { READ_KIND_LINEARIZABLE } = quorate.v1.ReadKind
const latencyMs = 120
/** A second. */
const thinKilobytes = 500

async function cutOffLeader({ cluster, load }: Scene, how: 'drop' | 'hold'): Promise<void> {
  const old = await cluster.leader()
  const others = cluster.others(old.name)
  const before = must(await cluster.viewOf(old))
  await Promise.all(
    cluster
      .linksBetween(
        [old.name],
        others.map(node => node.name),
      )
      .map(link => link.cut(how)),
  )
  const next = await until('another leader', async () => {
    const leader = await cluster.leader(others)
    return leader === old ? undefined : leader
  })
  await load.progress(30)
  const behind = (await cluster.viewOf(old).catch(() => undefined))?.commit ?? 0
  expect(must(await cluster.viewOf(next)).commit).toBeGreaterThan(behind)
  expect(must(await cluster.viewOf(next)).term).toBeGreaterThan(before.term)
  await cluster.heal()
  const goal = must(await cluster.viewOf(next)).commit
  await until('the old leader catches up', async () => must(await cluster.viewOf(old)).applied >= goal, {
    limitMs: 5_000,
  })
}

chaosSuite('links', {}, ({ scenario }) => {
  scenario('slow links slow writes down and unseat nobody', async ({ cluster }) => {
    const leader = await cluster.leader()
    const before = must(await cluster.viewOf(leader))
    const others = cluster.others(leader.name)
    await Promise.all(others.map(node => cluster.link(leader.name, node.name).slow(latencyMs, 10)))
    const client = connect(cluster.url)
    try {
      const tookMs: number[] = []
      for (let turn = 0; turn < 10; turn++) {
        const start = performance.now()
        await client.put('slow', String(turn))
        tookMs.push(performance.now() - start)
      }
      expect(Math.min(...tookMs.slice(1))).toBeGreaterThan(latencyMs - 20)
    } finally {
      client.close()
    }
    const after = must(await cluster.viewOf(leader))
    expect({ leader: after.leader, term: after.term }).toEqual({ leader: before.leader, term: before.term })
  })

  scenario('one slow follower holds nobody up', async ({ cluster, load }) => {
    const leader = await cluster.leader()
    const slow = must(cluster.others(leader.name)[0])
    await cluster.link(leader.name, slow.name).slow(2_000, 0)
    const start = performance.now()
    await load.progress(100)
    expect(performance.now() - start).toBeLessThan(2_000)
    const commit = must(await cluster.viewOf(leader)).commit
    expect((await cluster.viewOf(slow))?.applied ?? 0).toBeLessThan(commit)
  })

  scenario(
    'a follower behind a link that carries less than is written goes on steadily, and is level soon after',
    async ({ cluster }) => {
      const leader = await cluster.leader()
      const slow = must(cluster.others(leader.name)[0])
      const before = must(await cluster.viewOf(leader))
      const applied = async () => must(await cluster.viewOf(slow)).applied
      await cluster.link(leader.name, slow.name).thin(thinKilobytes)
      const value = Buffer.alloc(20_000, 'v')
      const puts = 200
      await using client = connect(cluster.url)
      const seen = [await applied()]
      for (let part = 0; part < 4; part++) {
        await Promise.all(Array.from({ length: puts / 4 }, (_, at) => client.put(`thin ${at}`, value)))
        seen.push(await applied())
      }
      const commit = must(await cluster.viewOf(leader)).commit
      // The effect: it is behind what the others have committed by then.
      expect(must(seen.at(-1))).toBeLessThan(commit)
      // It has what was committed when the load ended in little more than its link needs for all of it, without a long pause.
      const limitMs = ((puts * value.length) / (thinKilobytes * 1_000)) * 1_000 * 1.5 + 3_000
      let moved = { index: must(seen.at(-1)), atMs: performance.now() }
      let longestPauseMs = 0
      await until(
        'it is level',
        async () => {
          const index = await applied()
          const atMs = performance.now()
          longestPauseMs = Math.max(longestPauseMs, atMs - moved.atMs)
          if (index > moved.index) moved = { index, atMs }
          return index >= commit
        },
        { limitMs },
      )
      // An append may be a mebibyte: two seconds of this link.
      expect(longestPauseMs).toBeLessThan(5_000)
      const after = must(await cluster.viewOf(leader))
      expect({ leader: after.leader, term: after.term }).toEqual({ leader: before.leader, term: before.term })
    },
  )

  scenario('a leader whose links lost everything, and are reset on healing, comes back', scene =>
    cutOffLeader(scene, 'drop'),
  )

  scenario('a leader whose links held everything back, and deliver it late, comes back', scene =>
    cutOffLeader(scene, 'hold'),
  )

  scenario('connections that are reset again and again only cost time', async ({ cluster, load }) => {
    const leader = await cluster.leader()
    const victims = cluster.others(leader.name).slice(0, 2)
    for (let turn = 0; turn < 3; turn++) {
      await Promise.all(
        victims.flatMap(node => cluster.linksBetween([leader.name], [node.name])).map(link => link.reset()),
      )
      await load.progress(20)
      await cluster.heal()
    }
  })

  scenario(
    'answers that are lost on the way back are asked for again, and nothing is applied twice',
    async ({ cluster, load }) => {
      for (let turn = 0; turn < 3; turn++) {
        const applied = async () => must(await cluster.viewOf(await cluster.leader())).applied
        const [appliedBefore, acknowledgedBefore] = [await applied(), load.acknowledged.size]
        await Promise.all(cluster.nodes.map(node => cluster.clientLink(node.name).cut('drop', ['downstream'])))
        const atCut = load.acknowledged.size
        // The effect: the cluster applies what the clients never hear of.
        await until('a write is applied whose answer is lost', async () => (await applied()) > appliedBefore)
        expect(load.acknowledged.size - atCut).toBeLessThan(20)
        expect(load.acknowledged.size).toBeGreaterThanOrEqual(acknowledgedBefore)
        await cluster.heal()
        await load.progress(20)
      }
      // Every write was in a session: what was retried got its first outcome, so no caller saw an error.
      expect(load.errors).toEqual([])
    },
    { timeoutMs: 30_000 },
  )

  scenario('a step by compare-and-set whose answer is lost is not taken for a failed one', async ({ cluster }) => {
    await using client = connect(cluster.url, { timeoutMs: 30_000 })
    let count = 0
    let isCounting = true
    await client.put('counter', '0')
    // The only writer: a step that fails has met its own effect, which is to say that it was applied twice.
    const step = async () => {
      const { swapped } = await client.compareAndSet('counter', String(count), String(count + 1))
      if (!swapped) throw new Error(`step ${count + 1} was applied twice`)
      count++
    }
    const counting = (async () => {
      while (isCounting) await step()
    })()
    counting.catch(() => {})
    try {
      for (let turn = 0; turn < 3; turn++) {
        const goal = count + 10
        await until('the counter moves', () => count >= goal)
        await Promise.all(cluster.nodes.map(node => cluster.clientLink(node.name).cut('drop', ['downstream'])))
        const leader = await cluster.leader()
        // The effect: a step was applied and its answer lost.
        const stored = async () => Number(await leader.client.get('counter', READ_KIND_LINEARIZABLE))
        await until('a step nobody heard of', async () => (await stored()) === count + 1)
        await cluster.heal()
      }
    } finally {
      isCounting = false
    }
    await counting
    expect(await client.getText('counter')).toBe(String(count))
  })
})
