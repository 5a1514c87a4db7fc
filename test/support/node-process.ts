// One `quorate start` as a child process: started, killed, paused, wiped, and asked by HTTP and gRPC.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runtimeEnvironment, runtimeOptions } from '../../src/cli/runtime-options.ts'
import { NodeClient } from './node-client.ts'
import { until } from './until.ts'

const checkout = join(import.meta.dirname, '../..')
const logTailBytes = 2_000
/** Many nodes on one disk. */
const smallBallast = ['--set', 'diskBallastBytes=1048576']

export interface NodePlace {
  readonly name: string
  readonly client: string
  readonly peer: string
  readonly http: string
  readonly folder: string
  readonly flags: readonly string[]
  /** The data directory; `data` in the folder when absent. */
  readonly data?: string
  /** Beside what this process has in its own. */
  readonly environment?: Readonly<Record<string, string>>
  /** Called whenever the process has ended, whoever ended it. */
  readonly onEnd?: (pid: number) => void
}

export class NodeProcess {
  readonly name: string
  #place: NodePlace
  /** Straight to the node, past any proxy. */
  readonly client: NodeClient
  #child: ChildProcess | undefined
  #isClosed = false

  constructor(place: NodePlace) {
    this.name = place.name
    this.#place = place
    this.client = new NodeClient(place.client)
    mkdirSync(place.folder, { recursive: true })
  }

  get place(): NodePlace {
    return this.#place
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  get dataDirectory(): string {
    return this.place.data ?? join(this.place.folder, 'data')
  }

  get logPath(): string {
    return join(this.place.folder, 'log')
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#child?.pid : undefined
  }

  /** Harmless when it runs, and once it is closed: whoever is late must leave no process behind. */
  start(): void {
    if (this.isRunning || this.#isClosed) return
    const { name, client, peer, http, flags, environment } = this.place
    const log = openSync(this.logPath, 'a')
    const where = ['--data', this.dataDirectory, '--listen', client, '--peer-listen', peer, '--http-listen', http]
    const command = [...runtimeOptions, 'src/quorate.js', 'start', '--node', name, ...where, ...smallBallast, ...flags]
    this.#child = spawn(process.execPath, command, {
      cwd: checkout,
      stdio: ['ignore', log, log],
      env: { ...runtimeEnvironment, ...process.env, ...environment },
    })
    closeSync(log)
    const { pid } = this.#child
    if (pid !== undefined) this.#child.once('exit', () => this.place.onEnd?.(pid))
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

  /** The node must not run: from its next start on, other nodes are to reach it there. */
  movePeerListener(peer: string): void {
    if (this.isRunning) throw new Error(`${this.name} runs: end it before it moves`)
    this.#place = { ...this.#place, peer }
  }

  /** The node must not run: its data directory goes, its name and flags stay. */
  wipe(): void {
    if (this.isRunning) throw new Error(`${this.name} runs: kill it before you wipe it`)
    rmSync(this.dataDirectory, { recursive: true, force: true })
  }

  /** The node must not run: a copy of its data directory, for whoever looks later. */
  keepData(at: string): void {
    if (this.isRunning) throw new Error(`${this.name} runs: end it before you copy its data`)
    cpSync(this.dataDirectory, at, { recursive: true })
  }

  /** The value of a sample on /metrics, by its exact name and labels. */
  async metric(sample: string): Promise<number> {
    const response = await fetch(`http://${this.place.http}/metrics`, { signal: AbortSignal.timeout(2_000) })
    const line = (await response.text()).split('\n').find(candidate => candidate.startsWith(`${sample} `))
    if (line === undefined) throw new Error(`${this.name} has no metric ${sample}`)
    return Number(line.slice(sample.length + 1))
  }

  logTail(): string {
    const path = this.logPath
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-logTailBytes) : '(no log)'
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.client.close()
    await this.kill()
  }
}
