// `make bench-profile`: where the CPU goes. Runs one kind of work (WORK=put, CALLERS=256, SECONDS=8) on three nodes under V8's
// profiler, prints the functions that took most of each process, and keeps the profiles for a flame graph.

import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { numberOf } from '../support/environment.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { fill, measure } from './peer.ts'
import { peerOf } from './quorate-peer.ts'
import { type Work, type WorkKind, keysUsual, valueBytesUsual } from './work.ts'

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const checkout = join(import.meta.dirname, '../..')
const folder = join(checkout, '.cache/profiles')
const kind = (process.env.WORK ?? 'put') as WorkKind
const callers = numberOf('CALLERS', 256, 1)
const seconds = numberOf('SECONDS', 8, 1)
const top = numberOf('TOP', 45, 1)

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const profiler = (name: string) => ({ NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${join(folder, name)}` })
const cluster = await ProcessCluster.start({
  size: 3,
  proxied: false,
  electionTimeoutMs: 2_000,
  flags: ['--log-level', 'warn'],
  peculiar: name => ({ environment: profiler(name) }),
})
let leader = ''
try {
  const plain = peerOf(cluster)
  const shape = { valueBytes: valueBytesUsual, keys: keysUsual }
  const at = await fill(plain, shape)
  const work: Work = { kind, callers, ...shape, scanKeys: kind === 'scan' ? 100 : 0, isQuick: false }
  leader = (await cluster.leader()).name
  const [command, ...flags] = plain.load
  const profiled = {
    ...plain,
    load: [command, '--cpu-prof', `--cpu-prof-dir=${join(folder, 'load')}`, ...flags] as const,
  }
  const sample = await measure(profiled, work, at, { seconds, warmupSeconds: 1 })
  console.log(
    `${Math.round(sample.perSecond)}/s, p50 ${sample.p50Ms} ms, p99 ${sample.p99Ms} ms; CPU µs an operation:`,
    sample.cpuMicros,
  )
  await Promise.all(cluster.nodes.map(node => node.terminate()))
} finally {
  await cluster.close()
}

const follower = must(cluster.nodes.find(node => node.name !== leader)).name
for (const [part, name] of [
  ['load', 'load'],
  ['leader', leader],
  ['follower', follower],
] as const) {
  const [file] = readdirSync(join(folder, name))
  const path = join(folder, name, must(file, `${name} left no profile`))
  print(`${part} (${relative(checkout, path)})`, JSON.parse(readFileSync(path, 'utf8')) as CpuProfile)
}
process.exit(0)

function print(title: string, { nodes, samples, timeDeltas }: CpuProfile): void {
  const selfMicros = new Map<number, number>()
  samples.forEach((id, at) => selfMicros.set(id, (selfMicros.get(id) ?? 0) + (timeDeltas[at] ?? 0)))
  const byPlace = new Map<string, number>()
  let busy = 0
  for (const { id, callFrame } of nodes) {
    const micros = selfMicros.get(id) ?? 0
    if (callFrame.functionName === '(idle)') continue
    busy += micros
    const file = callFrame.url.replace(/^file:\/\//, '').replace(`${checkout}/`, '')
    const place = `${callFrame.functionName || '(anonymous)'} ${file}:${callFrame.lineNumber + 1}`
    byPlace.set(place, (byPlace.get(place) ?? 0) + micros)
  }
  console.log(`\n${title}: busy ${(busy / 1000).toFixed(0)} ms`)
  for (const [place, micros] of [...byPlace].sort((a, b) => b[1] - a[1]).slice(0, top))
    console.log(`${((100 * micros) / busy).toFixed(1).padStart(5)} %  ${place}`)
}
