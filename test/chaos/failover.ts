// How long the cluster is without a leader: the leader is killed again and again under a light load, and the time counts from
// the kill to the first acknowledgement of a write that began after it. Then how long a node that was cut off needs to have
// everything again once its links are healed.

import { type Client, connect } from '../../src/client/client.ts'
import { must } from '../../src/base/assert.ts'
import { Load } from '../support/load.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { until } from '../support/until.ts'

const kills = Number(process.argv[2] ?? 20)
const cuts = Math.ceil(kills / 4)
const callers = 8

function summary(what: string, tookMs: readonly number[]): string {
  const sorted = [...tookMs].sort((a, b) => a - b)
  const at = (quantile: number) => Math.round(sorted[Math.round(quantile * (sorted.length - 1))] ?? Number.NaN)
  return `${what.padEnd(34)} ${String(sorted.length).padStart(3)} ×   median ${at(0.5)} ms   worst ${at(1)} ms`
}

/** Several writes are begun at once, as a client under load would: one of them is the first to be answered. */
async function firstWriteMs(client: Client, since: number): Promise<number> {
  await until(
    'a write after the kill',
    () =>
      Promise.any(
        Array.from({ length: callers }, (_, n) => client.put(`failover/${n}`, String(since)).then(() => true)),
      ),
    { intervalMs: 1 },
  )
  return performance.now() - since
}

await using cluster = await ProcessCluster.start()
const client = connect(cluster.url)
try {
  const failoverMs: number[] = []
  for (let turn = 0; turn < kills; turn++) {
    const leader = await cluster.leader()
    await client.put('failover/before', 'x')
    const killed = leader.kill()
    failoverMs.push(await firstWriteMs(client, performance.now()))
    await killed
    leader.start()
    await cluster.untilHealthy()
    process.stderr.write(`kill ${turn + 1}/${kills}: ${Math.round(must(failoverMs.at(-1)))} ms\n`)
  }
  const rejoinMs: number[] = []
  for (let turn = 0; turn < cuts; turn++) {
    const leader = await cluster.leader()
    const victim = must(cluster.others(leader.name)[turn % 4])
    const others = cluster.others(victim.name).map(node => node.name)
    const load = Load.start(cluster.url)
    await Promise.all(cluster.linksBetween([victim.name], others).map(link => link.cut('drop')))
    await load.progress(200)
    const goal = must(await cluster.viewOf(await cluster.leader(cluster.others(victim.name)))).commit
    await cluster.heal()
    const healed = performance.now()
    await until('the node has caught up', async () => must(await cluster.viewOf(victim)).applied >= goal, {
      intervalMs: 5,
    })
    rejoinMs.push(performance.now() - healed)
    await load.stop()
    await cluster.untilHealthy()
  }
  console.log(summary('leader killed → acknowledged write', failoverMs))
  console.log(summary('links healed → node caught up', rejoinMs))
} finally {
  client.close()
}
