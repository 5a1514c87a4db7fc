// Random work on a log whose disk crashes, against a model that keeps every state since the last acknowledgement:
// what comes back is one of them, whole, and never older than what was acknowledged (RAFT-BUGS 1, 32, 54, 69, 71).

import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import { type Prng, createPrng } from '../../src/base/prng.ts'
import type { ReplicaLog } from '../../src/log/log.ts'
import type { SegmentLog } from '../../src/log/segment-log.ts'
import type { HardState } from '../../src/raft/types.ts'
import { FakeLogFiles } from './fake-log-files.ts'
import { applied, createReplica, entry, hardState, tryOpen, turn } from './log-harness.ts'

interface ModelReplica {
  readonly replicaId: number
  /** Of the next entries. */
  term: number
  /** The newest that was handed over. */
  state: HardState
  /** Something was: a blank replica is not there after a restart. */
  written: boolean
  truncated: { index: number; term: number }
  /** By index, from truncated.index + 1. */
  entries: { term: number; data: string }[]
  wanted: number
  settled: number
}

const segmentBytes = 12 * 1024
const rangeCount = 4

class Run {
  readonly #prng: Prng
  readonly #files: FakeLogFiles
  #log: SegmentLog | undefined
  #replicas = new Map<number, { log: ReplicaLog; model: ModelReplica }>()
  #removed = new Map<number, number>()
  #appliedLast: Record<number, number> = {}
  #recorded = 0
  #life = 0
  /** Everything that may come back, oldest first. Cut to the last when that is acknowledged. */
  #history: string[] = [JSON.stringify({})]
  /** Asserted at the end: a run that never did these things proves nothing. */
  readonly did = { crashed: 0, reopened: 0, truncated: 0, overwritten: 0, segmentsGone: 0 }

  constructor(seed: number) {
    this.#prng = createPrng(seed)
    this.#files = new FakeLogFiles({ prng: this.#prng })
  }

