// `make bench`: three nodes of ours beside three of etcd, work by work, alternating round by round so that the machine's
// moods fall on both. The load of each comes from a process of its own. QUICK=1: the ratios that later changes are held
// against, in two minutes; ONLY=put,cas: some kinds; ROUNDS, SECONDS: other lengths.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { numberOf } from '../support/environment.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { startQuorate } from './quorate-peer.ts'
import { type Row, barsMissed, ratioTable, rowTable } from './report.ts'
import { sideBySide } from './side-by-side.ts'
import { works } from './work.ts'

const isQuick = process.env.QUICK !== undefined && process.env.QUICK !== ''
const rounds = numberOf('ROUNDS', isQuick ? 3 : 5, 1)
const time = { seconds: numberOf('SECONDS', isQuick ? 2 : 4, 1), warmupSeconds: isQuick ? 0.5 : 1 }
const only = process.env.ONLY?.split(',').filter(Boolean)
/** Older instants are read long after they were: etcd keeps everything unless it is told, and so do we here. */
const historyKeptMs = 24 * 60 * 60 * 1000
const outFile = join(import.meta.dirname, '../../.cache/bench.json')

const chosen = works.filter(work => only?.includes(work.kind) ?? (!isQuick || work.isQuick))

if (chosen.length === 0)
  throw new Error(`ONLY=${only}: the kinds are ${[...new Set(works.map(({ kind }) => kind))].join(', ')}`)
console.error('building etcd, starting three nodes of each')
const etcd = await EtcdCluster.start()
try {
  const ours = await startQuorate({ flags: ['--set', `historyRetentionMs=${historyKeptMs}`] })
  try {
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
    mkdirSync(join(outFile, '..'), { recursive: true })
    const settings = { rounds, ...time }
    // After each work: what fails in the end loses nothing of what was measured before.
    const keep = (measured: readonly Row[]): void => {
      const result = { at: new Date().toISOString(), machine, settings, rows: measured }
      writeFileSync(outFile, `${JSON.stringify(result, null, 2)}\n`)
    }
    const rows = await sideBySide([ours, etcd], chosen, settings, keep)
    console.log(isQuick ? ratioTable(rows) : rowTable(rows))
    console.log(`three nodes each on ${machine.cores} cores (${machine.cpu}), load included; Node ${machine.node}`)
    console.log(`medians of ${rounds} rounds of ${time.seconds} s; all samples: ${outFile}`)
    for (const missed of barsMissed(rows)) console.log(`short of its bar: ${missed}`)
  } finally {
    await ours.close()
  }
} finally {
  await etcd.close()
}
