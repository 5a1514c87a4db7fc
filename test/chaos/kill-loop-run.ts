// The kill -9 loop: one, two or all nodes of a cluster killed under load, started again, and then everything compared:
// every acknowledged write is on every node, once, and equal applied indexes have equal state hashes.

import { must } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'
import { connect } from '../../src/client/client.ts'
import { discrepancies, Load } from '../support/load.ts'
import type { NodeProcess } from '../support/node-process.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { until } from '../support/until.ts'

export interface KillLoopOptions {
  readonly cycles: number
  readonly random: Prng
  readonly size?: number
  readonly onCycle?: (text: string) => void
}

export interface KillLoopRow {
  /** How many nodes were killed at once. */
  readonly killed: string
  cycles: number
  /** Acknowledged while they were down or coming back, and before. */
  acknowledged: number
  doubtful: number
  /** From the kill to the first write acknowledged afterwards, in milliseconds. */
  readonly writeMs: number[]
  /** From the start to all equal, in milliseconds. */
  readonly equalMs: number[]
}

export interface KillLoopResult {
  readonly rows: readonly KillLoopRow[]
  readonly problems: readonly string[]
}

const warmWrites = 40
const downWrites = 15

export async function killLoop({ cycles, random, size = 3, onCycle }: KillLoopOptions): Promise<KillLoopResult> {
  await using cluster = await ProcessCluster.start({ size, proxied: false, electionTimeoutMs: 300 })
  const rows: KillLoopRow[] = ['one', 'two', 'all'].map(killed => ({
    killed,
    cycles: 0,
    acknowledged: 0,
    doubtful: 0,
    writeMs: [],
    equalMs: [],
  }))
  const problems: string[] = []
  const loads: Load[] = []
  for (let cycle = 0; cycle < cycles && problems.length === 0; cycle++) {
    const row = must(rows[cycle % rows.length])
    const begun = performance.now()
    const load = Load.start(cluster.url)
    loads.push(load)
    try {
      await load.progress(warmWrites)
      await runCycle(cluster, load, row, random)
    } catch (error) {
      problems.push(`cycle ${cycle}, ${row.killed} killed: ${error instanceof Error ? error.message : String(error)}`)
      problems.push(...cluster.nodes.map(node => `--- ${node.name}\n${node.logTail()}`))
    } finally {
      await load.stop()
    }
    if (problems.length > 0) break
    const equalBegun = performance.now()
    problems.push(...(await untilEqual(cluster)), ...(await discrepancies(cluster, load)))
    row.equalMs.push(performance.now() - equalBegun)
    row.cycles++
    row.acknowledged += load.acknowledged.size
    row.doubtful += load.doubtful.size
    const seconds = ((performance.now() - begun) / 1000).toFixed(1)
    onCycle?.(
      `cycle ${cycle + 1}/${cycles}: ${row.killed} killed, ${load.acknowledged.size} acknowledged, ${seconds} s`,
    )
  }
  // Once more, all of it: nothing that later kills have taken away.
  for (const load of loads) if (problems.length < 20) problems.push(...(await discrepancies(cluster, load)))
  return { rows, problems }
}

async function runCycle(cluster: ProcessCluster, load: Load, row: KillLoopRow, random: Prng): Promise<void> {
  const count = row.killed === 'one' ? 1 : row.killed === 'two' ? 2 : cluster.nodes.length
  const victims = pick(cluster.nodes, count, random)
  const killed = performance.now()
  await Promise.all(victims.map(node => node.kill()))
  const hasQuorum = cluster.nodes.length - count > cluster.nodes.length / 2
  // Where a quorum is left it must go on by itself, before anybody comes back.
  if (hasQuorum) await load.progress(downWrites)
  const back = hasQuorum ? killed : performance.now()
  for (const node of victims) node.start()
  if (!hasQuorum) await load.progress(downWrites)
  row.writeMs.push(performance.now() - back)
}

function pick(nodes: readonly NodeProcess[], count: number, random: Prng): readonly NodeProcess[] {
  const left = [...nodes]
  return Array.from({ length: count }, () => must(left.splice(random.below(left.length), 1)[0]))
}

/** No writes are under way: the applied indexes meet, and with them the hashes must. */
async function untilEqual(cluster: ProcessCluster): Promise<string[]> {
  const unequal = new Set<string>()
  const client = connect(cluster.url)
  try {
    await until(
      'all replicas at one index',
      async () => {
        const [range] = (await client.admin.status()).ranges
        const replicas = (range?.replicas ?? []).filter(replica => replica.reachable)
        for (const one of replicas)
          for (const other of replicas)
            if (one.applied === other.applied && one.hash !== other.hash)
              unequal.add(`at ${one.applied}, ${one.node} has hash ${one.hash} and ${other.node} ${other.hash}`)
        const isLevel = replicas.length === cluster.nodes.length && new Set(replicas.map(one => one.applied)).size === 1
        if (!isLevel && unequal.size === 0) throw new Error(JSON.stringify(replicas))
        return true
      },
      { limitMs: 30_000 },
    )
  } finally {
    client.close()
  }
  return [...unequal]
}
