// A small load generator: callers that each wait for their answer before they ask again.

import { type Command, Option } from 'commander'
import type { Client } from '../client/client.ts'
import { createPrng } from '../base/prng.ts'
import { systemClock } from '../time/system-clock.ts'
import { parseSeconds, parseWhole } from './arguments.ts'
import type { CommandContext } from './cli.ts'
import { type Progress, createProgress, exitCodes } from './io.ts'
import { addSessionOptions, runSession } from './session.ts'
import { table } from './text.ts'

interface BenchFlags {
  readonly callers: number
  readonly seconds: number
  readonly valueBytes: number
  readonly keys: number
  readonly workload: 'put' | 'get' | 'mixed'
  readonly prefix: string
}

interface BenchResult {
  readonly workload: string
  readonly callers: number
  readonly seconds: number
  readonly operations: number
  readonly errors: number
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export function addBenchCommand(program: Command, { io, run }: CommandContext): void {
  addSessionOptions(
    program.command('bench').description('put load on the cluster and say how fast it answered'),
    'write',
  )
    .option('--callers <count>', 'operations under way at a time', parseWhole(1, 65_536), 64)
    .option('--seconds <seconds>', 'how long', parseSeconds, 5)
    .option('--value-bytes <bytes>', 'size of a value', parseWhole(0, 1024 * 1024), 256)
    .option('--keys <count>', 'how many different keys', parseWhole(1), 10_000)
    .option('--prefix <prefix>', 'what the keys begin with; they stay afterwards', 'bench/')
    .addOption(new Option('--workload <kind>', 'what to do').choices(['put', 'get', 'mixed']).default('put'))
    .action(
      run(flags =>
        runSession(io, flags, async ({ client, print }) => {
          const progress = createProgress(io)
          try {
            const result = await runBench(client, flags as unknown as BenchFlags, io.signal, progress)
            progress.end()
            await print(benchTable(result), result)
            return exitCodes.done
          } finally {
            progress.end()
          }
        }),
      ),
    )
}

async function runBench(
  client: Client,
  flags: BenchFlags,
  signal: AbortSignal,
  progress: Progress,
): Promise<BenchResult> {
  const { callers, seconds, valueBytes, keys, workload, prefix } = flags
  const prng = createPrng(1)
  const value = Buffer.from(Array.from({ length: valueBytes }, () => prng.below(256)))
  // So that the first measured operation pays for no connection, and an unreachable cluster fails at once.
  await client.put(`${prefix}0`, value)
  const latenciesMs: number[] = []
  let errors = 0
  let lastError: Error | undefined
  const startMs = systemClock.monotonicMs()
  const endMs = startMs + seconds * 1000
  const caller = async (): Promise<void> => {
    for (;;) {
      const beganMs = systemClock.monotonicMs()
      if (beganMs >= endMs || signal.aborted) return
      const key = prefix + prng.below(keys)
      const isPut = workload === 'put' || (workload === 'mixed' && prng.below(2) === 0)
      try {
        await (isPut ? client.put(key, value) : client.get(key))
        latenciesMs.push(systemClock.monotonicMs() - beganMs)
      } catch (error) {
        errors++
        lastError = error as Error
      }
    }
  }
  const report = (): void => {
    const elapsedMs = systemClock.monotonicMs() - startMs
    progress.show(
      `${Math.round(elapsedMs / 1000)} s of ${seconds} s, ${Math.round((latenciesMs.length / elapsedMs) * 1000)} operations a second`,
    )
    timer = systemClock.setTimer(500, report)
  }
  let timer = systemClock.setTimer(500, report)
  await Promise.all(Array.from({ length: callers }, caller))
  timer.cancel()
  if (latenciesMs.length === 0 && lastError !== undefined) throw lastError
  const elapsedSeconds = (systemClock.monotonicMs() - startMs) / 1000
  const sorted = Float64Array.from(latenciesMs).sort()
  const percentile = (part: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
  return {
    workload,
    callers,
    seconds: round(elapsedSeconds),
    operations: sorted.length,
    errors,
    opsPerSecond: Math.round(sorted.length / elapsedSeconds),
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    maxMs: percentile(1),
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}

function benchTable(result: BenchResult): string {
  return table(
    [
      ['WORKLOAD', 'left'],
      ['CALLERS', 'right'],
      ['OPS/S', 'right'],
      ['P50 MS', 'right'],
      ['P99 MS', 'right'],
      ['MAX MS', 'right'],
      ['ERRORS', 'right'],
    ],
    [[result.workload, result.callers, result.opsPerSecond, result.p50Ms, result.p99Ms, result.maxMs, result.errors]],
  )
}
