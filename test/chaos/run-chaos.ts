// One run of chaos: five real nodes behind Toxiproxy, a workload whose history is recorded, a nemesis; then everything is
// healed, the nodes must agree on one state, and Porcupine must find an order for all that the clients saw.

import { mkdirSync, createWriteStream, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, connect } from '../../src/client/client.ts'
import { findToxiproxy } from '../../src/cli/local-cluster-proxies.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { until, within } from '../support/until.ts'
import { FakeClocks } from './faults/fake-clocks.ts'
import type { Fault } from './faults/fault.ts'
import { History } from './history.ts'
import { LeaderWatch } from './run-leaders.ts'
import { Nemesis, type NemesisEvent, type NemesisReport } from './nemesis.ts'
import { checkHistory, type Verdict } from './porcupine.ts'
import { Workload } from './workload.ts'
import { judgeWorkload, type WorkloadReport } from './workload-report.ts'

export interface ChaosOptions {
  readonly seed: number
  /** How long the nemesis is at work. */
  readonly lengthMs: number
  /** Made anew; everything is in it: data, logs, history, schedule. */
  readonly folder: string
  readonly electionTimeoutMs?: number
  readonly faults?: readonly Fault[]
  readonly clients?: number
  /** With fewer operations that come out ok, the run is void. Default 300 (PROOF.md 2). */
  readonly okPerSecondMin?: number
  readonly say?: (line: string) => void
  /** Ends the nemesis' time early; all the rest is done as ever. */
  readonly signal?: AbortSignal
}

export type ChaosVerdict = 'ok' | 'illegal' | 'unknown' | 'void' | 'failed'

export interface ChaosReport {
  readonly verdict: ChaosVerdict
  /** Why, when it is not ok. */
  readonly reasons: readonly string[]
  readonly seed: number
  readonly folder: string
  readonly workload: WorkloadReport
  readonly nemesis: NemesisReport
  readonly leaderChanges: number
  readonly terms: number
  readonly history: Verdict | undefined
  /** From the last healing until all agreed. */
  readonly convergedMs: number | undefined
}

const size = 5
const diskBytes = 768 * 1024 * 1024
const nodesWithSmallDisks = ['n4', 'n5']
/** Many, for those whose node is cut off wait, and the others have to keep the rate up. */
const clientsDefault = 40
const rate = 1_500
const settleMs = 2_000
const convergeLimitMs = 60_000
/** Beyond the nemesis' time: start, healing, convergence, the check. */
const overheadLimitMs = 20 * 60_000

