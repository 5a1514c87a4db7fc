// Networks that fall apart in ways that a plain two-sided cut does not show: the leader alone, a leader that hears but is
// not heard, one node that sees both sides.

import { expect } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { Link } from '../support/toxiproxy.ts'
import type { NodeProcess } from '../support/node-process.ts'
import { until } from '../support/until.ts'
import { chaosSuite, type Scene } from './chaos-suite.ts'

const { READ_KIND_LINEARIZABLE, READ_KIND_STALE } = quorate.v1.ReadKind
const refusalLimitMs = 1_500

async function cutAll(links: readonly Link[]): Promise<void> {
  await Promise.all(links.map(link => link.cut('drop')))
}

/** A side without a quorum takes no write and serves no linearizable read, though it still answers stale ones. */
async function expectPowerless(node: NodeProcess, knownKey: string): Promise<void> {
  await expect(node.client.put('minority', 'must not be', refusalLimitMs)).rejects.toThrow()
  await expect(node.client.get(knownKey, READ_KIND_LINEARIZABLE, refusalLimitMs)).rejects.toThrow()
  expect(await node.client.get(knownKey, READ_KIND_STALE)).toBeDefined()
}

async function anAcknowledgedKey({ load }: Scene): Promise<string> {
  await load.progress(10)
  return must(load.acknowledged.keys().next().value)
}

chaosSuite('partitions', {}, ({ scenario }) => {
  scenario('a leader that is cut off is replaced, and serves nothing meanwhile', async scene => {
    const { cluster, load } = scene
    const known = await anAcknowledgedKey(scene)
    const old = await cluster.leader()
    const others = cluster.others(old.name)
    await cutAll(
      cluster.linksBetween(
        [old.name],
        others.map(node => node.name),
      ),
    )
    await until('another leader', async () => (await cluster.leader(others)) !== old)
    await expectPowerless(old, known)
    await load.progress(30)
  })

  scenario('the majority goes on without a minority of two that holds the leader', async scene => {
    const { cluster, load } = scene
    const known = await anAcknowledgedKey(scene)
    const old = await cluster.leader()
    const companion = must(cluster.others(old.name)[0])
    const majority = cluster.others(old.name, companion.name)
    await cutAll(
      cluster.linksBetween(
        [old.name, companion.name],
        majority.map(node => node.name),
      ),
    )
    await until('a leader in the majority', async () => majority.includes(await cluster.leader(majority)))
    await expectPowerless(old, known)
    await expectPowerless(companion, known)
    await load.progress(30)
  })

  scenario('a leader that is not heard is replaced', async ({ cluster, load }) => {
    const old = await cluster.leader()
    const others = cluster.others(old.name)
    await Promise.all(others.map(node => cluster.link(old.name, node.name).cut('drop', ['upstream'])))
    await until('another leader', async () => (await cluster.leader(others)) !== old)
    await load.progress(30)
  })

  scenario('a leader that hears nobody steps down', async ({ cluster, load }) => {
    const old = await cluster.leader()
    const others = cluster.others(old.name)
    await Promise.all(others.map(node => cluster.link(node.name, old.name).cut('drop', ['upstream'])))
    await until('another leader', async () => (await cluster.leader(others)) !== old)
    await load.progress(30)
  })

  scenario(
    'with one node bridging two halves the cluster goes on, and terms do not run away',
    async ({ cluster, load }) => {
      const leader = await cluster.leader()
      const [bridge, third, fourth, fifth] = cluster.others(leader.name)
      const left = [leader.name, must(third).name]
      const right = [must(fourth).name, must(fifth).name]
      await cutAll(cluster.linksBetween(left, right))
      // The effect of the cut: the far side falls behind, or learns of entries only from a leader it can reach.
      await load.progress(30)
      const before = must(await cluster.viewOf(must(bridge)))
      await load.progress(60)
      const after = must(await cluster.viewOf(must(bridge)))
      expect(after.commit).toBeGreaterThan(before.commit)
      expect(after.term - before.term).toBeLessThanOrEqual(1)
      // Whoever leads is followed by the bridge; the side that it cannot reach has no say.
      expect([...left, must(bridge).name, ...right]).toContain(after.leader)
      const far = left.includes(after.leader) ? right : right.includes(after.leader) ? left : []
      for (const name of far) {
        const view = await cluster.viewOf(cluster.node(name))
        expect(view?.commit ?? 0).toBeLessThan(after.commit)
      }
    },
  )
})
