// What the committed log means, told a second time: keys, versions and sessions by DESIGN.md 7 and 10, with nothing of the
// code that is under test but the entry's framing. It keeps every version for ever, so that any instant can be asked for.

import { strict as assert } from 'node:assert'
import { decodeEntry } from '../../src/command/entry.ts'
import { defaultWriteLimits } from '../../src/command/limits.ts'
import type { SessionLimits } from '../../src/command/sessions.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { Entry } from '../../src/raft/types.ts'
import { logicalPerMs } from '../../src/time/timestamp.ts'

const { OutcomeKind, CompareOperator } = quorate.v1

export interface ModelVersion {
  /** The log index and stamp of the write. */
  readonly index: number
  readonly stamp: number
  /** undefined: deleted. */
  readonly value: Uint8Array | undefined
  readonly version: number
  readonly created: number
}

export interface ModelOutcome {
  readonly index: number
  readonly kind: number
  readonly stamp: number
  readonly version: number
  readonly deleted: number
  readonly failedCompare: number
}

interface ModelSession {
  floor: number
  notAfterMax: number
  readonly outcomes: Map<number, ModelOutcome>
}

const tooLate = OutcomeKind.OUTCOME_KIND_TOO_LATE

export class Model {
  /** Keyspace and key, latin1: to its versions, oldest first. */
  readonly #keys = new Map<string, ModelVersion[]>()
  readonly #sessions = new Map<string, ModelSession>()
  /** What each numbered write came to when it ran, for ever: `session#number`. */
  readonly #ran = new Map<string, ModelOutcome>()
  /** How often a value was put. */
  readonly #puts = new Map<string, number>()
  /** The last stamp at or before each index, from `#first` on. */
  readonly #stamps: number[] = []
  readonly #first: number
  threshold = 0
  lastIndex: number
  lastStamp = 0

  readonly #limits: SessionLimits

  /** `start`: the index before the first entry. */
  constructor(start: number, limits: SessionLimits) {
    this.#limits = limits
    this.lastIndex = start
    this.#first = start
    this.#stamps.push(0)
  }

  apply(entry: Entry): void {
    assert.equal(entry.index, this.lastIndex + 1, 'the model is told every entry once, in order')
    this.lastIndex = entry.index
    if (entry.kind === 'command') this.#applyCommand(entry)
    this.#stamps.push(this.lastStamp)
  }

  /** The last stamp of the log at an index. */
  stampAt(index: number): number {
    return this.#stamps[index - this.#first] ?? 0
  }

  versions(key: string): readonly ModelVersion[] {
    return this.#keys.get(key) ?? []
  }

  /** What lives at an instant. */
  at(key: string, stamp: number): ModelVersion | undefined {
    const found = this.versions(key).findLast(version => version.stamp <= stamp)
    return found?.value === undefined ? undefined : found
  }

  atIndex(key: string, index: number): ModelVersion | undefined {
    const found = this.versions(key).findLast(version => version.index <= index)
    return found?.value === undefined ? undefined : found
  }

  keys(): Iterable<string> {
    return this.#keys.keys()
  }

  ran(session: string, number: number): ModelOutcome | undefined {
    return this.#ran.get(`${session}#${number}`)
  }

  putCount(value: string): number {
    return this.#puts.get(value) ?? 0
  }

