// Some nodes see some others: a sample of the directed cut sets of three nodes and of the bridge topologies of five. Wherever
// somebody has links both ways with a majority, writes go on within three election timeouts and the leader changes at most
// twice; where nobody has, nothing is acknowledged. In each cut set node 0 is whoever leads when the links are cut.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { connect } from '../../src/client/client.ts'
import {
  bridgeCutSets,
  bridgeShapes,
  connectedQuorums,
  type CutSet,
  mustElect,
  neighboursOf,
  placed,
  threeNodeCutSets,
} from '../support/cut-sets.ts'
import type { NodeProcess } from '../support/node-process.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { toxiproxyMissing } from '../support/toxiproxy.ts'
import { until } from '../support/until.ts'

const missing = await toxiproxyMissing()
const electionTimeoutMs = 300
const resumeMsMax = 3 * electionTimeoutMs
/** Writes go on for so long after the cut: leaders that go on replacing each other would do so within it. */
const watchMs = 5 * electionTimeoutMs
const leaderChangesMax = 2

const threeNodeSample = [
  '0→1',
  '0→1 1→0',
  '0→1 0→2',
  '1→0 2→0',
  '0→1 2→0',
  '0→1 1→0 1→2 2→1',
  // One way round is left: nobody hears whom it is heard by.
  '0→1 1→2 2→0',
].map(name => must(threeNodeCutSets().find(cutSet => cutSet.name === name)))

/** Where the leader stands in the shape. */
const bridgeSample = [
  { shape: 'two pairs joined by a bridge node', leaderAt: 0 },
  { shape: 'chain', leaderAt: 0 },
  { shape: 'star', leaderAt: 1 },
].map(({ shape, leaderAt }) => {
  const places = [0, 1, 2, 3, 4].map(place => (place === leaderAt ? 0 : place === 0 ? leaderAt : place))
  return placed(must(bridgeShapes.find(topology => topology.shape === shape)), places)
})

async function cut(cluster: ProcessCluster, cutSet: CutSet, nodes: readonly NodeProcess[]): Promise<void> {
  const name = (node: number): string => must(nodes[node]).name
  // What `from` sends travels up the link that it dialled, and down the one that it was dialled by.
  await Promise.all(
    cutSet.cuts.flatMap(({ from, to }) => [
      cluster.link(name(from), name(to)).cut('drop', ['upstream']),
      cluster.link(name(to), name(from)).cut('drop', ['downstream']),
    ]),
  )
}

/** Everyone says that it reaches its neighbours, and nobody else. */
async function untilCutShows(cutSet: CutSet, nodes: readonly NodeProcess[]): Promise<void> {
  const neighbours = nodes.map((_, node) => neighboursOf(cutSet, node).map(other => must(nodes[other]).name))
  await until('the cut shows', async () => {
    const seen = await Promise.all(nodes.map(liveAt))
    if (JSON.stringify(seen) === JSON.stringify(neighbours.map(names => names.toSorted()))) return true
    throw new Error(`${JSON.stringify(seen)} instead of ${JSON.stringify(neighbours)}`)
  })
}

async function liveAt(node: NodeProcess): Promise<string[]> {
  const { nodes } = await node.client.status(true)
  return (nodes ?? []).flatMap(({ live, record }) => (live && record?.id ? [record.id] : [])).toSorted()
}

/** Of the highest term that any of them knows. */
async function newestTerm(nodes: readonly NodeProcess[]): Promise<number> {
  const statuses = await Promise.all(nodes.map(node => node.client.status(true)))
  return Math.max(...statuses.map(({ ranges }) => ranges[0]?.term ?? 0))
}

function partialPartitions(size: number, sample: readonly CutSet[]): void {
  describe.skipIf(missing !== undefined)(`${size} nodes of which some see some others`, () => {
    let cluster: ProcessCluster
    beforeAll(async () => {
      cluster = await ProcessCluster.start({ size, electionTimeoutMs })
    })
    afterAll(async () => {
      await cluster?.close()
    })

    test.each(sample.filter(cutSet => connectedQuorums(cutSet).length > 0))('$name: writes go on', async cutSet => {
      expect(mustElect(cutSet, 0)).toBe(true)
      await cluster.restore()
      const leader = await cluster.leader()
      const nodes = [leader, ...cluster.others(leader.name)]
      const key = `partial/${cutSet.name}`
      await using client = connect(cluster.url, { timeoutMs: 10_000 })
      await client.put(key, 'before')
      await cluster.untilHealthy()
      const termBefore = await newestTerm(nodes)
      await cut(cluster, cutSet, nodes)
      const start = performance.now()
      let writes = 0
      await client.put(key, String(++writes))
      const resumedMs = performance.now() - start
      while (performance.now() - start < watchMs) await client.put(key, String(++writes))
      await untilCutShows(cutSet, nodes)
      const changes = (await newestTerm(nodes)) - termBefore
      await cluster.heal()
      await cluster.untilHealthy()
      console.log(
        `${cutSet.name}: writes after ${Math.round(resumedMs)} ms, ${changes} leader changes, ${writes} writes`,
      )
      expect(changes).toBeLessThanOrEqual(leaderChangesMax)
      expect(resumedMs).toBeLessThanOrEqual(resumeMsMax)
      expect(await client.getText(key)).toBe(String(writes))
    })

    test.each(sample.filter(cutSet => connectedQuorums(cutSet).length === 0))(
      '$name: nothing is acknowledged, and healing is enough',
      async cutSet => {
        await cluster.restore()
        const leader = await cluster.leader()
        const nodes = [leader, ...cluster.others(leader.name)]
        await using client = connect(cluster.url, { timeoutMs: watchMs })
        await client.put('partial/none', 'before')
        await cut(cluster, cutSet, nodes)
        await expect(client.put('partial/none', 'meanwhile')).rejects.toThrow()
        await untilCutShows(cutSet, nodes)
        await cluster.heal()
        await cluster.untilHealthy()
        await client.put('partial/none', 'after')
      },
    )
  })
}

describe('what may be asked of a cluster that is partly cut', () => {
  test('of the 64 cut sets of three nodes, the 37 that leave some link whole leave a quorum that elects', () => {
    const cutSets = threeNodeCutSets()
    const connected = cutSets.filter(cutSet => connectedQuorums(cutSet).length > 0)
    expect([cutSets.length, connected.length]).toEqual([64, 37])
    expect(connected.every(cutSet => mustElect(cutSet))).toBe(true)
  })

  test('in every bridge topology of five a leader that reaches someone can be replaced, if it must', () => {
    for (const cutSet of bridgeCutSets()) {
      expect(connectedQuorums(cutSet)).not.toEqual([])
      for (let leader = 0; leader < cutSet.size; leader++) {
        const isAlone = neighboursOf(cutSet, leader).length === 1
        if (!isAlone) expect({ cutSet, elects: mustElect(cutSet, leader) }).toEqual({ cutSet, elects: true })
      }
    }
  })
})

partialPartitions(3, threeNodeSample)
partialPartitions(5, bridgeSample)
