// `make bench-growth`: one thing grows, everything else stays, and each cost is held against it: keys, replicas, value sizes,
// history. What costs more an operation where there is not more to do is a bug. KEYS_MAX=10000000 for the longest (an hour).

import Table from 'cli-table3'
import { numberOf } from '../support/environment.ts'
import { type Peer, fill, measure } from './peer.ts'
import { startQuorate } from './quorate-peer.ts'
import { type Work, keysUsual, nameOf, valueBytesUsual } from './work.ts'

const keysMax = numberOf('KEYS_MAX', 1_000_000, 10_000)
const time = { seconds: numberOf('SECONDS', 5, 1), warmupSeconds: 1 }
const usual = { callers: 256, valueBytes: valueBytesUsual, keys: keysUsual, scanKeys: 0, isQuick: false }
/** Rounds of puts between two looks, for the growth of history. */
const historyRounds = 6

const table = new Table({
  head: ['what grows', '', 'work', 'operations a second', 'p99 ms', 'CPU of all servers, µs', 'MiB of all servers'],
  style: { head: [], border: [] },
})

async function look(peer: Peer, grown: string, size: string, work: Work, at: string): Promise<void> {
  const { perSecond, p99Ms, cpuMicros, residentMib } = await measure(peer, work, at, time)
  const ofServers = (values: Readonly<Record<string, number>>): number =>
    Object.entries(values).reduce((sum, [name, value]) => (name === 'load' ? sum : sum + value), 0)
  const figures = [Math.round(perSecond).toLocaleString('en'), p99Ms.toFixed(1)]
  const used = [ofServers(cpuMicros).toFixed(1), Math.round(ofServers(residentMib)).toLocaleString('en')]
  table.push([grown, size, work.kind, ...figures, ...used])
  process.stderr.write(`${grown} ${size}: ${nameOf(work)}: ${figures.join('/s, p99 ')} ms\n`)
}

async function withPeer(size: number, use: (peer: Peer) => Promise<void>): Promise<void> {
  const peer = await startQuorate({ size })
  try {
    await use(peer)
  } finally {
    await peer.close()
  }
}

const kinds = ['put', 'get', 'scan'] as const
const workOf = (kind: (typeof kinds)[number], changes: Partial<Work> = {}): Work =>
  kind === 'scan' ? { ...usual, kind, callers: 16, scanKeys: 100, ...changes } : { ...usual, kind, ...changes }

for (let keys = 10_000; keys <= keysMax; keys *= 10)
  await withPeer(3, async peer => {
    const at = await fill(peer, { keys, valueBytes: valueBytesUsual })
    for (const kind of kinds) await look(peer, 'keys', keys.toLocaleString('en'), workOf(kind, { keys }), at)
  })
for (const replicas of [1, 3, 5])
  await withPeer(replicas, async peer => {
    const at = await fill(peer, usual)
    for (const kind of kinds) await look(peer, 'replicas', String(replicas), workOf(kind), at)
  })
await withPeer(3, async peer => {
  for (const valueBytes of [64, 256, 1_024, 4_096, 16_384, 65_536]) {
    const shape = { valueBytes, keys: 2_000 }
    const at = await fill(peer, shape)
    for (const kind of kinds) await look(peer, 'bytes a value', String(valueBytes), workOf(kind, shape), at)
  }
})
await withPeer(3, async peer => {
  const keys = 10_000
  const at = await fill(peer, { keys, valueBytes: valueBytesUsual })
  for (let round = 1; round <= historyRounds; round++) {
    const age = `${round} × ${time.seconds} s of puts`
    for (const kind of kinds) await look(peer, 'history', age, workOf(kind, { keys }), at)
    await look(peer, 'history', age, { ...usual, kind: 'at', keys, callers: 64 }, at)
  }
})
console.log(table.toString())
