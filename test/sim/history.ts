// What clients saw, judged on arrival. The log is the witness: each answer must be what the log says at some instant between
// the newest one that anybody had seen when the operation began and the newest one there is (an entry holds many operations,
// each with an instant of its own, and a read may come between two of them). That is linearizability, with the
// order already known; exactly-once and the read kinds of DESIGN.md 9 are judged beside it.

import { strict as assert } from 'node:assert'
import type { quorate } from '../../src/proto/quorate.js'
import { quorate as proto } from '../../src/proto/quorate.js'
import { type ModelVersion, name, tooLate } from './model.ts'
import type { Operation } from './operation.ts'
import type { RangeChecker } from './range-checker.ts'

const { ReadKind } = proto.v1

export interface KvErrorLike {
  readonly code: string
  readonly message: string
}

const certainCodes: ReadonlySet<string> = new Set([
  'not-leader',
  'unavailable',
  'overloaded',
  'range-mismatch',
  'draining',
  'future-instant',
  'not-initialised',
  'damaged',
  'no-replica',
  'disk-full',
  'too-large',
  'deadline-exceeded',
])

interface Refused {
  readonly what: string
  readonly session: string
  readonly numbers: readonly number[]
  readonly values: readonly string[]
}

export class History {
  readonly counts = { writes: 0, reads: 0, unknown: 0, refused: 0 }
  /** The largest instant that a finished operation has seen. */
  #seen: number
  readonly #checker: RangeChecker
  readonly #refused: Refused[] = []
  /** A value put without a session, and acknowledged. */
  readonly #once: string[] = []

  constructor(checker: RangeChecker) {
    this.#checker = checker
    this.#seen = checker.model.lastStamp
  }

  /** What an operation that begins now must see. */
  invoke(): number {
    return this.#seen
  }

  isCertainlyNotApplied(code: string): boolean {
    return certainCodes.has(code)
  }

