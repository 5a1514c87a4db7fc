// Which runs of history are in the engine: per source, their bounds in order, and the outlines of those that readers have gone
// back through. A run is immutable once written, so readers need no snapshot of it.

import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import type { Engine } from '../engine/engine.ts'
import { type Timestamp, timestampZero } from '../time/timestamp.ts'
import { DamageError } from '../engine/engine.ts'
import { decodeRunId, encodeRunId, prefixSpan, runBoundsPrefix, runPrefix, type Source } from './engine-keys.ts'
import { type RunBounds, decodeEffect, decodeOutline, decodeRunBounds } from './history-run.ts'
import { type RunOutline, rowHash } from './run-outline.ts'
import type { Version } from './version.ts'

/** Of some five million effects; a full run of 256-byte values has 900. */
const outlineBytesDefault = 128 * 1024 * 1024
const loadPairs = 1_000
/** What is done beside reading an effect, against that: some 10 microseconds. */
const readOutlineCost = 4
const stepCost = 0.1
/** Of one call, about. */
const costMax = 20

/** In order. */
interface SourceRuns {
  readonly source: Source
  readonly runs: RunBounds[]
  /** Of each of `runs` the first index: a search goes through these, which lie side by side in memory. */
  readonly firsts: Index[]
}

/** An effect, and the run that it is in. */
interface Step {
  readonly bounds: RunBounds
  readonly outline: RunOutline
  /** undefined: several have its index and the hash of its row. */
  readonly position: number | undefined
  readonly index: Index
  readonly timestamp: Timestamp
}

interface KeptOutline {
  readonly outline: RunOutline
  /** In the list of runs that have one. */
  position: number
}

export class RunIndex {
  readonly #engine: Engine
  readonly #outlineBytesMax: number
  readonly #sources = new Map<string, SourceRuns>()
  readonly #outlines = new Map<RunBounds, KeptOutline>()
  /** In any order. */
  #outlined: RunBounds[] = []
  #outlineBytes = 0
  #draw = 1
  /** Of all calls together, in effects that were read. */
  spent = 0
  /** No run in the engine holds a later stamp. */
  newestStamp: Timestamp = timestampZero

  constructor(engine: Engine, outlineBytesMax = outlineBytesDefault) {
    this.#engine = engine
    this.#outlineBytesMax = outlineBytesMax
  }

  /** Reads all bounds; throws DamageError. */
  async load(): Promise<void> {
    this.clear()
    const span = prefixSpan(runBoundsPrefix)
    for (let start = span.start; ; ) {
      const pairs = await this.#engine.read({ start, end: span.end }, { limit: loadPairs })
      for (const { key, value } of pairs) {
        const { firstIndex, ...source } = decodeRunId(key.slice(runBoundsPrefix.length))
        const bounds = decodeRunBounds(firstIndex, value)
        if (bounds === undefined) throw new DamageError(key, 'its checksum does not hold')
        this.add(source, bounds)
      }
      const last = pairs.at(-1)
      if (last === undefined) return
      start = `${last.key}\0`
    }
  }

  clear(): void {
    this.#sources.clear()
    this.#outlines.clear()
    this.#outlined = []
    this.#outlineBytes = 0
    this.newestStamp = timestampZero
  }

  add(source: Source, bounds: RunBounds): void {
    const id = sourceId(source)
    let known = this.#sources.get(id)
    if (known === undefined) this.#sources.set(id, (known = { source, runs: [], firsts: [] }))
    const last = known.runs.at(-1)
    assert(last === undefined || last.lastIndex < bounds.firstIndex, 'runs of one source follow each other')
    known.runs.push(bounds)
    known.firsts.push(bounds.firstIndex)
    if (bounds.lastStamp > this.newestStamp) this.newestStamp = bounds.lastStamp
  }

  /** The last index of `source` in any run, 0 when it has none. */
  lastIndex(source: Source): number {
    return this.#sources.get(sourceId(source))?.runs.at(-1)?.lastIndex ?? 0
  }

  /**
   * What `version` replaced, or what that had replaced, and so on: the first of them that is not after `at`, or one on the way
   * there. null: nothing, or what was there has been collected. Throws DamageError.
   */
  before({ row, source, index, timestamp }: Version, at: Timestamp): Version | null {
    const runs = this.#sources.get(sourceId(source))
    const bounds = runs && findRun(runs, index)
    if (runs === undefined || bounds === undefined) return null
    const hash = rowHash(row)
    const outline = this.#outline(source, bounds)
    let step: Step = { bounds, outline, position: outline.onlyPosition(index, hash), index, timestamp }
    const spentMax = this.spent + costMax
    /** Of the row's versions that are not after `at`, the newest that was looked at. */
    let reached = 0
    for (; this.spent < spentMax; this.spent += stepCost) {
      const skip = step.position === undefined ? undefined : step.outline.skip(step.position)
      if (skip !== undefined && skip > reached) {
        const far = this.#stepTo(source, runs, step, skip, hash, at)
        if (far !== undefined && far.timestamp > at) {
          step = far
          continue
        }
        reached = skip
      }
      const replaced = step.position === undefined ? undefined : step.outline.replaced(step.position)
      const next = replaced === undefined ? undefined : this.#stepTo(source, runs, step, replaced, hash, at)
      if (next === undefined || next.timestamp <= at) break
      step = next
    }
    return this.#replacedBy(row, source, step, hash)
  }

