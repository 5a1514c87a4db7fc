// The SDK: what users import as `quorate/client`. It knows the public calls and their shapes; how they travel is for
// the lanes below.
//
//   await using client = connect('quorate://127.0.0.1:7101,127.0.0.1:7102')
//   await client.put('greeting', 'hello')
//   console.log(await client.getText('greeting'))

import { type ErrorCode, KvError, type KvErrorOptions, isKvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import { type Timestamp, timestampFromUnixMs, timestampToUnixMs } from '../time/timestamp.ts'
import { Admin } from './admin.ts'
import { type Bytes, type SpanOptions, copyBytes, noBytes, parseSpan, textOf, toBytes } from './bytes.ts'
import { callWithRetries } from './calls.ts'
import { Cluster } from './cluster.ts'
import { type Commit, type CommitResult, commitResult, encodeCommit } from './commit.ts'
import { parseConnectionString } from './connection-string.ts'
import {
  type CallOptions,
  type ClientOptions,
  type ReadOptions,
  readOptionsMessage,
  resolveSettings,
} from './options.ts'
import { ReadLane, firstPages, gets } from './read-lane.ts'
import { type FirstPages, type KeyValue, type ScanOptions, countKeys, scanKeys } from './scan.ts'
import { type KeyVersionMessage, type OutcomeMessage, historyMethod } from './wire.ts'
import { WriteLane } from './write-lane.ts'

export type { Bytes, SpanOptions } from './bytes.ts'
export type { Change, Commit, CommitResult, Compare, CompareOperator } from './commit.ts'
export type { ClientOptions, CallOptions, Consistency, Instant, ReadOptions } from './options.ts'
export type { KeyValue, ScanOptions } from './scan.ts'
export type { Admin, ClusterStatus, InitResult, NodeInfo, RangeInfo, ReplicaInfo, ReplicaRole } from './admin.ts'
export { KvError, isKvError, type ErrorCode, type KvErrorOptions }

export interface PutResult {
  readonly timestamp: number
  /** The key's version after the write: 1 when it was absent. */
  readonly version: number
}

export interface DeleteResult {
  readonly timestamp: number
  /** The key was there. */
  readonly deleted: boolean
}

export interface DeleteRangeOptions extends CallOptions {
  /** Stop after about this many keys; absent: when the span is empty. */
  readonly limit?: number
  /** Called after every step with the keys deleted so far. */
  readonly onProgress?: (deleted: number) => void
}

export interface DeleteRangeResult {
  readonly deleted: number
  /** Where to go on when `limit` stopped it; undefined: the span was emptied. */
  readonly resume: Uint8Array | undefined
}

export interface CompareAndSetResult {
  readonly swapped: boolean
  readonly timestamp: number
}

export interface HistoryOptions extends CallOptions {
  /** Versions a page; absent: the server's default. */
  readonly limit?: number
  /** Only versions below this timestamp. */
  readonly before?: number
}

export interface HistoricVersion extends KeyValue {
  /** This version is a deletion. */
  readonly deleted: boolean
}

export interface HistoryPage {
  /** Newest first. */
  readonly versions: readonly HistoricVersion[]
  /** There are older ones: ask again with `before` set to the last one's timestamp. */
  readonly more: boolean
}

/**
 * Connects lazily: the first call does. `url` is `quorate://host:port,host:port`; any live node of the cluster leads to
 * all others. Throws KvError `invalid-argument` when it is malformed.
 */
export function connect(url: string, options: ClientOptions = {}): Client {
  return new Client(parseConnectionString(url), options)
}

/** A timestamp of the cluster as a date, without its logical part. */
export function timestampToDate(timestamp: number): Date {
  return new Date(timestampToUnixMs(timestamp as Timestamp))
}

/** The first timestamp of a date's millisecond. */
export function timestampFromDate(date: Date): number {
  return timestampFromUnixMs(date.getTime())
}

/**
 * A cluster. Calls reject with a KvError, whose `code` says what to do:
 * `unknown-outcome` and `too-late`: a write may or may not have been applied, and is not repeated; `unavailable` and
 * `deadline-exceeded`: certainly not applied; `overloaded`: a queue here or there is full, try later; `too-large`:
 * over the limit that the message names; `invalid-argument`; `cancelled`: by the caller's signal (after it was sent, a
 * write may still be applied); `closed`.
 *
 * Everything is repeated within the call's `timeoutMs` as long as it is safe, and every write is applied once.
 */
export class Client implements AsyncDisposable {
  readonly admin: Admin
  readonly #cluster: Cluster
  readonly #writes: WriteLane
  readonly #gets: ReadLane<Uint8Array, KeyVersionMessage>
  readonly #firstPages: FirstPages

  constructor(addresses: readonly string[], options: ClientOptions) {
    this.#cluster = new Cluster(addresses, resolveSettings(options))
    this.#writes = new WriteLane(this.#cluster)
    this.#gets = new ReadLane(this.#cluster, gets)
    this.#firstPages = new ReadLane(this.#cluster, firstPages)
    this.admin = new Admin(this.#cluster, addresses)
  }

  /** The value's bytes, or undefined when the key is absent. */
  get(key: Bytes, options: ReadOptions = noOptions): Promise<Uint8Array | undefined> {
    return this.#read(key, options, valueOf)
  }

  /** The value as UTF-8 text. */
  getText(key: Bytes, options: ReadOptions = noOptions): Promise<string | undefined> {
    return this.#read(key, options, valueTextOf)
  }

  /** The value with its timestamps and version. */
  getWithMetadata(key: Bytes, options: ReadOptions = noOptions): Promise<KeyValue | undefined> {
    const bytes = toBytes(key)
    return this.#read(bytes, options, item => (item.timestamp ? keyValue(item, bytes) : undefined))
  }

  put(key: Bytes, value: Bytes, options: CallOptions = noOptions): Promise<PutResult> {
    const put = { key: toBytes(key), value: toBytes(value) }
    const refusal = this.#refusal(put.key, put.value)
    if (refusal !== undefined) return Promise.reject(refusal)
    return this.#writes.submit({ number: 0, put }, put.key.length + put.value.length, options, putResult)
  }

  delete(key: Bytes, options: CallOptions = noOptions): Promise<DeleteResult> {
    const bytes = toBytes(key)
    const refusal = this.#refusal(bytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    return this.#writes.submit({ number: 0, delete: { key: bytes } }, bytes.length, options, deleteResult)
  }

  /**
   * Deletes every key of a span, in steps of which each is atomic; `timeoutMs` bounds each step. When it fails between
   * steps, what earlier steps deleted stays deleted (`details.deleted` of the error).
   */
  async deleteRange(span: SpanOptions, options: DeleteRangeOptions = noOptions): Promise<DeleteRangeResult> {
    const { start, end } = parseSpan(span)
    const limit = options.limit ?? 0
    let from = start
    let deleted = 0
    for (;;) {
      const deleteRange = { start: from, end, limit: limit === 0 ? 0 : limit - deleted }
      const request = { number: 0, deleteRange }
      const step = await this.#writes.submit(request, from.length + end.length, options, deleteRangeStep)
      deleted += step.deleted
      options.onProgress?.(deleted)
      if (step.resume.length === 0) return { deleted, resume: undefined }
      if (limit > 0 && deleted >= limit) return { deleted, resume: step.resume }
      from = step.resume
    }
  }

  /** Compares, then changes, all or nothing. A failed compare is no error: see `succeeded`. */
  async commit(commit: Commit, options: CallOptions = noOptions): Promise<CommitResult> {
    let bytes = 0
    const op = encodeCommit(commit, (key, value) => {
      const refusal = this.#refusal(key, value)
      if (refusal !== undefined) throw refusal
      bytes += key.length + (value?.length ?? 0)
    })
    const { requestBytesMax } = this.#cluster.settings
    if (bytes > requestBytesMax) throw tooLarge('request', bytes, requestBytesMax)
    return this.#writes.submit({ number: 0, commit: op }, bytes, options, finishCommit)
  }

  /** Writes `value` if the key's value is `expected`; `null` or undefined: if the key is absent. */
  async compareAndSet(
    key: Bytes,
    expected: Bytes | null | undefined,
    value: Bytes,
    options: CallOptions = noOptions,
  ): Promise<CompareAndSetResult> {
    const compare = expected === null || expected === undefined ? { key, absent: true } : { key, value: expected }
    const { succeeded, timestamp } = await this.commit({ compares: [compare], then: [{ put: key, value }] }, options)
    return { swapped: succeeded, timestamp }
  }

  /**
   * Keys in order, at one instant, fetched page by page as they are consumed; `timeoutMs` bounds the wait for each
   * page. Leaving the loop ends the call.
   */
  scan(options: ScanOptions = noOptions): AsyncIterableIterator<KeyValue, void, undefined> {
    return scanKeys(this.#cluster, this.#firstPages, options)
  }

  /** How many keys a scan would yield. */
  async count(options: ScanOptions = noOptions): Promise<number> {
    return countKeys(this.#cluster, options)
  }

  /** The versions of one key, newest first, a page at a time. */
  async history(key: Bytes, options: HistoryOptions = noOptions): Promise<HistoryPage> {
    const bytes = toBytes(key)
    const request = { key: bytes, limit: options.limit ?? 0, before: options.before ?? 0 }
    const response = await callWithRetries(this.#cluster, historyMethod, request, 'leader', options)
    const versions = response.items.map(item => ({ ...keyValue(item, bytes), deleted: item.deleted ?? false }))
    return { versions, more: response.more }
  }

  /** Ends connections. What is under way fails: reads with `closed`, writes that were sent with `unknown-outcome`. */
  close(): void {
    this.#cluster.close()
    this.#writes.close()
    this.#gets.close()
    this.#firstPages.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  #read<Result>(key: Bytes, options: ReadOptions, finish: (item: KeyVersionMessage) => Result): Promise<Result> {
    const bytes = toBytes(key)
    const refusal = this.#refusal(bytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    try {
      return this.#gets.submit(
        bytes,
        bytes.length,
        readOptionsMessage(options, this.#cluster.observed.token),
        options,
        finish,
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #refusal(key: Uint8Array, value?: Uint8Array): KvError | undefined {
    const { keyBytesMax, valueBytesMax } = this.#cluster.settings
    if (key.length === 0) return new KvError('invalid-argument', 'a key has at least one byte')
    if (key.length > keyBytesMax) return tooLarge('key', key.length, keyBytesMax)
    if (value !== undefined && value.length > valueBytesMax) return tooLarge('value', value.length, valueBytesMax)
    return undefined
  }
}

const noOptions = {}

function tooLarge(what: string, bytes: number, bytesMax: number): KvError {
  const details = { limit: `${what}-bytes`, value: String(bytesMax) }
  return new KvError('too-large', `the ${what} has ${bytes} bytes; the limit is ${bytesMax}`, { details })
}

function valueOf(item: KeyVersionMessage): Uint8Array | undefined {
  return item.timestamp ? copyBytes(item.value ?? noBytes) : undefined
}

function valueTextOf(item: KeyVersionMessage): string | undefined {
  return item.timestamp ? textOf(item.value ?? noBytes) : undefined
}

function keyValue(item: KeyVersionMessage, key: Uint8Array): KeyValue {
  return {
    key,
    value: copyBytes(item.value ?? noBytes),
    timestamp: item.timestamp ?? 0,
    created: item.created ?? 0,
    version: item.version ?? 0,
  }
}

/** Throws what is no result. */
function mustBeDone(outcome: OutcomeMessage): void {
  switch (outcome.kind) {
    case quorate.v1.OutcomeKind.OUTCOME_KIND_DONE:
    case quorate.v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED:
      return
    case quorate.v1.OutcomeKind.OUTCOME_KIND_TOO_LATE:
      throw new KvError('too-late', outcome.message || 'too late: whether the write was applied is unknown')
    case quorate.v1.OutcomeKind.OUTCOME_KIND_INVALID:
      throw new KvError('invalid-argument', outcome.message || 'refused; nothing was changed')
    default:
      throw new KvError('internal', `an outcome of unknown kind ${String(outcome.kind)}`)
  }
}

function putResult(outcome: OutcomeMessage): PutResult {
  mustBeDone(outcome)
  return { timestamp: outcome.timestamp ?? 0, version: outcome.version ?? 0 }
}

function deleteResult(outcome: OutcomeMessage): DeleteResult {
  mustBeDone(outcome)
  return { timestamp: outcome.timestamp ?? 0, deleted: (outcome.deleted ?? 0) > 0 }
}

function deleteRangeStep(outcome: OutcomeMessage): { readonly deleted: number; readonly resume: Uint8Array } {
  mustBeDone(outcome)
  return { deleted: outcome.deleted ?? 0, resume: copyBytes(outcome.resume ?? noBytes) }
}

function finishCommit(outcome: OutcomeMessage): CommitResult {
  mustBeDone(outcome)
  return commitResult(outcome)
}
