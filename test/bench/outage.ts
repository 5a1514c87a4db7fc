// `make bench-outage`: how long nobody's write succeeds after kill -9 of the leader, ours beside etcd's, ROUNDS=10 times each, at
// etcd's own timeouts: election after 1,000 ms, a heartbeat every 100.

import Table from 'cli-table3'
import { numberOf } from '../support/environment.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { type Peer, fill, measure } from './peer.ts'
import { startQuorate } from './quorate-peer.ts'
import { median } from './sample.ts'
import type { Work } from './work.ts'

const rounds = numberOf('ROUNDS', 10, 1)
const electionTimeoutMs = 1_000
/** Long enough for an election that has to be held twice. */
const seconds = 8
/** Spread over the servers, so that some of them still talk to one that lives. */
const work: Work = { kind: 'put', callers: 24, valueBytes: 256, keys: 1_000, scanKeys: 0, isQuick: false }

async function outage(peer: Peer): Promise<number> {
  let restore: Promise<() => Promise<void>> | undefined
  const { gapMs } = await measure(peer, work, '0', { seconds, warmupSeconds: 1 }, () => {
    restore = peer.killLeader()
    restore.catch(() => {}) // heard of below, once the load has ended
  })
  await (await restore)?.()
  process.stderr.write(`${peer.name}: ${Math.round(gapMs)} ms\n`)
  return gapMs
}

const etcd = await EtcdCluster.start()
try {
  const ours = await startQuorate({ electionTimeoutMs, flags: ['--heartbeat', '100'] })
  try {
    const peers = [ours, etcd]
    const gaps = new Map(peers.map(peer => [peer, [] as number[]]))
    for (const peer of peers) await fill(peer, work)
    for (let round = 1; round <= rounds; round++) for (const peer of peers) gaps.get(peer)?.push(await outage(peer))
    const table = new Table({ head: ['leader killed', 'median ms', 'least', 'most'], style: { head: [], border: [] } })
    for (const [{ name }, all] of gaps)
      table.push([
        name,
        ...[median(all), Math.min(...all), Math.max(...all)].map(ms => Math.round(ms).toLocaleString('en')),
      ])
    console.log(table.toString())
  } finally {
    await ours.close()
  }
} finally {
  await etcd.close()
}
