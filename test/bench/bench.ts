// `make bench`: three nodes of ours beside three of etcd, work by work, alternating round by round so that the machine's
// moods fall on both. The load of each comes from a process of its own. QUICK=1: the ratios that later changes are held
// against, in two minutes; ONLY=put,cas: some kinds; ROUNDS, SECONDS: other lengths.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { numberOf } from '../support/environment.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { type Peer, fill, measure } from './peer.ts'
import { startQuorate } from './quorate-peer.ts'
import { type Row, barsMissed, ratioTable, rowTable } from './report.ts'
import { type Sample, ratioOf, summarise } from './sample.ts'
import { type Work, keysUsual, nameOf, valueBytesUsual, works } from './work.ts'

const isQuick = process.env.QUICK !== undefined && process.env.QUICK !== ''
const rounds = numberOf('ROUNDS', isQuick ? 3 : 5, 1)
const time = { seconds: numberOf('SECONDS', isQuick ? 2 : 4, 1), warmupSeconds: isQuick ? 0.5 : 1 }
const only = process.env.ONLY?.split(',').filter(Boolean)
const outFile = join(import.meta.dirname, '../../.cache/bench.json')

const note = (text: string): void => void process.stderr.write(`${text}\n`)
const chosen = works.filter(work => only?.includes(work.kind) ?? (!isQuick || work.isQuick))

/** Which keys were filled, and the instant after that, by system. */
class Fills {
  readonly #instants = new Map<string, string>()

  async instant(peer: Peer, { keys, valueBytes }: Work): Promise<string> {
    // Fewer keys of the same size are some of those that are there.
    const filled = { valueBytes, keys: valueBytes === valueBytesUsual ? keysUsual : keys }
    const id = `${peer.name} ${filled.valueBytes}`
    if (!this.#instants.has(id)) {
      note(`${peer.name}: filling ${filled.keys} keys of ${valueBytes} bytes`)
      this.#instants.set(id, await fill(peer, filled))
    }
    return must(this.#instants.get(id))
  }
}

async function run(peers: readonly [Peer, Peer]): Promise<Row[]> {
  const fills = new Fills()
  const rows: Row[] = []
  for (const work of chosen) {
    const samples: [Sample[], Sample[]] = [[], []]
    for (const peer of peers) await fills.instant(peer, work)
    for (let round = 1; round <= rounds; round++) {
      for (const side of [0, 1] as const) {
        const sample = await measure(peers[side], work, await fills.instant(peers[side], work), time)
        samples[side].push(sample)
        note(`${nameOf(work)}, round ${round}/${rounds}, ${peers[side].name}: ${Math.round(sample.perSecond)}/s`)
      }
    }
    const [ours, theirs] = samples
    rows.push({
      work,
      ours: summarise(ours),
      theirs: summarise(theirs),
      ratio: ratioOf(ours, theirs, sample => sample.perSecond),
      p50Ratio: ratioOf(ours, theirs, sample => sample.p50Ms),
      samples,
    })
  }
  return rows
}

if (chosen.length === 0)
  throw new Error(`ONLY=${only}: the kinds are ${[...new Set(works.map(({ kind }) => kind))].join(', ')}`)
note('building etcd, starting three nodes of each')
const etcd = await EtcdCluster.start()
try {
  const ours = await startQuorate()
  try {
    const rows = await run([ours, etcd])
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
    mkdirSync(join(outFile, '..'), { recursive: true })
    const settings = { rounds, ...time }
    writeFileSync(outFile, `${JSON.stringify({ at: new Date().toISOString(), machine, settings, rows }, null, 2)}\n`)
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