  /** To the effect of `index`, not after that of `from`; undefined: the outlines do not tell, or it is not after `at`. */
  #stepTo(source: Source, runs: SourceRuns, from: Step, index: Index, hash: number, at: Timestamp): Step | undefined {
    const bounds = index >= from.bounds.firstIndex ? from.bounds : findRun(runs, index)
    if (bounds === undefined || bounds.lastStamp <= at) return undefined
    const outline = bounds === from.bounds ? from.outline : this.#outline(source, bounds)
    const position = outline.onlyPosition(index, hash)
    return position === undefined
      ? undefined
      : { bounds, outline, position, index, timestamp: outline.timestamp(position) }
  }

  #replacedBy(row: string, source: Source, step: Step, hash: number): Version | null {
    const { bounds, outline, index, timestamp } = step
    const key = runPrefix + encodeRunId(source, bounds.firstIndex)
    for (const position of outline.positions(index, hash)) {
      if (outline.timestamp(position) !== timestamp) continue
      this.spent++
      const stored = this.#engine.getPart(key, ...outline.span(position))
      const effect = stored && decodeEffect(bounds.firstIndex, stored)
      if (effect === undefined) throw new DamageError(key, 'an effect of its run is missing, or damaged')
      if (effect.index === index && effect.timestamp === timestamp && effect.row === row) return effect.previous
    }
    throw new DamageError(key, 'it has no effect that a newer version came with')
  }

  /** Forgets the runs that end below `threshold` and returns their ids: their records may go once this has returned. */
  dropBelow(threshold: Timestamp, limit: number): readonly string[] {
    const dropped: string[] = []
    for (const [id, { source, runs, firsts }] of this.#sources) {
      let kept = 0
      for (const bounds of runs) {
        if (bounds.lastStamp >= threshold || dropped.length >= limit) {
          firsts[kept] = bounds.firstIndex
          runs[kept++] = bounds
        } else {
          dropped.push(encodeRunId(source, bounds.firstIndex))
          this.#forget(bounds)
        }
      }
      runs.length = kept
      firsts.length = kept
      if (kept === 0) this.#sources.delete(id)
    }
    return dropped
  }

  #outline(source: Source, bounds: RunBounds): RunOutline {
    const kept = this.#outlines.get(bounds)
    if (kept !== undefined) return kept.outline
    const id = encodeRunId(source, bounds.firstIndex)
    const key = runPrefix + id
    const stored = this.#engine.getPart(key, bounds.outlineStart, bounds.outlineEnd)
    this.spent += readOutlineCost
    if (stored === undefined) throw new DamageError(key, 'the record is missing')
    const outline = decodeOutline(id, bounds.firstIndex, stored)
    if (outline === undefined) throw new DamageError(key, 'its checksum does not hold')
    this.#keep(bounds, outline)
    return outline
  }

  /** In place of any others: chains lead through the same runs again and again, where the one used longest ago comes next. */
  #keep(bounds: RunBounds, outline: RunOutline): void {
    const outlined = this.#outlined
    while (outlined.length > 0 && this.#outlineBytes + outline.bytes > this.#outlineBytesMax) {
      this.#draw = (Math.imul(this.#draw, 1_664_525) + 1_013_904_223) >>> 0
      this.#forget(must(outlined[Math.floor((this.#draw / 2 ** 32) * outlined.length)]))
    }
    this.#outlines.set(bounds, { outline, position: outlined.length })
    outlined.push(bounds)
    this.#outlineBytes += outline.bytes
  }

  #forget(bounds: RunBounds): void {
    const kept = this.#outlines.get(bounds)
    if (kept === undefined) return
    this.#outlines.delete(bounds)
    this.#outlineBytes -= kept.outline.bytes
    const last = must(this.#outlined.pop())
    if (last === bounds) return
    this.#outlined[kept.position] = last
    must(this.#outlines.get(last)).position = kept.position
  }
}

/** The run that holds `index`. */
function findRun({ runs, firsts }: SourceRuns, index: Index): RunBounds | undefined {
  let low = 0
  let high = firsts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((firsts[middle] ?? 0) <= index) low = middle + 1
    else high = middle
  }
  const bounds = runs[low - 1]
  return bounds !== undefined && index <= bounds.lastIndex ? bounds : undefined
}

function sourceId(source: Source): string {
  return `${source.rangeId}/${source.replicaId}`
}
