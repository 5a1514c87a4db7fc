// Writers that remember what was acknowledged. Every write goes to a key of its own, so that its version tells how often it
// was applied: a key with version 2 was applied twice. What ends in an error is kept as doubtful: it may be there, or not.

import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Client } from '../../src/client/client.ts'
import { must } from '../../src/base/assert.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { until } from './until.ts'

const pauseMs = 5
let nextLoad = 1

export interface LoadOptions {
  readonly callers?: number
  readonly timeoutMs?: number
}

export class Load {
  readonly prefix = `load-${process.pid}-${nextLoad++}/`
  readonly acknowledged = new Map<string, string>()
  readonly doubtful = new Map<string, string>()
  readonly errors: unknown[] = []
  readonly #client: Client
  readonly #callers: readonly Promise<void>[]
  readonly #timeoutMs: number
  #isStopping = false
  #next = 0

  private constructor(client: Client, { callers = 8, timeoutMs = 5_000 }: LoadOptions) {
    this.#client = client
    this.#timeoutMs = timeoutMs
    this.#callers = Array.from({ length: callers }, () => this.#call())
  }

  static start(url: string, options: LoadOptions = {}): Load {
    return new Load(connect(url), options)
  }

  async #call(): Promise<void> {
    while (!this.#isStopping) {
      const key = `${this.prefix}${String(this.#next++).padStart(8, '0')}`
      const value = `value of ${key}`
      this.doubtful.set(key, value)
      try {
        await this.#client.put(key, value, { timeoutMs: this.#timeoutMs })
        this.doubtful.delete(key)
        this.acknowledged.set(key, value)
      } catch (error) {
        this.errors.push(error)
      }
      // Enough to keep writes in flight at any moment; the machine is needed for the nodes.
      await delay(pauseMs)
    }
  }

  /** Waits until this many more writes, begun from now on, have been acknowledged: the cluster makes progress. */
  async progress(count: number, limitMs = 10_000): Promise<void> {
    const goal = this.acknowledged.size + this.#callers.length + count
    await until(`${count} more acknowledged writes`, () => this.acknowledged.size >= goal || undefined, { limitMs })
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#callers)
    this.#client.close()
  }
}

/** What a replica holds that it should not, or lacks: empty when every acknowledged write is there exactly once. */
export async function discrepancies(cluster: ProcessCluster, load: Load): Promise<string[]> {
  const perNode = await Promise.all(
    cluster.nodes.map(async node => {
      const found = new Map<string, { value: string; version: number }>()
      for (const item of await node.client.scanStale(load.prefix)) {
        const key = Buffer.from(must(item.key)).toString()
        found.set(key, { value: Buffer.from(must(item.value)).toString(), version: item.version ?? 0 })
      }
      const problems: string[] = []
      for (const [key, value] of load.acknowledged) {
        const item = found.get(key)
        if (item === undefined) problems.push(`${node.name} lacks ${key}`)
        else if (item.value !== value) problems.push(`${node.name} has another value at ${key}`)
      }
      for (const [key, item] of found) {
        if (item.version !== 1) problems.push(`${node.name}: ${key} was applied ${item.version} times`)
        if (!load.acknowledged.has(key) && !load.doubtful.has(key)) problems.push(`${node.name}: nobody wrote ${key}`)
      }
      return problems
    }),
  )
  return perNode.flat()
}
