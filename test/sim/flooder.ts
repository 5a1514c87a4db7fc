// Opens sessions for one write each, more than a range keeps, and sends each write again and again, until after its `notAfter`.
// What is refused because the table is full must never run; what ran must never run again, whenever its session ended.

import { strict as assert } from 'node:assert'
import { defaultWriteLimits } from '../../src/command/limits.ts'
import type { Prng } from '../../src/base/prng.ts'
import { quorate } from '../../src/proto/quorate.js'
import { addMs, timestampFromUnixMs } from '../../src/time/timestamp.ts'
import { call } from './client.ts'
import type { History } from './history.ts'
import type { World } from './world.ts'

const attemptMs = 1_500
const notAfterMsMax = 8_000
const attempts = 4

export class Flooder {
  readonly #world: World
  readonly #history: History
  readonly #prng: Prng
  #count = 0
  #isStopped = false

  constructor(world: World, history: History, prng: Prng) {
    this.#world = world
    this.#history = history
    this.#prng = prng
  }

  start(): void {
    this.#loop().catch((error: unknown) => this.#world.fail(error))
  }

  stop(): void {
    this.#isStopped = true
  }

  async #loop(): Promise<void> {
    const { floodEveryMs } = this.#world.options
    while (!this.#isStopped) {
      await this.#pause(floodEveryMs * 2 * this.#prng.next())
      const work = this.#prng.below(10) === 0 ? this.#lastForEver() : this.#open()
      work.catch((error: unknown) => this.#world.fail(error))
    }
  }

  async #open(): Promise<void> {
    const prng = this.#prng
    const session = Uint8Array.from({ length: 16 }, () => prng.below(256))
    const value = Buffer.from(`f-${++this.#count}`)
    const operation = { kind: 'write' as const, writes: [this.#put(value)], isSessionless: false }
    const writes = this.#encode(session, operation.writes, 500 + prng.next() * notAfterMsMax)
    const invoked = this.#history.invoke()
    let isCertain = true
    let isDone = false
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { value: response, error } = await this.#send(writes)
      const refusal = response?.error ?? error
      if (response !== undefined && !refusal) {
        this.#history.wrote(operation, session, 1, invoked, response.outcomes ?? [])
        isDone = true
      } else if (!this.#history.isCertainlyNotApplied(refusal?.code ?? '')) isCertain = false
      if (this.#isStopped) break
      await this.#pause(prng.next() * notAfterMsMax * 0.7)
    }
    if (!isDone) this.#history.gaveUp(operation, session, 1, isCertain)
  }

  /** A session that would be kept for longer than sessions are. */
  async #lastForEver(): Promise<void> {
    const session = Uint8Array.from({ length: 16 }, () => this.#prng.below(256))
    // No clock here is wrong by a minute for long, and a leader's that is refuses it all the more.
    const aheadMs = defaultWriteLimits.notAfterAheadMs + 60_000
    const { value: response } = await this.#send(this.#encode(session, [this.#put(Buffer.from('for ever'))], aheadMs))
    assert.ok(response === undefined || response.error, 'a notAfter beyond the limit is refused')
  }

  #put(value: Uint8Array): quorate.v1.IWrite {
    return { number: 1, put: { key: Buffer.from(`k${this.#prng.below(12)}`), value } }
  }

  #encode(session: Uint8Array, writes: quorate.v1.IWrite[], aheadMs: number): Uint8Array {
    const notAfter = addMs(timestampFromUnixMs(Math.floor(this.#world.unixMs)), Math.floor(aheadMs))
    return quorate.v1.WriteBatch.encode({ session, floor: 1, notAfter, writes }).finish()
  }

  #send(writes: Uint8Array) {
    const { nodes } = this.#world
    const { name } = nodes[this.#prng.below(nodes.length)] as World['nodes'][number]
    const request = { header: { timeoutMs: attemptMs }, writes }
    return call(this.#world, this.#prng, name, core => core.gateway.batch(request), attemptMs * 1.5)
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => void this.#world.scheduler.after(ms, resolve))
  }
}
