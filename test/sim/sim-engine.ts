// The engine port on a disk in memory that outlives its processes: it is slow, it fails, it crashes and it rots.
//
// A batch takes effect when its write completes; one that a crash or an error met on its way is there whole or not at
// all when the disk is opened next. Snapshots keep the old values of what is written after them, so that a write costs
// what it changes, however much there is.

import { assert } from '../../src/base/assert.ts'
import { KvError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type {
  Engine,
  EngineBatchOperation,
  EngineKey,
  EnginePair,
  EngineReader,
  EngineSnapshot,
  EngineSpan,
} from '../../src/engine/engine.ts'
import { isKeptApart } from '../../src/engine/value-reference.ts'

type ReadOptions = Parameters<EngineReader['read']>[1]
type Value = Uint8Array | undefined
export type EngineOperation = 'write' | 'read' | 'get'

/** What a batch changed, with what was there before it. */
type Undo = Map<EngineKey, Value>

export interface SimEngineDiskOptions {
  /** Decides what a crash leaves. */
  readonly prng: Prng
  readonly initial?: Iterable<readonly [EngineKey, Uint8Array]>
  /** How many of the last batches `loseBatch` can take out. */
  readonly undoBatches?: number
}

export interface SimEngineOptions {
  /** Completes what was asked for, later: in virtual time, where the process still lives. The default is a microtask. */
  readonly schedule?: (complete: () => void, operation: 'write' | 'read', bytes: number) => void
}

const emptyValue = new Uint8Array(0)

export class SimEngineDisk {
  /** Asked before each operation, and before a write takes effect; an error fails it. */
  fault: (operation: EngineOperation) => Error | undefined = () => undefined
  /** Batches that took effect, ever. */
  writeCount = 0
  readonly #prng: Prng
  readonly #undoMax: number
  readonly #table: Table
  #undos: Undo[] = []
  /** A batch whose fate a crash or an error left open. */
  #undecided: readonly EngineBatchOperation[] | undefined
  #life = 0
  #isOpen = false

  constructor({ prng, initial = [], undoBatches = 0 }: SimEngineDiskOptions) {
    this.#prng = prng
    this.#undoMax = undoBatches
    this.#table = new Table(new Map(initial))
  }

  /** A process opens it; a second one is refused, as by LevelDB's lock. */
  open({ schedule = queueMicrotask }: SimEngineOptions = {}): Engine {
    if (this.#isOpen) throw new KvError('data-directory', 'the database is open', { details: { reason: 'locked' } })
    this.#isOpen = true
    const life = ++this.#life
    return createEngine(this.#table, {
      fault: operation => this.fault(operation),
      schedule: (complete, operation, bytes) => schedule(() => life === this.#life && complete(), operation, bytes),
      begun: batch => {
        if (life === this.#life) this.#undecided = batch
      },
      applied: undo => {
        this.#undecided = undefined
        this.#applied(undo)
      },
      closed: () => {
        if (life === this.#life) this.#end()
      },
    })
  }

  /** The process ends, or the power does. Synced batches stay; the one under way is there or not; nothing is answered any more. */
  crash(): void {
    this.#life++
    this.#table.views.clear()
    this.#end()
  }

  /** A batch that a crash would meet now. */
  get isWriting(): boolean {
    return this.#undecided !== undefined
  }

  /** What is stored. To look at; `corrupt`, `lose` and `place` change it. */
  pairs(): ReadonlyMap<EngineKey, Uint8Array> {
    return this.#table.pairs
  }

  /** Bit rot: changes a copy of the value and stores that. */
  corrupt(key: EngineKey, change: (bytes: Uint8Array) => void): void {
    const value = Uint8Array.from(this.#table.pairs.get(key) ?? emptyValue)
    change(value)
    this.place(key, value)
  }

  place(key: EngineKey, value: Uint8Array): void {
    this.#table.set(key, value)
  }

  /** The key vanishes, as with a damaged table. */
  lose(key: EngineKey): void {
    this.#table.set(key, undefined)
  }

  /**
   * A batch in the middle never happened, while later ones did: the one `ago` before the last. What LevelDB leaves when a
   * page of its log is lost. False when it is no longer known.
   */
  loseBatch(ago: number): boolean {
    const at = this.#undos.length - 1 - ago
    const lost = this.#undos[at]
    if (lost === undefined) return false
    this.#undos.splice(at, 1)
    for (const [key, before] of lost) {
      const later = this.#undos.slice(at).find(undo => undo.has(key))
      if (later === undefined) this.#table.set(key, before)
      else later.set(key, before)
    }
    return true
  }

  wipe(): void {
    assert(!this.#isOpen, 'a process has the disk open')
    this.#table.clear()
    this.#undos = []
  }

  /** A disk with the same bytes: what happens to one does not happen to the other. */
  copy(): SimEngineDisk {
    const twin = new SimEngineDisk({ prng: this.#prng, initial: this.#table.pairs, undoBatches: this.#undoMax })
    twin.#undecided = this.#undecided
    return twin
  }

  #end(): void {
    this.#isOpen = false
    const batch = this.#undecided
    this.#undecided = undefined
    if (batch !== undefined && this.#prng.below(2) === 0) this.#applied(this.#table.apply(batch))
  }

  #applied(undo: Undo): void {
    this.writeCount++
    if (this.#undoMax === 0) return
    this.#undos.push(undo)
    if (this.#undos.length > this.#undoMax) this.#undos.shift()
  }
}

/** What an engine needs of its disk. */
interface DiskSide {
  fault(operation: EngineOperation): Error | undefined
  schedule(complete: () => void, operation: 'write' | 'read', bytes: number): void
  begun(batch: readonly EngineBatchOperation[]): void
  applied(undo: Undo): void
  closed(): void
}

/** One process's engine over the table. */
function createEngine(table: Table, disk: DiskSide): Engine {
  let state: 'open' | 'failed' | 'closed' = 'open'
  let writing: Promise<void> | undefined
  /** What was promised for which key. */
  const staged = new Map<EngineKey, Uint8Array>()

  const checkOpen = (): void => {
    if (state === 'closed') throw new Error('the database is not open')
  }
  const get = (view: View | undefined, key: EngineKey): Value => {
    checkOpen()
    const fault = disk.fault('get')
    if (fault !== undefined) throw fault
    return table.get(view, key)
  }
  const read = (view: View | undefined, span: EngineSpan, options: ReadOptions): Promise<readonly EnginePair[]> =>
    new Promise((resolve, reject) => {
      checkOpen()
      // What is there now: later writes are not seen, however long it takes.
      const found = table.read(view, span, options)
      disk.schedule(
        () => {
          const fault = disk.fault('read')
          if (fault === undefined) resolve(found)
          else reject(fault)
        },
        'read',
        found.length,
      )
    })
  const write = (batch: readonly EngineBatchOperation[]): Promise<void> =>
    new Promise((resolve, reject) => {
      checkOpen()
      assert(writing === undefined, 'the engine is handed one write at a time')
      if (state === 'failed') throw new Error('the engine failed before: nothing more is written')
      let bytes = 0
      const copied = batch.map(({ key, value, replacesSmall = false }) => {
        const before = replacesSmall ? table.get(undefined, key) : undefined
        assert(!isKeptApart(before), `what ${key} replaces is small`)
        assert(!staged.has(key) || staged.get(key) === value, 'what is put is what was staged')
        staged.delete(key)
        bytes += key.length + (value?.length ?? 0)
        return { key, value: value === undefined ? undefined : Uint8Array.prototype.slice.call(value) }
      })
      disk.begun(copied)
      disk.schedule(
        () => {
          const fault = disk.fault('write')
          if (fault === undefined) {
            disk.applied(table.apply(copied))
            resolve()
          } else {
            state = 'failed'
            reject(fault)
          }
        },
        'write',
        bytes,
      )
    })

  return {
    get: key => get(undefined, key),
    getPart(key, start, end) {
      const value = get(undefined, key)
      return value === undefined || end > value.length ? undefined : value.subarray(start, end)
    },
    read: (span, options) => read(undefined, span, options),
    stage(key, value) {
      checkOpen()
      staged.set(key, value)
    },
    dropStaged: () => staged.clear(),
    async write(batch) {
      const written = write(batch)
      writing ??= written
      try {
        await written
      } finally {
        if (writing === written) writing = undefined
      }
    },
    snapshot(): EngineSnapshot {
      checkOpen()
      const view = table.view()
      const checkView = (): void => assert(table.views.has(view), 'the snapshot is not open')
      return {
        get(key) {
          checkView()
          return get(view, key)
        },
        async read(span, options) {
          checkView()
          return await read(view, span, options)
        },
        close: async () => void table.views.delete(view),
      }
    },
    async approximateBytes(span) {
      checkOpen()
      return table.bytes(span)
    },
    async close() {
      await writing?.catch(() => {})
      if (state === 'closed') return
      state = 'closed'
      table.views.clear()
      disk.closed()
    },
  }
}

/** A snapshot: the table, with what was written since undone. */
class View {
  /** What the keys written since held when the view was taken. */
  readonly before: Undo = new Map()
  #sortedKeys: readonly EngineKey[] = []

  /** The written keys, in order: those deleted since are no longer in the table. */
  keys(): readonly EngineKey[] {
    if (this.#sortedKeys.length !== this.before.size) this.#sortedKeys = [...this.before.keys()].sort(byBytes)
    return this.#sortedKeys
  }
}

const noKeys: readonly EngineKey[] = []

class Table {
  readonly pairs: Map<EngineKey, Uint8Array>
  readonly views = new Set<View>()
  /** The keys in order, with some that are gone, and without those of `#added`. */
  #sorted: EngineKey[] = []
  #added: EngineKey[]

  constructor(pairs: Map<EngineKey, Uint8Array>) {
    this.pairs = pairs
    this.#added = [...pairs.keys()]
  }

  view(): View {
    const view = new View()
    this.views.add(view)
    return view
  }

  get(view: View | undefined, key: EngineKey): Value {
    return view?.before.has(key) === true ? view.before.get(key) : this.pairs.get(key)
  }

  apply(batch: readonly EngineBatchOperation[]): Undo {
    const undo: Undo = new Map()
    for (const { key, value } of batch) {
      const before = this.set(key, value)
      if (!undo.has(key)) undo.set(key, before)
    }
    return undo
  }

  /** Gives back what was there. */
  set(key: EngineKey, value: Value): Value {
    const before = this.pairs.get(key)
    for (const view of this.views) if (!view.before.has(key)) view.before.set(key, before)
    if (value === undefined) this.pairs.delete(key)
    else this.pairs.set(key, value)
    if (before === undefined && value !== undefined) this.#added.push(key)
    return before
  }

  clear(): void {
    this.pairs.clear()
    this.#sorted = []
    this.#added = []
  }

  read(view: View | undefined, span: EngineSpan, options: ReadOptions): EnginePair[] {
    const { limit, bytesMax = Infinity, reverse = false, keysOnly = false } = options
    const found: EnginePair[] = []
    const ours = createCursor(this.#keys(), span, reverse)
    const theirs = createCursor(view?.keys() ?? noKeys, span, reverse)
    for (let bytes = 0; found.length < limit && bytes < bytesMax; ) {
      const a = ours.keys[ours.at]
      const b = theirs.keys[theirs.at]
      const key = a === undefined || (b !== undefined && b < a !== reverse) ? b : a
      if (key === undefined) break
      if (key === a) advance(ours)
      if (key === b) advance(theirs)
      const stored = this.get(view, key)
      if (stored === undefined) continue
      const value = keysOnly ? emptyValue : stored
      found.push({ key, value })
      bytes += key.length + value.length
    }
    return found
  }

  bytes(span: EngineSpan): number {
    const pairs = this.read(undefined, span, { limit: Infinity })
    return pairs.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0)
  }

  #keys(): readonly EngineKey[] {
    if (this.#added.length > 0) {
      const sorted = this.#sorted
      // A key that went and came again may still stand there; one that came twice stands twice in the list.
      const fresh = [...new Set(this.#added)].filter(key => sorted[lowerBound(sorted, key)] !== key)
      mergeInto(sorted, fresh.sort(byBytes))
      this.#added = []
    }
    if (this.#sorted.length > 2 * this.pairs.size + 100) this.#sorted = this.#sorted.filter(key => this.pairs.has(key))
    return this.#sorted
  }
}

/** Keys of a span in one direction; beyond its end, `at` is where no key is. */
interface Cursor {
  readonly keys: readonly EngineKey[]
  at: number
  readonly step: 1 | -1
  readonly end: number
}

const nowhere = -1

function createCursor(keys: readonly EngineKey[], span: EngineSpan, reverse: boolean): Cursor {
  const from = lowerBound(keys, span.start)
  const to = Math.max(from, lowerBound(keys, span.end))
  if (from === to) return { keys, at: nowhere, step: 1, end: nowhere }
  return reverse ? { keys, at: to - 1, step: -1, end: from - 1 } : { keys, at: from, step: 1, end: to }
}

function advance(cursor: Cursor): void {
  cursor.at += cursor.step
  if (cursor.at === cursor.end) cursor.at = nowhere
}

/** Both in order, without a key in common; from the back, so that it touches only what moves. */
function mergeInto(keys: EngineKey[], added: readonly EngineKey[]): void {
  let from = keys.length - 1
  for (const key of added) keys.push(key)
  let target = keys.length - 1
  for (let i = added.length - 1; i >= 0; i--) {
    const key = added[i] as EngineKey
    const position = lowerBound(keys, key, from + 1)
    while (from >= position) keys[target--] = keys[from--] as EngineKey
    keys[target--] = key
  }
}

function lowerBound(keys: readonly EngineKey[], key: EngineKey, end = keys.length): number {
  let low = 0
  let high = end
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] as EngineKey) < key) low = middle + 1
    else high = middle
  }
  return low
}

function byBytes(a: EngineKey, b: EngineKey): number {
  return a < b ? -1 : a > b ? 1 : 0
}
