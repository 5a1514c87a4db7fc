// All or nothing within one range: what a commit compares and changes, as callers write it, and its wire form.

import { KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import { type Bytes, toBytes } from './bytes.ts'
import type { OutcomeMessage } from './wire.ts'

export type CompareOperator = 'equal' | 'not-equal' | 'less' | 'greater'

/** Exactly one of `value`, `version`, `timestamp`, `absent`. An absent key has version and timestamp 0, and no value. */
export interface Compare {
  readonly key: Bytes
  /** Default `equal`. */
  readonly operator?: CompareOperator
  readonly value?: Bytes
  readonly version?: number
  readonly timestamp?: number
  /** true: the key is absent; false: it is there. */
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

/** `check` refuses keys and values that are too large, and returns their bytes. */
export function encodeCommit(
  commit: Commit,
  check: (key: Uint8Array, value?: Uint8Array) => void,
): quorate.v1.CommitOp.$Properties {
  const change = (given: Change): quorate.v1.Change.$Properties => {
    if ('put' in given) {
      const put = { key: toBytes(given.put), value: toBytes(given.value) }
      check(put.key, put.value)
      return { put }
    }
    const key = toBytes(given.delete)
    check(key)
    return { delete: { key } }
  }
  const compare = (given: Compare): quorate.v1.Compare.$Properties => {
    const key = toBytes(given.key)
    const operator = operators[given.operator ?? 'equal']
    if (operator === undefined) throw new KvError('invalid-argument', `unknown operator: ${String(given.operator)}`)
    check(key)
    const targets = [given.value, given.version, given.timestamp, given.absent].filter(target => target !== undefined)
    if (targets.length !== 1) {
      throw new KvError('invalid-argument', 'a compare names exactly one of value, version, timestamp and absent')
    }
    if (given.value !== undefined) return { key, operator, value: toBytes(given.value) }
    if (given.version !== undefined) return { key, operator, version: given.version }
    if (given.timestamp !== undefined) return { key, operator, timestamp: given.timestamp }
    if (given.absent) return { key, operator, absent: true }
    return { key, operator: quorate.v1.CompareOperator.GREATER, version: 0 }
  }
  return {
    compares: (commit.compares ?? []).map(compare),
    then: (commit.then ?? []).map(change),
    otherwise: (commit.otherwise ?? []).map(change),
  }
}

export function commitResult(outcome: OutcomeMessage): CommitResult {
  return {
    succeeded: outcome.kind === quorate.v1.OutcomeKind.OUTCOME_KIND_DONE,
    timestamp: outcome.timestamp ?? 0,
    failedCompare: (outcome.failedCompare ?? 0) - 1,
  }
}