/** Rejects only when the run could not be made; whatever it found is in the report. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  rmSync(options.folder, { recursive: true, force: true })
  mkdirSync(options.folder, { recursive: true })
  await findToxiproxy()
  const clocks = await FakeClocks.create(join(options.folder, 'clocks'))
  const disks = new Map<string, SmallDisk>()
  try {
    for (const name of nodesWithSmallDisks) disks.set(name, await SmallDisk.mount(diskBytes))
    return await runOn(options, clocks, disks)
  } finally {
    for (const disk of disks.values()) await disk.close()
  }
}

async function runOn(
  options: ChaosOptions,
  clocks: FakeClocks,
  disks: ReadonlyMap<string, SmallDisk>,
): Promise<ChaosReport> {
  const { folder, electionTimeoutMs = 300, say = () => {} } = options
  await using cluster = await ProcessCluster.start({
    size,
    folder,
    electionTimeoutMs,
    peculiar: name => {
      const disk = disks.get(name)
      return {
        environment: clocks.environment(name),
        onEnd: pid => clocks.ended(pid),
        ...(disk && { data: join(disk.path, 'data') }),
      }
    },
  })
  say(`five nodes are up; the nemesis gets ${Math.round(options.lengthMs / 1_000)} s`)
  const client = connect(cluster.url)
  try {
    const run = runWith(options, { cluster, clocks, disks, client, electionTimeoutMs })
    return await within('the whole run', options.lengthMs + overheadLimitMs, run)
  } finally {
    client.close()
  }
}

interface Stagehands {
  readonly cluster: ProcessCluster
  readonly clocks: FakeClocks
  readonly disks: ReadonlyMap<string, SmallDisk>
  readonly client: Client
  readonly electionTimeoutMs: number
}

async function runWith(options: ChaosOptions, stage: Stagehands): Promise<ChaosReport> {
  const { folder, seed, say = () => {} } = options
  const { cluster } = stage
  const history = new History(join(folder, 'history.jsonl'))
  const schedule = createWriteStream(join(folder, 'schedule.jsonl'))
  const log = (event: NemesisEvent): void => {
    schedule.write(`${JSON.stringify(event)}\n`)
    if (event.what !== 'injected')
      say(`${(event.atMs / 1_000).toFixed(1).padStart(7)} s  ${event.what.padEnd(8)} ${event.fault}: ${event.describe}`)
  }
  const leaders = LeaderWatch.start(cluster)
  const workload = Workload.start({
    url: cluster.url,
    nodes: cluster.nodes.map(({ name }) => ({ name, address: cluster.clientLink(name).listen })),
    history,
    seed,
    clients: options.clients ?? clientsDefault,
    rate,
  })
  const nemesis = Nemesis.start({ stage, seed, log, ...(options.faults && { faults: options.faults }) })
  await delay(options.lengthMs, undefined, { signal: options.signal }).catch(() => {})
  const nemesisReport = await nemesis.stop()
  const healedMs = performance.now()
  const failures: string[] = [...nemesisReport.failures]
  // Under load still: the cluster must come to agree by itself, and clients must get through again.
  await cluster.untilHealthy(convergeLimitMs).catch((error: unknown) => failures.push(text(error)))
  await delay(settleMs)
  const workloadReport = await workload.stop()
  await history.close()
  const convergence = await untilEqual(cluster).then(
    () => performance.now() - healedMs,
    (error: unknown) => text(error),
  )
  if (typeof convergence === 'string') failures.push(convergence)
  const { leaderChanges, terms } = await leaders.stop()
  schedule.end()
  const checked = await checkHistory(history.path).catch((error: unknown) => text(error))
  if (typeof checked === 'string') failures.push(checked)
  const report = judged({
    seed,
    folder,
    workload: workloadReport,
    nemesis: nemesisReport,
    leaderChanges,
    terms,
    history: typeof checked === 'string' ? undefined : checked,
    convergedMs: typeof convergence === 'string' ? undefined : convergence,
    failures,
    okPerSecondMin: options.okPerSecondMin,
  })
  writeFileSync(join(folder, 'report.json'), JSON.stringify(report, undefined, 2))
  await finish(cluster, report)
  return report
}

/** The worst that was found comes first: wrong answers, then a cluster that broke, then a run that says nothing. */
function judged(
  found: Omit<ChaosReport, 'verdict' | 'reasons'> & {
    readonly failures: readonly string[]
    readonly okPerSecondMin: number | undefined
  },
): ChaosReport {
  const { failures, okPerSecondMin, ...report } = found
  const history = report.history?.verdict
  const { isVoid, reasons: weaknesses } = judgeWorkload(report.workload, okPerSecondMin)
  const voids = report.nemesis.voids.map(fault => `without effect: ${fault}`)
  const reasons = [
    ...(history === undefined || history === 'ok'
      ? []
      : [`the history is ${history}: ${JSON.stringify(report.history?.bad)}`]),
    ...failures,
    ...weaknesses,
    ...voids,
  ]
  const isIllegal = history === 'illegal'
  const isFailed = failures.length > 0
  const verdict = isIllegal
    ? 'illegal'
    : isFailed
      ? 'failed'
      : history === 'unknown'
        ? 'unknown'
        : isVoid || voids.length > 0
          ? 'void'
          : 'ok'
  return { verdict, reasons, ...report }
}

/** All replicas at one index with one running hash; nobody writes any more. */
async function untilEqual(cluster: ProcessCluster): Promise<void> {
  await until(
    'all nodes have one state',
    async () => {
      const states = await Promise.all(
        cluster.nodes.map(async node => {
          const { ranges } = await node.client.status(true)
          return `${ranges[0]?.applied}:${ranges[0]?.hash}`
        }),
      )
      if (new Set(states).size === 1) return true
      throw new Error(states.join(' '))
    },
    { limitMs: convergeLimitMs, intervalMs: 100 },
  )
}

/** After a good run only the small things stay: history, schedule, logs, report. */
async function finish(cluster: ProcessCluster, { verdict, folder }: ChaosReport): Promise<void> {
  await Promise.all(cluster.nodes.map(node => node.terminate()))
  for (const node of cluster.nodes) {
    if (verdict === 'ok') node.wipe()
    else if (node.dataDirectory.startsWith(folder) === false)
      // Its disk goes with the run; what was on it stays.
      node.keepData(join(folder, node.name, 'data'))
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