  async start(): Promise<void> {
    for (;;) {
      // Some starts are cut off half-way, and begin again.
      const cut = this.#prng.below(3) === 0
      if (cut) this.#files.hold()
      const life = ++this.#life
      // A process that was killed may still trip over its dead handles: nobody hears it.
      const onFatal = (error: Error): void => {
        if (life === this.#life) throw error
      }
      const recordedFlush = this.#recorded
      const opening = tryOpen(this.#files, { segmentBytes, cacheBytes: 2000, recordedFlush, onFatal })
      if (cut) {
        opening.catch(() => undefined)
        await turn()
        for (let i = this.#prng.below(3); i > 0; i--) {
          this.#files.releaseOne()
          await turn()
        }
        this.#files.crash(this.#prng.below(2) === 0 ? 'kill' : 'power')
        continue
      }
      const result = await opening
      if (result.kind !== 'opened') throw new Error(result.message)
      this.#log = result.log
      break
    }
    this.#recover(this.#open())
  }

  async step(): Promise<void> {
    const dice = this.#prng.below(100)
    if (dice < 45) this.#append()
    else if (dice < 52) this.#vote()
    else if (dice < 60) this.#truncate()
    else if (dice < 68) this.#engineFlush()
    else if (dice < 71) this.#reset()
    else if (dice < 72) this.#remove()
    else if (dice < 92) await this.#flush()
    else if (dice < 96) this.#read()
    else if (dice < 98) await this.#crash()
    else await this.#reopen()
  }

  async #flush(): Promise<void> {
    const before = this.#files.paths().length
    await new Promise(resolve => this.#open().flush(resolve))
    this.#history = this.#history.slice(-1)
    if (this.#files.paths().length < before) this.did.segmentsGone++
  }

  async #crash(): Promise<void> {
    this.did.crashed++
    if (this.#prng.below(2) === 0) {
      this.#files.hold()
      this.#open().flush(() => undefined)
      await turn()
      if (this.#prng.below(3) === 0) this.#append()
    }
    this.#life++
    this.#files.crash(this.#prng.below(2) === 0 ? 'kill' : 'power')
    await this.start()
  }

  async #reopen(): Promise<void> {
    this.did.reopened++
    await this.#open().close()
    this.#history = this.#history.slice(-1)
    await this.start()
  }

  #recover(log: SegmentLog): void {
    const found = new Map(log.recovered.map(each => [each.rangeId as number, each]))
    const state = JSON.stringify(
      Object.fromEntries(
        [...found]
          .sort(([a], [b]) => a - b)
          .map(([id, each]) => [id, [stateText(each.hardState), ...pictureOf(each.log)]]),
      ),
    )
    const at = this.#history.indexOf(state)
    if (at === -1) throw new Error(`came back as ${state}, expected one of ${this.#history.join('\n')}`)
    this.#history = [state]
    this.#appliedLast = {}
    this.#replicas = new Map()
    for (const [id, { log: replica, hardState: state }] of found) {
      const truncated = { index: replica.truncatedIndex, term: replica.term(replica.truncatedIndex) ?? 0 }
      const all = replica.entries(
        asIndex(truncated.index + 1),
        asIndex(replica.lastIndex + 1),
        Number.POSITIVE_INFINITY,
      )
      const entries = all.map(each => ({ term: each.term as number, data: Buffer.from(each.data).toString() }))
      const term = Math.max(state.term, truncated.term, entries.at(-1)?.term ?? 0)
      const model = { ...blank(replica.replicaId), term, state, written: true, truncated, entries }
      this.#replicas.set(id, { log: replica, model })
    }
  }

  #note(): void {
    const ids = [...this.#replicas.keys()].sort((a, b) => a - b)
    const shown = ids.flatMap(id => {
      const { model } = this.#get(id)
      return model.written ? [[id, [stateText(model.state), ...modelPicture(model)]]] : []
    })
    const state = JSON.stringify(Object.fromEntries(shown))
    if (state !== this.#history.at(-1)) this.#history.push(state)
  }

  #append(): void {
    const { log, model } = this.#any()
    const last = model.truncated.index + model.entries.length
    const from = this.#prng.below(4) === 0 ? Math.max(model.truncated.index, last - this.#prng.below(4)) + 1 : last + 1
    if (from <= last) this.did.overwritten++
    model.term += this.#prng.below(2)
    const added = Array.from({ length: 1 + this.#prng.below(3) }, (_, i) =>
      entry(from + i, model.term, `${from + i}.${model.term}.${'x'.repeat(this.#prng.below(900))}`),
    )
    model.entries.length = from - model.truncated.index - 1
    model.entries.push(...added.map(each => ({ term: each.term as number, data: Buffer.from(each.data).toString() })))
    const state = this.#prng.below(2) === 0 ? hardState(model.term, model.state.vote, from) : undefined
    log.append(added, state)
    model.state = state ?? model.state
    model.written = true
    this.#note()
  }

  #vote(): void {
    const { log, model } = this.#any()
    model.state = hardState(++model.term, 1 + this.#prng.below(3), model.state.commit)
    log.append([], model.state)
    model.written = true
    this.#note()
  }

  #truncate(): void {
    const { log, model } = this.#any()
    const to = model.truncated.index + this.#prng.below(model.entries.length + 1)
    model.wanted = Math.max(model.wanted, to)
    log.truncateTo(asIndex(to))
    this.#truncateModel(model)
    this.#note()
  }

  #engineFlush(): void {
    for (const [id, index] of Object.entries(this.#appliedLast)) {
      const model = this.#replicas.get(Number(id))?.model
      if (model === undefined) continue
      model.settled = Math.max(model.settled, index)
      this.#truncateModel(model)
    }
    this.#appliedLast = {}
    for (const [id, { model }] of this.#replicas) {
      if (this.#prng.below(4) > 0) this.#appliedLast[id] = model.truncated.index + model.entries.length
    }
    this.#recorded = this.#open().flushedNumber
    this.#open().engineFlushed(this.#recorded, applied(this.#appliedLast))
    this.#note()
  }

  #reset(): void {
    const { log, model } = this.#any()
    const index = model.truncated.index + this.#prng.below(model.entries.length + 3)
    const known =
      index === model.truncated.index ? model.truncated.term : model.entries[index - model.truncated.index - 1]?.term
    const term = known !== undefined && this.#prng.below(2) === 0 ? known : ++model.term
    model.entries = known === term ? model.entries.slice(index - model.truncated.index) : []
    model.truncated = { index, term }
    model.written = true
    log.reset(asIndex(index), asTerm(term))
    this.#note()
  }

  #remove(): void {
    const { log, model } = this.#any()
    log.remove()
    this.#removed.set(log.rangeId, model.replicaId)
    this.#replicas.delete(log.rangeId)
    delete this.#appliedLast[log.rangeId]
    this.#note()
  }

