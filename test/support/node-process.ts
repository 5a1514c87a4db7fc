// One `quorate start` as a child process: started, killed, paused, wiped, and asked by HTTP and gRPC.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { NodeClient } from './node-client.ts'
import { until } from './until.ts'

const checkout = join(import.meta.dirname, '../..')
const logTailBytes = 2_000

export interface NodePlace {
  readonly name: string
  readonly client: string
  readonly peer: string
  readonly http: string
  readonly folder: string
  readonly flags: readonly string[]
}

export class NodeProcess {
  readonly name: string
  readonly place: NodePlace
  /** Straight to the node, past any proxy. */
  readonly client: NodeClient
  #child: ChildProcess | undefined

  constructor(place: NodePlace) {
    this.name = place.name
    this.place = place
    this.client = new NodeClient(place.client)
    mkdirSync(place.folder, { recursive: true })
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#child?.pid : undefined
  }

  /** Harmless when it runs. */
  start(): void {
    if (this.isRunning) return
    const { name, client, peer, http, folder, flags } = this.place
    const log = openSync(join(folder, 'log'), 'a')
    const where = ['--data', join(folder, 'data'), '--listen', client, '--peer-listen', peer, '--http-listen', http]
    this.#child = spawn(process.execPath, ['src/quorate.js', 'start', '--node', name, ...where, ...flags], {
      cwd: checkout,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
  }

  async untilLive(limitMs = 20_000): Promise<void> {
    await until(
      `${this.name} is live`,
      async () => {
        if (!this.isRunning) throw new Error(`${this.name} ended:\n${this.logTail()}`)
        const response = await fetch(`http://${this.place.http}/livez`, { signal: AbortSignal.timeout(1_000) })
        return response.ok
      },
      { limitMs },
    )
  }

  async #signalled(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.isRunning) return
    const ended = once(child, 'exit')
    child.kill(signal)
    // A paused process takes SIGTERM only once it runs again.
    if (signal !== 'SIGKILL') child.kill('SIGCONT')
    await ended
  }

  /** SIGKILL, as a power cut would: resolves when the process is gone. */
  kill(): Promise<void> {
    return this.#signalled('SIGKILL')
  }

  terminate(): Promise<void> {
    return this.#signalled('SIGTERM')
  }

  pause(): void {
    if (this.isRunning) this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    if (this.isRunning) this.#child?.kill('SIGCONT')
  }

  /** The node must not run: its data directory goes, its name and flags stay. */
  wipe(): void {
    if (this.isRunning) throw new Error(`${this.name} runs: kill it before you wipe it`)
    rmSync(join(this.place.folder, 'data'), { recursive: true, force: true })
  }

  /** The value of a sample on /metrics, by its exact name and labels. */
  async metric(sample: string): Promise<number> {
    const response = await fetch(`http://${this.place.http}/metrics`, { signal: AbortSignal.timeout(2_000) })
    const line = (await response.text()).split('\n').find(candidate => candidate.startsWith(`${sample} `))
    if (line === undefined) throw new Error(`${this.name} has no metric ${sample}`)
    return Number(line.slice(sample.length + 1))
  }

  logTail(): string {
    const path = join(this.place.folder, 'log')
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-logTailBytes) : '(no log)'
  }

  async close(): Promise<void> {
    this.client.close()
    await this.kill()
  }
}
