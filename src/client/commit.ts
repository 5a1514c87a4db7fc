// All or nothing within one range: what a commit compares and changes, as callers write it, and its wire form.

import { KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import { type Bytes, toBytes } from './bytes.ts'
import { type Instant, parseInstant } from './instant.ts'
import { arrayOption, boolean, checkOptions, elsewhere, optional, refuse, whole } from './option-check.ts'
import type { OutcomeMessage } from './wire.ts'

export type CompareOperator = 'equal' | 'not-equal' | 'less' | 'greater'

/** Exactly one of `value`, `version`, `timestamp`, `absent`. An absent key has version and timestamp 0, and no value. */
export interface Compare {
  readonly key: Bytes
  /** Default `equal`. */
  readonly operator?: CompareOperator
  readonly value?: Bytes
  readonly version?: number
  /** A Date or ISO text goes with `less` and `greater` alone. */
  readonly timestamp?: Instant
  /** true: the key is absent; false: it is there; `not-equal` turns it round. */
  readonly absent?: boolean
}

export type Change = { readonly put: Bytes; readonly value: Bytes } | { readonly delete: Bytes }

export interface Commit {
  readonly compares?: readonly Compare[]
  /** Applied when every compare holds. */
  readonly then?: readonly Change[]
  /** Applied when one does not. */
  readonly otherwise?: readonly Change[]
}

export interface CommitResult {
  /** Every compare held, and `then` was applied. */
  readonly succeeded: boolean
  /** The instant at which it was decided. */
  readonly timestamp: number
  /** The position in `compares` of the first that failed; -1: none did. */
  readonly failedCompare: number
}

const operators: Readonly<Record<CompareOperator, quorate.v1.CompareOperator>> = {
  equal: quorate.v1.CompareOperator.EQUAL,
  'not-equal': quorate.v1.CompareOperator.NOT_EQUAL,
  less: quorate.v1.CompareOperator.LESS,
  greater: quorate.v1.CompareOperator.GREATER,
}

const commitChecks = { compares: arrayOption, then: arrayOption, otherwise: arrayOption }
const changeChecks = { put: elsewhere, value: elsewhere, delete: elsewhere }
const compareChecks = {
  key: elsewhere,
  operator: optional(operatorOption),
  value: optional(elsewhere),
  version: optional(whole(0)),
  timestamp: optional(elsewhere),
  absent: optional(boolean),
}

function operatorOption(value: unknown, name: string): void {
  const names = Object.keys(operators)
  if (!names.includes(value as string)) refuse(name, `one of ${names.join(', ')}`, value)
}

/**
 * `check` refuses keys and values that are too large. Throws KvError `invalid-argument`. `method`: for the message. An
 * undefined list of compares is a misspelt variable: without them, the changes would apply whatever is there.
 */
export function encodeCommit(
  method: string,
  commit: Commit,
  check: (key: Uint8Array, value?: Uint8Array) => void,
): quorate.v1.CommitOp.$Properties {
  checkOptions(method, commit, commitChecks)
  const { compares = [], then = [], otherwise = [] } = commit
  if (compares.length + then.length + otherwise.length === 0) {
    throw new KvError('invalid-argument', `${method}: the commit names no key`)
  }
  const changes = (list: readonly Change[], name: string): quorate.v1.Change.$Properties[] =>
    // Array.from also visits the holes of a sparse array.
    Array.from(list, (change, i) => encodeChange(`${method}: ${name}[${i}]`, change, check))
  return {
    compares: Array.from(compares, (compare, i) => encodeCompare(`${method}: compares[${i}]`, compare, check)),
    then: changes(then, 'then'),
    otherwise: changes(otherwise, 'otherwise'),
  }
}

type Check = (key: Uint8Array, value?: Uint8Array) => void

function encodeChange(name: string, given: Change, check: Check): quorate.v1.Change.$Properties {
  checkOptions(name, given, changeChecks)
  if ('put' in given === 'delete' in given || ('delete' in given && 'value' in given)) {
    throw new KvError('invalid-argument', `${name} must be { put: key, value } or { delete: key }`)
  }
  if ('put' in given) {
    const put = { key: toBytes(given.put, `${name}.put`), value: toBytes(given.value, `${name}.value`) }
    check(put.key, put.value)
    return { put }
  }
  const key = toBytes(given.delete, `${name}.delete`)
  check(key)
  return { delete: { key } }
}

function encodeCompare(name: string, given: Compare, check: Check): quorate.v1.Compare.$Properties {
  checkOptions(name, given, compareChecks)
  const key = toBytes(given.key, `${name}.key`)
  check(key)
  const { value, version, timestamp, absent, operator: operatorName = 'equal' } = given
  const operator = operators[operatorName]
  const targets = [value, version, timestamp, absent].filter(target => target !== undefined)
  if (targets.length !== 1) {
    const message = `${name} must name exactly one of value, version, timestamp and absent`
    throw new KvError('invalid-argument', message)
  }
  if (value !== undefined) return { key, operator, value: toBytes(value, `${name}.value`) }
  if (version !== undefined) return { key, operator, version }
  if (timestamp !== undefined) {
    return { key, operator, timestamp: compareTimestamp(`${name}.timestamp`, timestamp, operatorName) }
  }
  return { key, operator: absenceOperator(name, operatorName), absent: absent === true }
}

/** A Date is a whole millisecond: less than it is before its first moment, greater is after its last. */
function compareTimestamp(name: string, given: Instant, operator: CompareOperator): number {
  // The timestamp of an absent key.
  if (given === 0) return 0
  const isMoment = typeof given === 'number' || operator === 'less' || operator === 'greater'
  const timestamp = parseInstant(given, name, operator === 'less' ? 'first' : 'last')
  if (isMoment) return timestamp
  const remedy = 'compare it with less or greater, or give the timestamp of a result'
  throw new KvError('invalid-argument', `${name} is a whole millisecond, which equals no timestamp: ${remedy}`)
}

function absenceOperator(name: string, operator: CompareOperator): quorate.v1.CompareOperator {
  if (operator === 'equal' || operator === 'not-equal') return operators[operator]
  throw new KvError('invalid-argument', `${name}: absent goes with equal or not-equal, not with ${operator}`)
}

export function commitResult(outcome: OutcomeMessage): CommitResult {
  return {
    succeeded: outcome.kind === quorate.v1.OutcomeKind.OUTCOME_KIND_DONE,
    timestamp: outcome.timestamp ?? 0,
    failedCompare: (outcome.failedCompare ?? 0) - 1,
  }
}