  wrote(
    operation: Operation & { kind: 'write' },
    session: Uint8Array,
    first: number,
    invoked: number,
    outcomes: readonly quorate.v1.IOutcome[],
  ): void {
    const { model } = this.#checker
    // Its gateway gave up on it: whether it ran is not known.
    if (operation.isSessionless && outcomes.some(outcome => outcome.kind === tooLate)) {
      this.counts.unknown++
      return
    }
    this.counts.writes++
    assert.equal(outcomes.length, operation.writes.length, 'one outcome a write')
    if (operation.isSessionless) {
      for (const value of valuesOf(operation.writes)) this.#once.push(value)
      const at = Math.max(0, ...operation.writes.flatMap(write => (write.put ? [this.#stampOf(write)] : [])))
      if (at > 0) this.#sawWrite(at, invoked)
      return
    }
    outcomes.forEach((outcome, at) => {
      if (outcome.kind === tooLate) return
      const ran = model.ran(Buffer.from(session).toString('latin1'), first + at)
      assert.ok(ran !== undefined, `an acknowledged write is in the log: number ${first + at} of ${text(session)}`)
      assert.deepEqual(
        {
          kind: outcome.kind,
          stamp: outcome.timestamp,
          version: outcome.version ?? 0,
          deleted: outcome.deleted ?? 0,
          failedCompare: outcome.failedCompare ?? 0,
        },
        {
          kind: ran.kind,
          stamp: ran.stamp,
          version: ran.version,
          deleted: ran.deleted,
          failedCompare: ran.failedCompare,
        },
        `the outcome of number ${first + at} at ${ran.index} is what the log says`,
      )
      this.#sawWrite(ran.stamp, invoked)
    })
  }

  gaveUp(operation: Operation & { kind: 'write' }, session: Uint8Array, first: number, isCertain: boolean): void {
    if (!isCertain) {
      this.counts.unknown++
      return
    }
    this.counts.refused++
    this.#refused.push({
      what: Object.keys(operation.writes[0] ?? {}).join(),
      session: operation.isSessionless ? '' : Buffer.from(session).toString('latin1'),
      numbers: operation.writes.map((_, at) => first + at),
      values: operation.isSessionless ? valuesOf(operation.writes) : [],
    })
  }

  read(
    operation: Operation & { kind: 'read' },
    invoked: number,
    items: readonly quorate.v1.IKeyVersion[],
    { applied, closed }: { readonly applied: number; readonly closed: number },
  ): void {
    this.counts.reads++
    const { keys, options } = operation
    const { model } = this.#checker
    assert.equal(items.length, keys.length, 'one item a key')
    const at = options.at ?? 0
    if (options.kind === ReadKind.READ_KIND_AT) {
      keys.forEach((key, n) => this.#checkItem(key, items[n], model.at(name(0, key), at), `at ${at}`))
      // Where it was not closed, another node answered for the one that was asked.
      this.#checker.promised(at, closed >= at ? applied : Infinity)
      return
    }
    const isLinearizable = options.kind === ReadKind.READ_KIND_LINEARIZABLE
    const from = isLinearizable ? invoked : options.kind === ReadKind.READ_KIND_SESSION ? at : 0
    // All keys of one read are of one instant. The earliest that fits claims the least.
    const names = keys.map(key => name(0, key))
    const changes = names.flatMap(key => model.versions(key).flatMap(({ stamp }) => (stamp > from ? [stamp] : [])))
    const instants = [from, ...changes.sort((a, b) => a - b)]
    const instant = instants.find(stamp => names.every((key, n) => isItem(items[n], model.at(key, stamp))))
    assert.ok(
      instant !== undefined,
      `a ${ReadKind[options.kind ?? 0]} read of ${keys.map(text)} begun at ${from} saw ${items.map(describe)}; the log says ${names.map(key => describe(model.at(key, from)))} there and ${names.map(key => describe(model.at(key, model.lastStamp)))} in the end`,
    )
    if (isLinearizable) this.#seen = Math.max(this.#seen, instant)
  }

  /** All pages are of one instant, which is past everything that was seen when the scan began. */
  scanned(
    { start, end, reverse }: Operation & { kind: 'scan' },
    invoked: number,
    at: number,
    items: readonly quorate.v1.IKeyVersion[],
  ): void {
    this.counts.reads++
    const { model } = this.#checker
    assert.ok(at >= invoked, `a scan at ${at} begun at ${invoked} misses what was seen before it`)
    const [from, to] = [name(0, start), name(0, end)]
    const expected = [...model.keys()].filter(key => key >= from && key < to && model.at(key, at) !== undefined).sort()
    if (reverse) expected.reverse()
    assert.deepEqual(
      items.map(item => name(0, item.key)),
      expected,
      `the keys of a scan at ${at}`,
    )
    for (const item of items)
      this.#checkItem(item.key as Uint8Array, item, model.at(name(0, item.key), at), `scanned at ${at}`)
    this.#checker.promised(at, Infinity)
    this.#seen = Math.max(this.#seen, Math.min(at, model.lastStamp))
  }

  /** At the end, when nothing is on its way any more. */
  finish(): void {
    const { model } = this.#checker
    for (const { what, session, numbers, values } of this.#refused) {
      if (session !== '')
        for (const number of numbers)
          assert.ok(
            model.ran(session, number) === undefined,
            `what was refused was not applied: ${what} number ${number} of ${text(Buffer.from(session, 'latin1'))}`,
          )
      for (const value of values) assert.equal(model.putCount(value), 0, `what was refused was not applied: ${value}`)
    }
    for (const value of this.#once) assert.ok(model.putCount(value) <= 1, `a write runs once: ${value}`)
  }

  #sawWrite(stamp: number, invoked: number): void {
    assert.ok(stamp > invoked, `a write comes after what was seen when it began: ${stamp}, ${invoked}`)
    this.#seen = Math.max(this.#seen, stamp)
  }

  #stampOf(write: quorate.v1.IWrite): number {
    const { key, value } = write.put as quorate.v1.IPutOp
    const found = this.#checker.model
      .versions(name(0, key))
      .find(version => version.value !== undefined && Buffer.compare(version.value, value as Uint8Array) === 0)
    assert.ok(found !== undefined, `an acknowledged write is in the log: ${text(value)}`)
    return found.stamp
  }

  #checkItem(
    key: Uint8Array,
    item: quorate.v1.IKeyVersion | undefined,
    expected: ModelVersion | undefined,
    when: string,
  ): void {
    assert.ok(
      isItem(item, expected),
      `${text(key)} ${when} is ${describe(expected)}, and was read as ${describe(item)}`,
    )
  }
}

function isItem(item: quorate.v1.IKeyVersion | undefined, version: ModelVersion | undefined): boolean {
  if (version === undefined) return (item?.timestamp ?? 0) === 0
  return (
    item?.timestamp === version.stamp &&
    item.version === version.version &&
    item.created === version.created &&
    Buffer.compare(item.value ?? new Uint8Array(0), version.value ?? new Uint8Array(0)) === 0
  )
}

function valuesOf(writes: readonly quorate.v1.IWrite[]): string[] {
  return writes.flatMap(write => (write.put?.value ? [Buffer.from(write.put.value).toString('latin1')] : []))
}

function describe(item: ModelVersion | quorate.v1.IKeyVersion | undefined): string {
  if (item === undefined) return 'absent'
  const stamp = 'stamp' in item ? item.stamp : item.timestamp
  return `${text(item.value)} version ${item.version} of ${stamp}${'index' in item ? ` at ${item.index}` : ''}`
}

function text(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? [])
    .toString('latin1')
    .slice(0, 20)
}
