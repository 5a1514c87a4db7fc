// A client of the simulated cluster: one operation after another against whichever node, over a link that loses requests and
// answers. It keeps the same session number through retries, as the SDK does.

import { strict as assert } from 'node:assert'
import type { KvErrorLike } from './history.ts'
import type { NodeId } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { NodeCore } from '../../src/node-core.ts'
import { quorate } from '../../src/proto/quorate.js'
import { timestampFromUnixMs } from '../../src/time/timestamp.ts'
import type { History } from './history.ts'
import { type Operation, drawOperation } from './operation.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const attemptMs = 1_500
const attemptsMax = 6
const notAfterMs = 20_000

export interface Answer<T> {
  readonly value: T | undefined
  /** undefined with no value: nothing was heard. */
  readonly error: KvErrorLike | undefined
  /** What the node that was asked had applied, and closed, when it answered. */
  readonly applied: number
  readonly closed: number
}

export class SimClient {
  readonly #world: World
  readonly #history: History
  readonly #prng: Prng
  readonly #name: string
  readonly #session: Uint8Array
  #number = 0
  #floor = 1
  #clock = 0
  /** The stamp of the newest thing seen: a session token. */
  #token = 0
  #isStopped = false

  constructor(world: World, history: History, prng: Prng, at: number) {
    this.#world = world
    this.#history = history
    this.#prng = prng
    this.#name = `c${at}`
    this.#session = Uint8Array.from({ length: 16 }, () => prng.below(256))
  }

  start(): void {
    this.#loop().catch((error: unknown) => this.#world.fail(error))
  }

  stop(): void {
    this.#isStopped = true
  }

