// Which runs of history are in the engine: per source, their bounds in order. And where in them the effects are, of those
// that readers have followed a chain through. A run is immutable once written, so readers need no snapshot of it.

import { assert, must } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'
import type { Engine } from '../engine/engine.ts'
import { type Timestamp, timestampZero } from '../time/timestamp.ts'
import { DamageError } from '../engine/engine.ts'
import { decodeRunId, encodeRunId, prefixSpan, runBoundsPrefix, runPrefix, type Source } from './engine-keys.ts'
import { type RunBounds, type RunOutline, decodeRunBounds, outlineRun } from './history-run.ts'
import type { Version } from './version.ts'

/** Of some seven thousand full runs, 1.7 GiB of history. */
const outlineBytesDefault = 64 * 1024 * 1024
const loadPairs = 1_000

interface SourceRuns {
  readonly source: Source
  readonly runs: RunBounds[]
}

interface KeptOutline {
  readonly outline: RunOutline
  /** In the list of their ids. */
  position: number
}

export class RunIndex {
  readonly #engine: Engine
  readonly #outlineBytesMax: number
  readonly #sources = new Map<string, SourceRuns>()
  readonly #outlines = new Map<string, KeptOutline>()
  #outlineIds: string[] = []
  #outlineBytes = 0
  #draw = 1
  /** How many runs have been read whole. */
  readCount = 0
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
    this.#outlineIds = []
    this.#outlineBytes = 0
    this.newestStamp = timestampZero
  }

  add(source: Source, bounds: RunBounds): void {
    const id = sourceId(source)
    let known = this.#sources.get(id)
    if (known === undefined) this.#sources.set(id, (known = { source, runs: [] }))
    const last = known.runs.at(-1)
    assert(last === undefined || last.lastIndex < bounds.firstIndex, 'runs of one source follow each other')
    known.runs.push(bounds)
    if (bounds.lastStamp > this.newestStamp) this.newestStamp = bounds.lastStamp
  }

  /** The last index of `source` in any run, 0 when it has none. */
  lastIndex(source: Source): number {
    return this.#sources.get(sourceId(source))?.runs.at(-1)?.lastIndex ?? 0
  }

  /** What `version` replaced; null: nothing, or what was there has been collected. Throws DamageError. */
  previous(version: Version): Version | null {
    const bounds = this.#find(version.source, version.index)
    if (bounds === undefined) return null
    const id = encodeRunId(version.source, bounds.firstIndex)
    const readPart = (start: number, end: number) => this.#engine.getPart(runPrefix + id, start, end)
    const previous = this.#outline(id, bounds).previous(version.row, version.index, version.timestamp, readPart)
    if (previous === undefined) throw new DamageError(runPrefix + id, 'an effect of its run is missing, or damaged')
    return previous
  }

  /** Forgets the runs that end below `threshold` and returns their ids: their records may go once this has returned. */
  dropBelow(threshold: Timestamp, limit: number): readonly string[] {
    const dropped: string[] = []
    for (const [id, { source, runs }] of this.#sources) {
      let kept = 0
      for (const bounds of runs) {
        if (bounds.lastStamp >= threshold || dropped.length >= limit) runs[kept++] = bounds
        else dropped.push(encodeRunId(source, bounds.firstIndex))
      }
      runs.length = kept
      if (kept === 0) this.#sources.delete(id)
    }
    for (const id of dropped) this.#forget(id)
    return dropped
  }

  #find(source: Source, index: Index): RunBounds | undefined {
    const runs = this.#sources.get(sourceId(source))?.runs
    if (runs === undefined) return undefined
    let low = 0
    let high = runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((runs[middle]?.firstIndex ?? 0) <= index) low = middle + 1
      else high = middle
    }
    const bounds = runs[low - 1]
    return bounds !== undefined && index <= bounds.lastIndex ? bounds : undefined
  }

  #outline(id: string, bounds: RunBounds): RunOutline {
    const kept = this.#outlines.get(id)
    if (kept !== undefined) return kept.outline
    const key = runPrefix + id
    const stored = this.#engine.get(key)
    this.readCount++
    if (stored === undefined) throw new DamageError(key, 'the record is missing')
    const outline = outlineRun(id, bounds.firstIndex, stored)
    if (outline === undefined) throw new DamageError(key, 'its checksum does not hold')
    this.#keep(id, outline)
    return outline
  }

  /** In place of any others: chains lead through the same runs again and again, where the one used longest ago comes next. */
  #keep(id: string, outline: RunOutline): void {
    const ids = this.#outlineIds
    while (ids.length > 0 && this.#outlineBytes + outline.bytes > this.#outlineBytesMax) {
      this.#draw = (Math.imul(this.#draw, 1_664_525) + 1_013_904_223) >>> 0
      this.#forget(must(ids[Math.floor((this.#draw / 2 ** 32) * ids.length)]))
    }
    this.#outlines.set(id, { outline, position: ids.length })
    ids.push(id)
    this.#outlineBytes += outline.bytes
  }

  #forget(id: string): void {
    const kept = this.#outlines.get(id)
    if (kept === undefined) return
    this.#outlines.delete(id)
    this.#outlineBytes -= kept.outline.bytes
    const last = must(this.#outlineIds.pop())
    if (last === id) return
    this.#outlineIds[kept.position] = last
    must(this.#outlines.get(last)).position = kept.position
  }
}

function sourceId(source: Source): string {
  return `${source.rangeId}/${source.replicaId}`
}
