// One system under load: where its servers run, and what puts load on it. The load is a process of its own, which says on
// its output when the measured time begins and ends, so that what the servers used in it can be told.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { must } from '../../src/base/assert.ts'
import type { Sample } from './sample.ts'
import { type Usage, diskWrittenBytes, usageOf } from './usage.ts'
import { type Work, flagsOf } from './work.ts'

export interface Server {
  readonly name: string
  readonly pid: number
}

/** Something to put load on. */
export interface Target {
  readonly name: string
  /** By the part that they play now. */
  servers(): Promise<readonly Server[]>
  /** The load program and the flags that name this system. */
  readonly load: readonly [command: string, ...flags: readonly string[]]
  close(): Promise<void>
}

/** A cluster of three. */
export interface Peer extends Target {
  /** kill -9 of whoever leads; the result brings it back, and resolves when all is well again. */
  killLeader(): Promise<() => Promise<void>>
}

export interface RoundTime {
  readonly seconds: number
  readonly warmupSeconds: number
}

/** What the load programs print. */
interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly gapMs: number
  readonly errors: number
  readonly writtenBytes: number
}

const fillCallers = 256
/** Beyond the time that was asked for: what a load may take to connect and to end. */
const graceMs = 60_000
const fillLimitMs = 3_600_000

/** Writes every key of `work` once, and returns the instant after it, in the terms of `peer`. */
export async function fill(peer: Target, work: Pick<Work, 'keys' | 'valueBytes'>): Promise<string> {
  const flags = flagsOf({ ...work, kind: 'put', callers: fillCallers, scanKeys: 0, isQuick: false }, '0')
  const line = await runLoad(peer, ['-fill', 'true', ...flags], fillLimitMs, () => {})
  return must(JSON.parse(line) as { at?: string }).at ?? '0'
}

/** `onBegun`: the measured time has begun. Of servers that end in it, CPU and memory are those of before. */
export async function measure(
  peer: Target,
  work: Work,
  at: string,
  time: RoundTime,
  onBegun: () => void = () => {},
): Promise<Sample> {
  const servers = await peer.servers()
  const before = new Map<string, Usage>()
  const after = new Map<string, Usage>()
  const written: number[] = []
  const look = (into: Map<string, Usage>, loadPid: number): void => {
    written.push(diskWrittenBytes(tmpdir()))
    for (const { name, pid } of [...servers, { name: 'load', pid: loadPid }])
      into.set(name, usageOf(pid) ?? must(before.get(name)))
  }
  const flags = [...flagsOf(work, at), '-seconds', String(time.seconds), '-warmup', String(time.warmupSeconds)]
  const limitMs = (time.seconds + time.warmupSeconds) * 1000 + graceMs
  const line = await runLoad(peer, flags, limitMs, (mark, pid) => {
    look(mark === 'begin' ? before : after, pid)
    if (mark === 'begin') onBegun()
  })
  const measured = JSON.parse(line) as Measured
  const operations = measured.perSecond * time.seconds
  const used = (name: string, pick: (usage: Usage) => number): number =>
    pick(must(after.get(name), 'the load said when it ended')) - pick(must(before.get(name)))
  const names = [...before.keys()]
  const [writtenBefore = Number.NaN, writtenAfter = Number.NaN] = written
  return {
    perSecond: measured.perSecond,
    p50Ms: measured.p50Ms,
    p99Ms: measured.p99Ms,
    p999Ms: measured.p999Ms,
    gapMs: measured.gapMs,
    errors: measured.errors,
    cpuMicros: Object.fromEntries(names.map(name => [name, used(name, usage => usage.cpuMicros) / operations])),
    residentMib: Object.fromEntries(names.map(name => [name, must(after.get(name)).residentMib])),
    writeFactor: measured.writtenBytes === 0 ? 0 : (writtenAfter - writtenBefore) / measured.writtenBytes,
  }
}

/** Returns the last line that the load prints; `onMark` is called for those before it. */
async function runLoad(
  { name, load: [command, ...fixed] }: Target,
  flags: readonly string[],
  limitMs: number,
  onMark: (mark: string, pid: number) => void,
): Promise<string> {
  const child = spawn(command, [...fixed, ...flags], { stdio: ['ignore', 'pipe', 'inherit'], timeout: limitMs })
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  let last = ''
  for await (const line of createInterface(child.stdout)) {
    if (line === 'begin' || line === 'end') onMark(line, must(child.pid))
    else last = line
  }
  const [code, signal] = await ended
  if (code !== 0) throw new Error(`the load on ${name} ended with ${code ?? signal}: ${flags.join(' ')}`)
  return last
}
