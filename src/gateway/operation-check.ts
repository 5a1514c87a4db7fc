// The named limits of single operations, checked before they join others in a batch: one caller's mistake must not send
// its neighbours around again. The leader checks everything once more; this is for speed and clear words, not for safety.

import { KvError } from '../base/errors.ts'
import { deleteRangeFault } from '../command/delete-range.ts'
import type { quorate } from '../proto/quorate.js'
import type { GatewayLimits } from './limits.ts'
import { tooLarge } from './refusal-error.ts'

const emptyBytes = new Uint8Array()

export function checkKey(key: Uint8Array | null | undefined, limits: GatewayLimits): Uint8Array {
  if (!key || key.length === 0) throw new KvError('invalid-argument', 'the key is empty')
  if (key.length > limits.keyBytesMax) throw tooLarge('keyBytesMax', limits.keyBytesMax, key.length)
  return key
}

export function checkPut(
  op: quorate.v1.IPutOp | null | undefined,
  limits: GatewayLimits,
): { readonly key: Uint8Array; readonly value: Uint8Array } {
  const key = checkKey(op?.key, limits)
  const value = op?.value ?? emptyBytes
  if (value.length > limits.valueBytesMax) throw tooLarge('valueBytesMax', limits.valueBytesMax, value.length)
  return { key, value }
}

/** Throws KvError. A span that nobody named is never taken for the whole keyspace. */
export function checkDeleteRange(
  op: quorate.v1.IDeleteRangeOp | null | undefined,
  limits: GatewayLimits,
): { readonly op: quorate.v1.IDeleteRangeOp; readonly key: Uint8Array; readonly bytes: number } {
  const fault = deleteRangeFault(op)
  if (!op || fault !== undefined) throw new KvError('invalid-argument', fault ?? 'the deletion is empty')
  const { key, bytes } = checkBounds(op, limits)
  return { op, key, bytes }
}

/** The bounds of a span may be one byte longer than a key: the least key above the longest ones. Throws KvError. */
export function checkBounds(
  span: { readonly start?: Uint8Array | null; readonly end?: Uint8Array | null },
  limits: GatewayLimits,
): { readonly key: Uint8Array; readonly bytes: number } {
  const [start, end] = [span.start ?? emptyBytes, span.end ?? emptyBytes]
  const boundBytesMax = limits.keyBytesMax + 1
  const size = Math.max(start.length, end.length)
  if (size > boundBytesMax) throw tooLarge('keyBytesMax', boundBytesMax, size)
  if (end.length > 0 && Buffer.compare(start, end) > 0) {
    throw new KvError('invalid-argument', 'the span ends before it starts')
  }
  return { key: start, bytes: start.length + end.length }
}

export function checkGets(keys: readonly Uint8Array[], limits: GatewayLimits): void {
  if (keys.length > limits.batchOpsMax) throw tooLarge('batchOpsMax', limits.batchOpsMax, keys.length)
  for (const key of keys) checkKey(key, limits)
}

/** With a key to route by, and the bytes of all keys and values. */
export function checkCommit(
  op: quorate.v1.ICommitOp | null | undefined,
  limits: GatewayLimits,
): { readonly op: quorate.v1.ICommitOp; readonly key: Uint8Array; readonly bytes: number } {
  if (!op) throw new KvError('invalid-argument', 'the commit is empty')
  let bytes = 0
  let first: Uint8Array | undefined
  const count = (key: Uint8Array, valueBytes: number): void => {
    first ??= key
    bytes += key.length + valueBytes
  }
  for (const compare of op.compares ?? []) count(checkKey(compare.key, limits), compare.value?.length ?? 0)
  for (const changes of [op.then, op.otherwise]) {
    for (const change of changes ?? []) {
      if (change.put) {
        const put = checkPut(change.put, limits)
        count(put.key, put.value.length)
      } else if (change.delete) count(checkKey(change.delete.key, limits), 0)
      else throw new KvError('invalid-argument', 'a change of the commit is neither a put nor a delete')
    }
  }
  if (first === undefined) throw new KvError('invalid-argument', 'the commit names no key')
  if (bytes > limits.requestBytesMax) throw tooLarge('requestBytesMax', limits.requestBytesMax, bytes)
  return { op, key: first, bytes }
}
