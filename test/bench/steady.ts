// `make bench-steady`: MINUTES=60 of puts at SHARE=50 % of what three nodes can do, with history collected after a minute. What
// should stay as it is (memory, latency, disk) is looked at every LOOK=30 seconds, and its slope told; so is how late the event
// loops ran (SHARE=80 for that bar). Operations begin when they are due, whatever the ones before do.

import Table from 'cli-table3'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { numberOf } from '../support/environment.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import type { LoopDelay } from './loop-probe.ts'
import { fill, measure } from './peer.ts'
import { peerOf } from './quorate-peer.ts'
import { usageOf } from './usage.ts'
import { type Work, keysUsual, valueBytesUsual } from './work.ts'

interface Look {
  readonly minutes: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** The mean of what was there each second: it goes up and down by a third with every engine flush. */
  readonly residentMib: number
  readonly diskMib: number
}

const minutes = numberOf('MINUTES', 60, 1)
const share = numberOf('SHARE', 50, 1)
const lookSeconds = numberOf('LOOK', 30, 5)
const highestSeconds = 10
const retentionMs = 60_000
/** Until memory and disk hold what they will hold: history of a minute, caches that are full. */
const settlingPart = 0.3
const slopeMax = 1
const sampleMs = 1_000

const note = (text: string): void => void process.stderr.write(`${text}\n`)
const work: Work = {
  kind: 'put',
  callers: 256,
  valueBytes: valueBytesUsual,
  keys: keysUsual,
  scanKeys: 0,
  isQuick: false,
}

interface Slope {
  readonly percent: number
  /** One standard error. */
  readonly error: number
}

/** Percent of the mean that the line of least squares rises over the time of `looks`. */
function slopeOf(looks: readonly Look[], pick: (look: Look) => number): Slope {
  const mean = (of: (look: Look) => number): number => looks.reduce((sum, look) => sum + of(look), 0) / looks.length
  const time = (look: Look): number => look.minutes
  const meanTime = mean(time)
  const meanValue = mean(pick)
  const along = mean(look => (time(look) - meanTime) * (pick(look) - meanValue))
  const spread = mean(look => (time(look) - meanTime) ** 2)
  const span = must(looks.at(-1)).minutes - must(looks[0]).minutes
  const perMinute = along / spread
  const beside = mean(look => (pick(look) - meanValue - perMinute * (time(look) - meanTime)) ** 2)
  const error = Math.sqrt(beside / (spread * Math.max(1, looks.length - 2)))
  const percent = (span * 100) / meanValue
  return { percent: perMinute * percent, error: error * percent }
}

/** The mean over the time that `run` takes, of all `pids` together. */
async function residentDuring<T>(pids: readonly number[], run: () => Promise<T>): Promise<[result: T, mib: number]> {
  const samples: number[] = []
  const timer = setInterval(() => {
    samples.push(pids.reduce((sum, pid) => sum + (usageOf(pid)?.residentMib ?? Number.NaN), 0))
  }, sampleMs)
  try {
    const result = await run()
    return [result, samples.reduce((sum, mib) => sum + mib, 0) / samples.length]
  } finally {
    clearInterval(timer)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'quorate-steady-'))
const probe = (name: string): string => join(folder, `${name}.loop`)
try {
  const looks: Look[] = []
  await using cluster = await ProcessCluster.start({
    size: 3,
    proxied: false,
    electionTimeoutMs: 1_000,
    flags: ['--log-level', 'warn', '--set', `historyRetentionMs=${retentionMs}`],
    folder,
    peculiar: name => ({
      environment: {
        NODE_OPTIONS: `--import=${new URL('loop-probe.ts', import.meta.url)}`,
        LOOP_PROBE: probe(name),
      },
    }),
  })
  const peer = peerOf(cluster)
  await fill(peer, work)
  const highest = (await measure(peer, work, '0', { seconds: highestSeconds, warmupSeconds: 2 })).perSecond
  const rate = Math.round((highest * share) / 100)
  note(`${Math.round(highest)} puts a second at most; from now on ${rate}`)
  const steady = { ...peer, load: [...peer.load, '-rate', String(rate)] as const }
  await measure(steady, work, '0', { seconds: highestSeconds, warmupSeconds: 0 })
  const pids = cluster.nodes.map(node => must(node.pid))
  for (const pid of pids) process.kill(pid, 'SIGUSR2')
  const leader = (await cluster.leader()).name
  const begunMs = performance.now()
  while (performance.now() - begunMs < minutes * 60_000) {
    const [sample, residentMib] = await residentDuring(pids, () =>
      measure(steady, work, '0', { seconds: lookSeconds, warmupSeconds: 2 }),
    )
    const diskKib = Number(execFileSync('du', ['-sk', folder], { encoding: 'utf8' }).split('\t')[0])
    const look: Look = {
      minutes: (performance.now() - begunMs) / 60_000,
      perSecond: sample.perSecond,
      p50Ms: sample.p50Ms,
      p99Ms: sample.p99Ms,
      residentMib,
      diskMib: diskKib / 1024,
    }
    looks.push(look)
    note(
      Object.entries(look)
        .map(([name, value]) => `${name} ${value.toFixed(1)}`)
        .join('  '),
    )
    if (sample.errors > 0) throw new Error(`${sample.errors} operations failed`)
  }
  await Promise.all(cluster.nodes.map(node => node.terminate()))

  const settled = looks.slice(Math.floor(looks.length * settlingPart))
  const table = new Table({
    head: ['', 'first', 'last', 'least', 'most', 'slope over the time, standard error'],
    style: { head: [], border: [] },
  })
  for (const name of ['perSecond', 'p50Ms', 'p99Ms', 'residentMib', 'diskMib'] as const) {
    const values = settled.map(look => look[name])
    const slope = slopeOf(settled, look => look[name])
    const figures = [must(values[0]), must(values.at(-1)), Math.min(...values), Math.max(...values)]
    table.push([
      name,
      ...figures.map(value => value.toFixed(1)),
      `${slope.percent.toFixed(2)} % ± ${slope.error.toFixed(2)}`,
    ])
    if (name === 'residentMib' && !(slope.percent < slopeMax))
      note(`short of its bar: memory rises by ${slope.percent.toFixed(2)} %, bar < ${slopeMax} %`)
  }
  console.log(table.toString())
  console.log(
    `${rate} puts a second, ${share} % of ${Math.round(highest)}, for ${minutes} minutes; the first ${settlingPart * 100} % left out`,
  )
  for (const { name } of cluster.nodes) {
    const late = JSON.parse(readFileSync(probe(name), 'utf8')) as LoopDelay
    const role = name === leader ? 'leader' : 'follower'
    const figures = Object.entries(late).map(([what, value]: [string, number]) => `${what} ${value.toFixed(1)}`)
    console.log(`event loop of ${name} (${role}) late by: ${figures.join(', ')}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
