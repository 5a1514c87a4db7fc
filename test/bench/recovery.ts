// `make bench-recovery`: how long a node needs until it serves again, with STATE_MIB=1024 of state and with ENTRIES=100000 in
// its log that the engine has not seen; and how fast a snapshot brings an empty node up, while others write.

import Table from 'cli-table3'
import { must } from '../../src/base/assert.ts'
import { quorate } from '../../src/proto/quorate.js'
import { numberOf } from '../support/environment.ts'
import type { NodeProcess } from '../support/node-process.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { until } from '../support/until.ts'
import { type Peer, fill, measure } from './peer.ts'
import { peerOf } from './quorate-peer.ts'
import type { Work } from './work.ts'

const stateMib = numberOf('STATE_MIB', 1_024, 1)
const entriesWanted = numberOf('ENTRIES', 100_000, 1_000)
const valueBytes = 4_096
const keys = Math.ceil((stateMib * 1024 * 1024) / valueBytes)
const limitMs = 600_000
const writes: Work = { kind: 'put', callers: 64, valueBytes, keys, scanKeys: 0, isQuick: false }
const seconds = 10

const { READ_KIND_LINEARIZABLE } = quorate.v1.ReadKind

const table = new Table({ head: ['', 'measured', 'bar'], style: { head: [], border: [] } })
const note = (text: string): void => void process.stderr.write(`${text}\n`)

/** Milliseconds from the start of its process until the node answers a linearizable read. */
async function startToServing(node: NodeProcess): Promise<number> {
  const begunMs = performance.now()
  node.start()
  const read = () => node.client.get('any', READ_KIND_LINEARIZABLE, 1_000).then(() => true)
  await until(`${node.name} serves`, read, { limitMs })
  return performance.now() - begunMs
}

const appliedBy = async (cluster: ProcessCluster, node: NodeProcess): Promise<number> =>
  (await cluster.viewOf(node).catch(() => undefined))?.applied ?? 0

async function followerOf(cluster: ProcessCluster): Promise<NodeProcess> {
  return must(cluster.others((await cluster.leader()).name)[0])
}

async function restarts(cluster: ProcessCluster): Promise<void> {
  for (const [how, end] of [
    ['stopped', (node: NodeProcess) => node.terminate()],
    ['killed', (node: NodeProcess) => node.kill()],
  ] as const) {
    const node = await followerOf(cluster)
    await end(node)
    const tookMs = await startToServing(node)
    table.push([`restart with ${stateMib} MiB, ${how}`, `${(tookMs / 1000).toFixed(2)} s`, '≤ 5 s'])
    note(`${how}: ${Math.round(tookMs)} ms`)
    await cluster.untilHealthy(limitMs)
  }
}

/** What the engine has not seen of ten seconds of puts is replayed from the log. */
async function restartAfterLoad(cluster: ProcessCluster, peer: Peer): Promise<void> {
  const node = await followerOf(cluster)
  const full: Work = { ...writes, callers: 256, keys: 100_000, valueBytes: 256 }
  const { perSecond } = await measure(peer, full, '0', { seconds, warmupSeconds: 0 })
  await node.kill()
  const tookMs = await startToServing(node)
  table.push([
    `restart, killed after ${seconds} s of ${Math.round(perSecond)} puts a second`,
    `${(tookMs / 1000).toFixed(2)} s`,
    '≤ 5 s',
  ])
  note(`killed after puts: ${Math.round(tookMs)} ms`)
  await cluster.untilHealthy(limitMs)
}

/** A node that has lost everything starts; milliseconds until it has what the others had then. */
async function rebuild(cluster: ProcessCluster, node: NodeProcess): Promise<number> {
  const target = await appliedBy(cluster, await cluster.leader())
  const begunMs = performance.now()
  node.start()
  await until(`${node.name} has it all`, async () => (await appliedBy(cluster, node)) >= target, { limitMs })
  return performance.now() - begunMs
}

function addRate(what: string, tookMs: number): void {
  const rate = (stateMib * 1_048.576) / tookMs
  const measured = `${(tookMs / 1000).toFixed(1)} s, ${rate.toFixed(0)} MB/s`
  table.push([`snapshot of ${stateMib} MiB to an empty node, ${what}`, measured, '≥ 100 MB/s'])
  note(`snapshot, ${what}: ${measured}`)
}

async function snapshot(cluster: ProcessCluster, peer: Peer): Promise<void> {
  const node = await followerOf(cluster)
  await node.terminate()
  node.wipe()
  addRate('idle', await rebuild(cluster, node))
  await cluster.untilHealthy(limitMs)
  await node.terminate()
  node.wipe()
  // Two of three, as during the transfer.
  const before = await measure(peer, writes, '0', { seconds, warmupSeconds: 1 })
  let meanwhileP99Ms = 0
  let isWhole = false
  const tookMs = rebuild(cluster, node).finally(() => {
    isWhole = true
  })
  tookMs.catch(() => {}) // heard of below, once the load has ended
  while (!isWhole)
    meanwhileP99Ms = Math.max(
      meanwhileP99Ms,
      (await measure(peer, writes, '0', { seconds: seconds / 2, warmupSeconds: 0.5 })).p99Ms,
    )
  addRate('64 callers writing', await tookMs)
  const factor = meanwhileP99Ms / before.p99Ms
  table.push([
    'p99 of puts meanwhile, 64 callers',
    `${before.p99Ms.toFixed(1)} → ${meanwhileP99Ms.toFixed(1)} ms, ${factor.toFixed(1)} ×`,
    '≤ 2 ×',
  ])
}

async function unapplied(cluster: ProcessCluster, peer: Peer): Promise<void> {
  const node = await followerOf(cluster)
  const begun = await appliedBy(cluster, node)
  // Small ones, so that they are less than the engine is given at once.
  const single: Work = { ...writes, callers: 1, keys: 10_000, valueBytes: 16 }
  let entries = 0
  while (entries < entriesWanted) {
    await measure(peer, single, '0', { seconds, warmupSeconds: 0 })
    entries = (await appliedBy(cluster, node)) - begun
    note(`${entries} entries`)
  }
  await node.kill()
  const tookMs = await startToServing(node)
  table.push([`restart with ${entries} unapplied entries`, `${(tookMs / 1000).toFixed(2)} s`, '≤ 5 s'])
}

async function withCluster(flags: readonly string[], use: (cluster: ProcessCluster, peer: Peer) => Promise<void>) {
  await using cluster = await ProcessCluster.start({
    size: 3,
    proxied: false,
    electionTimeoutMs: 1_000,
    flags: ['--log-level', 'warn', ...flags],
  })
  await use(cluster, peerOf(cluster))
}

await withCluster([], async (cluster, peer) => {
  note(`filling ${keys} keys of ${valueBytes} bytes`)
  await fill(peer, { keys, valueBytes })
  await restarts(cluster)
  await restartAfterLoad(cluster, peer)
  await snapshot(cluster, peer)
})
const mebibyte = 1024 * 1024
const neverFlushed = [
  'engineFlushMs=3600000',
  `engineFlushBytes=${256 * mebibyte}`,
  `engineDirtyBytes=${1024 * mebibyte}`,
].flatMap(limit => ['--set', limit])
await withCluster(neverFlushed, unapplied)
console.log(table.toString())