  #applyCommand(entry: Entry): void {
    const command = decodeEntry(entry.data)
    const { firstTimestamp, operations } = command.header
    assert.ok(firstTimestamp > this.lastStamp, `stamps grow along the log: ${firstTimestamp} at ${entry.index}`)
    this.lastStamp = firstTimestamp + Math.max(1, operations) - 1
    this.#endSessions(firstTimestamp)
    if (command.kind === 'checksum') return
    if (command.kind === 'threshold') {
      this.threshold = Math.max(this.threshold, command.threshold)
      return
    }
    let stamp: number = firstTimestamp
    for (const bytes of command.requests) {
      const batch = quorate.v1.WriteBatch.decode(bytes)
      this.#applyBatch(batch, entry.index, stamp)
      stamp += batch.writes.length
    }
  }

  #applyBatch(batch: quorate.v1.WriteBatch, index: number, first: number): void {
    const id = Buffer.from(batch.session).toString('latin1')
    const aheadMax = defaultWriteLimits.notAfterAheadMs * logicalPerMs
    assert.ok(batch.notAfter <= first + aheadMax, `a notAfter lies at most so far ahead: ${batch.notAfter} at ${index}`)
    const before = this.#sessions.get(id)
    if (before !== undefined) raiseFloor(before, batch.floor)
    if (id !== '' && this.#isRefused(batch, before, first)) return
    batch.writes.forEach((write, at) => {
      const number = write.number ?? 0
      const stamp = first + at
      if (id === '') {
        this.#write(batch.keyspace, write, index, stamp)
        return
      }
      const session = this.#sessions.get(id)
      if (session?.outcomes.has(number) === true) return
      if ((session !== undefined && number < session.floor) || batch.notAfter < stamp) return
      const outcome = this.#write(batch.keyspace, write, index, stamp)
      const name = `${id}#${number}`
      assert.ok(!this.#ran.has(name), `a write of a session runs once: number ${number} at ${index}`)
      this.#ran.set(name, outcome)
      const open = session ?? { floor: batch.floor, notAfterMax: 0, outcomes: new Map<number, ModelOutcome>() }
      open.notAfterMax = Math.max(open.notAfterMax, batch.notAfter)
      open.outcomes.set(number, outcome)
      this.#sessions.set(id, open)
    })
  }

  /** A session ends with the last `notAfter` of what it wrote, so many of them an entry, the first to end first. */
  #endSessions(logTime: number): void {
    const passed = [...this.#sessions]
      .filter(([, session]) => session.notAfterMax < logTime)
      .sort(([idA, a], [idB, b]) => a.notAfterMax - b.notAfterMax || (idA < idB ? -1 : 1))
    for (const [id] of passed.slice(0, this.#limits.endedPerEntryMax)) this.#sessions.delete(id)
  }

  /** No room for a new session, or for more outcomes of one that is known. */
  #isRefused(batch: quorate.v1.WriteBatch, session: ModelSession | undefined, stamp: number): boolean {
    const { sessionsMax, gatewaySessionsMax, outcomesMax, sessionOutcomesMax, sessionOutcomesAssured } = this.#limits
    const outcomes = [...this.#sessions.values()].reduce((sum, each) => sum + each.outcomes.size, 0)
    if (session === undefined) {
      if (batch.notAfter < stamp) return false
      return batch.isGateway
        ? this.#sessions.size >= sessionsMax + gatewaySessionsMax
        : this.#sessions.size >= sessionsMax || outcomes >= outcomesMax
    }
    const most = outcomes > outcomesMax && !batch.isGateway ? sessionOutcomesAssured : sessionOutcomesMax
    const more = batch.writes.filter(write => !session.outcomes.has(write.number ?? 0)).length
    return more > 0 && session.outcomes.size + more > most
  }

  #write(keyspace: number, write: quorate.v1.IWrite, index: number, stamp: number): ModelOutcome {
    const outcome = { index, stamp, kind: OutcomeKind.OUTCOME_KIND_DONE, version: 0, deleted: 0, failedCompare: 0 }
    if (write.put) return { ...outcome, version: this.#put(keyspace, write.put, index, stamp) }
    if (write.delete) return { ...outcome, deleted: this.#delete(name(keyspace, write.delete.key), index, stamp) }
    if (write.deleteRange) {
      const { start, end, limit } = write.deleteRange
      const from = name(keyspace, start)
      const to = end && end.length > 0 ? name(keyspace, end) : name(keyspace + 1, undefined)
      const living = [...this.#keys.keys()]
        .filter(key => key >= from && key < to && this.at(key, stamp) !== undefined)
        .sort()
        .slice(0, limit || 1_000)
      for (const key of living) this.#delete(key, index, stamp)
      return { ...outcome, deleted: living.length }
    }
    const { compares, then, otherwise } = write.commit as quorate.v1.ICommitOp
    const failed = (compares ?? []).findIndex(compare => !this.#holds(keyspace, compare, stamp))
    for (const change of (failed < 0 ? then : otherwise) ?? []) {
      if (change.put) outcome.version = this.#put(keyspace, change.put, index, stamp)
      else if (change.delete) this.#delete(name(keyspace, change.delete.key), index, stamp)
    }
    return failed < 0
      ? outcome
      : { ...outcome, version: 0, kind: OutcomeKind.OUTCOME_KIND_CONDITION_FAILED, failedCompare: failed + 1 }
  }

  #put(keyspace: number, put: quorate.v1.IPutOp, index: number, stamp: number): number {
    const key = name(keyspace, put.key)
    const value = put.value ?? new Uint8Array(0)
    const before = this.at(key, stamp)
    const version = (before?.version ?? 0) + 1
    this.#push(key, { index, stamp, value, version, created: before?.created ?? stamp })
    const text = Buffer.from(value).toString('latin1')
    this.#puts.set(text, this.putCount(text) + 1)
    return version
  }

  #delete(key: string, index: number, stamp: number): number {
    if (this.at(key, stamp) === undefined) return 0
    this.#push(key, { index, stamp, value: undefined, version: 0, created: 0 })
    return 1
  }

  #push(key: string, version: ModelVersion): void {
    const versions = this.#keys.get(key)
    if (versions === undefined) this.#keys.set(key, [version])
    else versions.push(version)
  }

  #holds(keyspace: number, compare: quorate.v1.ICompare, stamp: number): boolean {
    const found = this.at(name(keyspace, compare.key), stamp)
    if (compare.absent != null) {
      const isTurned = compare.operator === quorate.v1.CompareOperator.NOT_EQUAL
      return (compare.absent === (found === undefined)) !== isTurned
    }
    const order =
      compare.version != null
        ? (found?.version ?? 0) - compare.version
        : compare.timestamp != null
          ? (found?.stamp ?? 0) - compare.timestamp
          : found === undefined
            ? undefined
            : Buffer.compare(found.value as Uint8Array, compare.value ?? new Uint8Array(0))
    switch (compare.operator ?? CompareOperator.EQUAL) {
      case CompareOperator.EQUAL:
        return order === 0
      case CompareOperator.NOT_EQUAL:
        return order !== 0
      case CompareOperator.LESS:
        return order !== undefined && order < 0
      case CompareOperator.GREATER:
        return order !== undefined && order > 0
      default:
        return false
    }
  }
}

function raiseFloor(session: ModelSession, floor: number): void {
  if (floor <= session.floor) return
  session.floor = floor
  for (const number of session.outcomes.keys()) if (number < floor) session.outcomes.delete(number)
}

export { tooLate }

/** How the model calls a key: the keyspace's character, then the key, latin1. */
export function name(keyspace: number, key: Uint8Array | null | undefined): string {
  return String.fromCharCode(keyspace) + Buffer.from(key ?? []).toString('latin1')
}