  #read(): void {
    const { log, model } = this.#any()
    expect(pictureOf(log)).toEqual(modelPicture(model))
  }

  #truncateModel(model: ModelReplica): void {
    const to = Math.min(model.wanted, model.settled, model.truncated.index + model.entries.length)
    if (to <= model.truncated.index) return
    this.did.truncated++
    const gone = model.entries.splice(0, to - model.truncated.index)
    model.truncated = { index: to, term: gone.at(-1)?.term ?? 0 }
  }

  #any(): { log: ReplicaLog; model: ModelReplica } {
    const id = 1 + this.#prng.below(rangeCount)
    const found = this.#replicas.get(id)
    if (found !== undefined) return found
    // A removal that a crash has undone may be followed by the same id; the log refuses only what it remembers.
    const replicaId = (this.#removed.get(id) ?? 0) + 1
    this.#removed.set(id, replicaId)
    this.#replicas.set(id, { log: createReplica(this.#open(), id, replicaId), model: blank(replicaId) })
    return this.#get(id)
  }

  #get(id: number): { log: ReplicaLog; model: ModelReplica } {
    const found = this.#replicas.get(id)
    if (found === undefined) throw new Error(`no range ${id}`)
    return found
  }

  #open(): SegmentLog {
    if (this.#log === undefined) throw new Error('not open')
    return this.#log
  }
}

function blank(replicaId: number): ModelReplica {
  const truncated = { index: 0, term: 0 }
  return { replicaId, term: 0, state: hardState(0), written: false, truncated, entries: [], wanted: 0, settled: 0 }
}

function stateText({ term, vote, commit }: HardState): string {
  return `${term} ${vote} ${commit}`
}

function modelPicture(model: ModelReplica): unknown[] {
  const { replicaId, truncated, entries } = model
  return [replicaId, truncated.index, truncated.term, entries.map(each => `${each.term} ${each.data}`)]
}

function pictureOf(log: ReplicaLog): unknown[] {
  const { truncatedIndex, lastIndex } = log
  const all = log.entries(asIndex(truncatedIndex + 1), asIndex(lastIndex + 1), Number.POSITIVE_INFINITY)
  const shown = all.map(each => `${each.term} ${Buffer.from(each.data).toString()}`)
  return [log.replicaId, truncatedIndex, log.term(truncatedIndex), shown]
}

describe('a log under random work and crashes', () => {
  it('comes back with everything acknowledged and nothing half done, on every seed', async () => {
    const total = { crashed: 0, reopened: 0, truncated: 0, overwritten: 0, segmentsGone: 0 }
    for (let seed = 1; seed <= 150; seed++) {
      const run = new Run(seed)
      try {
        await run.start()
        for (let i = 0; i < 250; i++) await run.step()
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
      for (const what of ['crashed', 'reopened', 'truncated', 'overwritten', 'segmentsGone'] as const) {
        total[what] += run.did[what]
      }
    }
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(100)
  }, 60_000)
})
