// `make bench`: durable puts and linearizable gets, three nodes each, ours beside etcd, alternating round by round so that
// the machine's moods fall on both. Medians of the rounds; the load of each comes from a process of its own.

import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Table from 'cli-table3'
import { ProcessCluster } from '../support/process-cluster.ts'
import { EtcdCluster, etcdLoad } from './etcd-cluster.ts'

const run = promisify(execFile)
const quick = process.argv.includes('--quick')
const rounds = quick ? 1 : 5
const seconds = quick ? 2 : 4
const warmupSeconds = quick ? 0.5 : 1
const keys = 100_000
const valueBytes = 256
const etcdConnections = 8
const callerCounts = [1, 64, 256]
const works = ['put', 'get'] as const
const outFile = join(import.meta.dirname, '../../.cache/bench.json')

interface Sample {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: number
}

type Load = (work: string, callers: number) => Promise<Sample | undefined>

function loadOf(command: string, fixed: readonly string[]): Load {
  return async (work, callers) => {
    const shape = ['-work', work, '-callers', String(callers), '-keys', String(keys), '-size', String(valueBytes)]
    const time = ['-seconds', String(seconds), '-warmup', String(warmupSeconds)]
    const { stdout } = await run(command, [...fixed, ...shape, ...time], { timeout: 300_000 })
    return stdout.trim() === '' ? undefined : (JSON.parse(stdout) as Sample)
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

function summarise(samples: readonly Sample[]): Sample {
  return {
    perSecond: median(samples.map(sample => sample.perSecond)),
    p50Ms: median(samples.map(sample => sample.p50Ms)),
    p99Ms: median(samples.map(sample => sample.p99Ms)),
    errors: samples.reduce((sum, sample) => sum + sample.errors, 0),
  }
}

const note = (text: string) => process.stderr.write(`${text}\n`)

note('building etcd, starting three nodes of each')
const etcd = await EtcdCluster.start()
const ours = await ProcessCluster.start({ size: 3, proxied: false, flags: ['--log-level', 'warn'] }).catch(
  async (error: unknown) => {
    await etcd.close()
    throw error
  },
)
try {
  const loads: Readonly<Record<'quorate' | 'etcd', Load>> = {
    quorate: loadOf(process.execPath, [join(import.meta.dirname, 'load.ts'), '-url', ours.url]),
    etcd: loadOf(etcdLoad, ['-endpoints', etcd.endpoints, '-connections', String(etcdConnections)]),
  }
  note(`filling ${keys.toLocaleString('en')} keys`)
  await loads.quorate('fill', 256)
  await loads.etcd('fill', 256)
  const rows = []
  for (const work of works) {
    for (const callers of callerCounts) {
      const samples: Record<'quorate' | 'etcd', Sample[]> = { quorate: [], etcd: [] }
      for (let round = 0; round < rounds; round++) {
        for (const name of ['quorate', 'etcd'] as const) {
          const sample = await loads[name](work, callers)
          if (sample === undefined) throw new Error(`the load on ${name} printed nothing`)
          samples[name].push(sample)
          note(`${work} ${callers} callers, round ${round + 1}/${rounds}, ${name}: ${Math.round(sample.perSecond)}/s`)
        }
      }
      const quorate = summarise(samples.quorate)
      const other = summarise(samples.etcd)
      rows.push({ work, callers, quorate, etcd: other, ratio: quorate.perSecond / other.perSecond, samples })
    }
  }
  const table = new Table({
    head: ['', 'callers', 'quorate /s', 'p50 ms', 'p99 ms', 'etcd /s', 'p50 ms', 'p99 ms', 'ratio'],
    style: { head: [], border: [] },
  })
  for (const { work, callers, quorate, etcd: other, ratio } of rows) {
    const cells = (sample: Sample) => [
      Math.round(sample.perSecond).toLocaleString('en'),
      sample.p50Ms.toFixed(2),
      sample.p99Ms.toFixed(2),
    ]
    table.push([work, callers, ...cells(quorate), ...cells(other), `${ratio.toFixed(1)} ×`])
    if (quorate.errors + other.errors > 0) note(`errors: quorate ${quorate.errors}, etcd ${other.errors}`)
  }
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
  mkdirSync(join(outFile, '..'), { recursive: true })
  const settings = { rounds, seconds, warmupSeconds, keys, valueBytes, etcdConnections }
  writeFileSync(outFile, `${JSON.stringify({ at: new Date().toISOString(), machine, settings, rows }, null, 2)}\n`)
  console.log(table.toString())
  console.log(
    `three nodes each on ${machine.cores} cores (${machine.cpu}), load included; ${valueBytes}-byte values, ${keys} keys`,
  )
  console.log('medians of the rounds; every sample is in .cache/bench.json')
} finally {
  await ours.close()
  await etcd.close()
}