  async #loop(): Promise<void> {
    while (!this.#isStopped) {
      await this.#pause(this.#world.options.thinkMs * 2 * this.#prng.next())
      // It asks for instants that may not be over: what is stamped below them may still be on its way.
      const now = Math.max(this.#clock, timestampFromUnixMs(Math.floor(this.#world.unixMs)))
      const operation = drawOperation(this.#prng, this.#name, ++this.#number, now, this.#token)
      if (operation.kind === 'write') await this.#write(operation)
      else if (operation.kind === 'scan') await this.#scan(operation)
      else await this.#read(operation)
      this.#floor = this.#number + 1
    }
  }

  async #write(operation: Operation & { kind: 'write' }): Promise<void> {
    const invoked = this.#history.invoke()
    const notAfter = Math.max(this.#clock, timestampFromUnixMs(Math.floor(this.#world.unixMs))) + notAfterMs * 4_096
    const writes = quorate.v1.WriteBatch.encode({
      session: operation.isSessionless ? new Uint8Array(0) : this.#session,
      floor: operation.isSessionless ? 0 : this.#floor,
      notAfter: operation.isSessionless ? 0 : notAfter,
      writes: operation.writes.map((write, at) => ({ ...write, number: this.#number + at })),
    }).finish()
    const first = this.#number
    this.#number += operation.writes.length - 1
    let isCertain = true
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const answer = await this.#call(core =>
        core.gateway.batch({ header: { clock: this.#clock, timeoutMs: attemptMs }, writes }),
      )
      const response = answer.value
      const error = response?.error ?? answer.error
      if (response !== undefined && !error) {
        this.#saw(response.header?.clock ?? 0)
        this.#history.wrote(operation, this.#session, first, invoked, response.outcomes ?? [])
        return
      }
      const isRefused = error !== undefined && error !== null && this.#history.isCertainlyNotApplied(error.code ?? '')
      if (!isRefused) isCertain = false
      // Without a session nothing may be sent twice.
      if (this.#isStopped || (operation.isSessionless && !isRefused)) break
      await this.#pause(this.#prng.next() * 200)
    }
    this.#history.gaveUp(operation, this.#session, first, isCertain)
  }

  async #read(operation: Operation & { kind: 'read' }): Promise<void> {
    const invoked = this.#history.invoke()
    const { keys, options } = operation
    const answer = await this.#call(core =>
      core.gateway.batch({ header: { clock: this.#clock, timeoutMs: attemptMs }, gets: [...keys], options }),
    )
    const response = answer.value
    if (response === undefined || response.error) return
    this.#saw(response.header?.clock ?? 0)
    const items = response.items ?? []
    const left = response.getsLeft ?? 0
    assert.ok(items.length > 0 && items.length + left === keys.length, 'what a read does not answer, it says')
    for (const item of items) this.#token = Math.max(this.#token, item.timestamp ?? 0)
    this.#history.read({ ...operation, keys: keys.slice(0, items.length) }, invoked, items, answer)
  }

  async #scan(operation: Operation & { kind: 'scan' }): Promise<void> {
    const invoked = this.#history.invoke()
    const { start, end, pageKeys, reverse } = operation
    const answer = await this.#call(async core => {
      const pages: quorate.v1.IScanResponse[] = []
      const header = { clock: this.#clock, timeoutMs: attemptMs }
      for await (const page of core.gateway.scan({ header, start, end, pageKeys, reverse }))
        pages.push(quorate.v1.ScanResponse.decode(page))
      return pages
    })
    const pages = answer.value
    const at = pages?.[0]?.at ?? 0
    if (pages === undefined || at === 0) return
    this.#saw(at)
    this.#history.scanned(
      operation,
      invoked,
      at,
      pages.flatMap(page => page.items ?? []),
    )
  }

  #saw(clock: number): void {
    this.#clock = Math.max(this.#clock, clock)
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => void this.#world.scheduler.after(ms, resolve))
  }

  /** A node answers by the deadline, whatever state it is in, unless it has ended or is paused. */
  async #watched<T>(node: SimNode, core: NodeCore, answer: Promise<T>): Promise<T> {
    const { scheduler } = this.#world
    let silentLooks = 0
    const look = (): void => {
      if (node.core !== core) return
      silentLooks = node.isPaused ? 0 : silentLooks + 1
      if (silentLooks === silentLooksMax)
        this.#world.fail(new Error(`a request is answered by its deadline: ${node.name} says nothing`))
      else late = scheduler.after(lookEveryMs, look)
    }
    let late = scheduler.after(lookEveryMs, look)
    try {
      return await answer
    } finally {
      late.cancel()
    }
  }

  #call<T>(work: (core: NodeCore) => Promise<T>): Promise<Answer<T>> {
    const { world, prng } = { world: this.#world, prng: this.#prng }
    const node = world.nodes[prng.below(world.nodes.length)] as World['nodes'][number]
    return call(world, prng, node.name, core => this.#watched(node, core, work(core)), attemptMs * 1.5)
  }
}

/** Together many times over what a request may take, slow disks included. */
const lookEveryMs = 3_000
const silentLooksMax = 3

const nothingApplied = { applied: 0, closed: 0 }

/** One request and its answer; either may be lost on the way. */
export function call<T>(
  world: World,
  prng: Prng,
  name: NodeId,
  work: (core: NodeCore) => Promise<T>,
  timeoutMs: number,
): Promise<Answer<T>> {
  const { scheduler, options } = world
  const travelMs = (): number | undefined =>
    prng.next() < options.clientLoss ? undefined : 0.1 + prng.next() * (options.link.delayMaxMs + 1)
  return new Promise(resolve => {
    const silence = scheduler.after(timeoutMs, () => resolve({ value: undefined, error: undefined, ...nothingApplied }))
    const answer = (value: Answer<T>): void => {
      const ms = travelMs()
      if (ms === undefined) return
      scheduler.after(ms, () => {
        silence.cancel()
        resolve(value)
      })
    }
    const there = travelMs()
    if (there === undefined) return
    const node = world.node(name)
    const { clock } = node
    if (clock === undefined) {
      answer({
        value: undefined,
        error: { code: 'unavailable', message: 'the connection was refused' },
        ...nothingApplied,
      })
      return
    }
    clock.arriveAfter(there, () => {
      const { core } = node
      if (core === undefined) {
        answer({ value: undefined, error: { code: 'unavailable', message: 'the node is starting' }, ...nothingApplied })
        return
      }
      work(core).then(
        value => {
          const state = core.store.replicas()[0]?.state
          answer({ value, error: undefined, applied: state?.appliedIndex ?? 0, closed: state?.closed ?? 0 })
        },
        (error: unknown) => answer({ value: undefined, error: error as KvErrorLike, ...nothingApplied }),
      )
    })
  })
}
