// Decodes and validates what a client sent before it is proposed: applying must never meet a surprise (DESIGN.md 15,
// mixed versions). Everything is checked here once; at apply only the session and the state decide.

import { quorate } from '../proto/quorate.js'
import { type Timestamp, addMs } from '../time/timestamp.ts'
import { deleteRangeFault } from './delete-range.ts'
import { keyOperationsOf } from '../base/key-operations.ts'
import { type WriteLimits, sessionIdBytes } from './limits.ts'

export type ParseLimits = WriteLimits

export type ParsedBatch =
  | {
      readonly kind: 'ok'
      readonly batch: quorate.v1.WriteBatch
      readonly operations: number
      readonly keyOperations: number
    }
  | { readonly kind: 'invalid'; readonly message: string; readonly details?: Readonly<Record<string, string>> }
  | { readonly kind: 'too-large'; readonly limit: string; readonly limitBytes: number; readonly value: number }

type Fault = Exclude<ParsedBatch, { kind: 'ok' }>

/** `now`: the proposer's clock, which bounds notAfter. */
export function parseWriteBatch(bytes: Uint8Array, limits: ParseLimits, now: Timestamp): ParsedBatch {
  if (bytes.length > limits.requestBytes) return tooLarge('requestBytes', limits.requestBytes, bytes.length)
  let batch: quorate.v1.WriteBatch
  try {
    batch = quorate.v1.WriteBatch.decode(bytes)
  } catch (error) {
    return invalid(`the write batch does not decode: ${error instanceof Error ? error.message : String(error)}`)
  }
  const { writes, session } = batch
  if (writes.length > limits.batchWrites) return tooLarge('batchWrites', limits.batchWrites, writes.length)
  if (session.length !== 0 && session.length !== sessionIdBytes)
    return invalid(`a session id has ${sessionIdBytes} bytes, not ${session.length}`)
  if (session.length > 0 && batch.notAfter <= 0)
    return invalid('a write in a session needs notAfter, fixed at its first attempt')
  if (!(batch.notAfter <= addMs(now, limits.notAfterAheadMs))) return notAfterAhead(limits.notAfterAheadMs, now)
  if (batch.keyspace > 254) return invalid(`there is no keyspace ${batch.keyspace}`)
  if (!isWhole(batch.floor)) return invalid('floor is no integer below 2^53')
  if (session.length > 0 && writes[0] !== undefined && (writes[0].number ?? 0) < batch.floor)
    return invalid(`number ${writes[0].number} is below its own batch's floor ${batch.floor}`)
  let last = 0
  let keyOperations = 0
  for (const write of writes) {
    if (!isWhole(write.number)) return invalid("a write's number is no integer below 2^53")
    keyOperations += keyOperationsOf(write)
    if (session.length > 0 && !((write.number ?? 0) > last))
      return invalid('the numbers of a batch ascend from above 0')
    last = write.number ?? 0
    const fault = faultOf(write, limits)
    if (fault !== undefined) return fault
  }
  if (keyOperations > limits.batchKeyOperations)
    return tooLarge('batchKeyOperations', limits.batchKeyOperations, keyOperations)
  return { kind: 'ok', batch, operations: writes.length, keyOperations }
}

function faultOf(write: quorate.v1.IWrite, limits: WriteLimits): Fault | undefined {
  if (write.put) return putFault(write.put, limits)
  if (write.delete) return keyFault(write.delete.key, limits)
  if (write.deleteRange) {
    const { start, end, limit } = write.deleteRange
    // A bound may be one byte longer than a key: the least key above the longest ones.
    const boundBytesMax = limits.keyBytes + 1
    const size = Math.max(start?.length ?? 0, end?.length ?? 0)
    if (size > boundBytesMax) return tooLarge('keyBytes', boundBytesMax, size)
    if ((limit ?? 0) > limits.deleteRangeKeys) return tooLarge('deleteRangeKeys', limits.deleteRangeKeys, limit!)
    const fault = deleteRangeFault(write.deleteRange)
    return fault === undefined ? undefined : invalid(fault)
  }
  if (write.commit) return commitFault(write.commit, limits)
  return invalid('a write without an operation')
}

function commitFault(commit: quorate.v1.ICommitOp, limits: WriteLimits): Fault | undefined {
  const compares = commit.compares ?? []
  if (compares.length + (commit.then?.length ?? 0) + (commit.otherwise?.length ?? 0) === 0)
    return invalid('the commit names no key')
  if (compares.length > limits.commitCompares) return tooLarge('commitCompares', limits.commitCompares, compares.length)
  for (const compare of compares) {
    const fault = keyFault(compare.key, limits) ?? compareFault(compare)
    if (fault !== undefined) return fault
  }
  for (const changes of [commit.then ?? [], commit.otherwise ?? []]) {
    if (changes.length > limits.commitChanges) return tooLarge('commitChanges', limits.commitChanges, changes.length)
    const seen = new Set<string>()
    for (const change of changes) {
      const key = change.put?.key ?? change.delete?.key
      const fault = change.put ? putFault(change.put, limits) : keyFault(key, limits)
      if (fault !== undefined) return fault
      const name = Buffer.from(key!).toString('latin1')
      if (seen.has(name)) return invalid('a commit changes each key at most once in a branch')
      seen.add(name)
    }
  }
  return undefined
}

const operators: ReadonlySet<number> = new Set(
  Object.values(quorate.v1.CompareOperator).filter(value => typeof value === 'number'),
)

function compareFault({ operator, value, version, timestamp, absent }: quorate.v1.ICompare): Fault | undefined {
  if (value == null && version == null && timestamp == null && absent == null)
    return invalid('a compare without a target: value, version, timestamp or absent')
  if (!operators.has(operator ?? 0)) return invalid(`there is no compare operator ${operator}`)
  if (!isWhole(version) || !isWhole(timestamp)) return invalid('a compare with a number that is no integer below 2^53')
  if (absent != null && (operator ?? 0) > quorate.v1.CompareOperator.NOT_EQUAL)
    return invalid('absent is compared by EQUAL or NOT_EQUAL')
  return undefined
}

/** uint64 fields arrive as numbers: above 2^53 they have lost digits. */
function isWhole(value: number | null | undefined): boolean {
  return Number.isSafeInteger(value ?? 0)
}

function putFault(put: quorate.v1.IPutOp, limits: WriteLimits): Fault | undefined {
  const size = put.value?.length ?? 0
  if (size > limits.valueBytes) return tooLarge('valueBytes', limits.valueBytes, size)
  return keyFault(put.key, limits)
}

function keyFault(key: Uint8Array | null | undefined, limits: WriteLimits): Fault | undefined {
  const size = key?.length ?? 0
  if (size === 0) return invalid('a key has at least one byte')
  return size > limits.keyBytes ? tooLarge('keyBytes', limits.keyBytes, size) : undefined
}

/** The details let whoever misjudged the cluster's time fix `notAfter` anew: the proposer's clock is what it is judged by. */
function notAfterAhead(limitMs: number, now: Timestamp): Fault {
  const message = `notAfter lies more than ${limitMs} ms ahead of the leader's clock: give it a nearer deadline`
  const details = { limit: 'notAfterAheadMs', limitValue: String(limitMs), now: String(now) }
  return { kind: 'invalid', message, details }
}

function invalid(message: string): Fault {
  return { kind: 'invalid', message }
}

function tooLarge(limit: string, limitBytes: number, value: number): Fault {
  return { kind: 'too-large', limit, limitBytes, value }
}
