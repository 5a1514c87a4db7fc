// The SDK: what users import as `quorate/client`. It knows the public calls and their shapes; how they travel is for
// the lanes below.
//
//   await using client = connect('quorate://127.0.0.1:7101,127.0.0.1:7102')
//   await client.put('greeting', 'hello')
//   console.log(await client.getText('greeting'))

import { type ErrorCode, KvError, type KvErrorOptions, isKvError } from '../base/errors.ts'
import { type Timestamp, timestampFromUnixMs, timestampToUnixMs } from '../time/timestamp.ts'
import { Admin } from './admin.ts'
import { type Bytes, copyBytes, noBytes, textOf, toBytes } from './bytes.ts'
import { callWithRetries } from './calls.ts'
import { Cluster } from './cluster.ts'
import { type Commit, type CommitResult, commitResult, encodeCommit } from './commit.ts'
import { parseConnectionString } from './connection-string.ts'
import { type DeleteRangeOptions, type DeleteRangeResult, deleteRange } from './delete-range.ts'
import { type Instant, parseInstant } from './instant.ts'
import {
  type CallOptions,
  type ClientOptions,
  type MethodName,
  type ReadOptions,
  checkCallOptions,
  checkSpanOptions,
  noOptions,
  readOptionsMessage,
  resolveSettings,
} from './options.ts'
import { mustBeDone } from './outcome.ts'
import { ReadLane, firstPages, gets } from './read-lane.ts'
import { type FirstPages, type KeyValue, type ScanOptions, countKeys, scanKeys } from './scan.ts'
import { type SpanOptions, parseDeleteSpan } from './span.ts'
import { type KeyVersionMessage, type OutcomeMessage, historyMethod } from './wire.ts'
import { WriteLane } from './write-lane.ts'

export type { Bytes } from './bytes.ts'
export type { SpanOptions } from './span.ts'
export type { DeleteRangeOptions, DeleteRangeResult } from './delete-range.ts'
export type { Instant } from './instant.ts'
export type { Change, Commit, CommitResult, Compare, CompareOperator } from './commit.ts'
export type { ClientOptions, CallOptions, Consistency, ReadOptions } from './options.ts'
export type { KeyValue, ScanOptions } from './scan.ts'
export type { Admin, ChecksumResult, ClusterStatus, InitResult, MemberChange, NodeInfo, RangeInfo } from './admin.ts'
export type { RemovalInfo, ReplicaInfo, ReplicaRole, ReplicaVerdict } from './admin.ts'
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

export interface CompareAndSetResult {
  readonly swapped: boolean
  readonly timestamp: number
}

export interface HistoryOptions extends CallOptions {
  /** Versions a page; absent: the server's default. */
  readonly limit?: number | undefined
  /** Only versions below this timestamp, or before this Date. */
  readonly before?: Instant | undefined
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
 * all others. A client that nobody closed keeps its process alive only while a call is under way. Throws KvError
 * `invalid-argument` when the URL is malformed.
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
 * over the limit that the message names; `invalid-argument`: what was passed can never succeed, see
 * `details.option`; `cancelled`: by the caller's signal (after it was sent, a
 * write may still be applied); `closed`.
 *
 * No method throws while it is called. Keys, values and options are taken as they are at the call.
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
    return this.#read('get', key, options, valueOf)
  }

  /** The value as UTF-8 text. Rejects with `invalid-argument` when it is none. */
  getText(key: Bytes, options: ReadOptions = noOptions): Promise<string | undefined> {
    return this.#read('getText', key, options, valueTextOf)
  }

  /** The value with its timestamps and version. */
  getWithMetadata(key: Bytes, options: ReadOptions = noOptions): Promise<KeyValue | undefined> {
    return this.#read('getWithMetadata', key, options, (item, bytes) =>
      item.timestamp ? keyValue(item, bytes) : undefined,
    )
  }

  put(key: Bytes, value: Bytes, options: CallOptions = noOptions): Promise<PutResult> {
    return rejecting(() => {
      checkCallOptions('put', options)
      const put = { key: toBytes(key, 'put: key'), value: toBytes(value, 'put: value') }
      this.#checkSize(put.key, put.value)
      return this.#writes.submit({ number: 0, put }, put.key.length + put.value.length, options, putResult)
    })
  }

  delete(key: Bytes, options: CallOptions = noOptions): Promise<DeleteResult> {
    return rejecting(() => {
      checkCallOptions('delete', options)
      const bytes = toBytes(key, 'delete: key')
      this.#checkSize(bytes)
      return this.#writes.submit({ number: 0, delete: { key: bytes } }, bytes.length, options, deleteResult)
    })
  }

  /**
   * Deletes every key of a span, in steps of which each is atomic; `timeoutMs` bounds each step, `signal` ends it
   * between two. What is open must be said: `{ all: true }` is every key. When it fails on the way, what was deleted
   * stays deleted: `details.deleted` of the error says how many, `details.resumeBase64` where to go on; or just call
   * it again.
   */
  async deleteRange(span: SpanOptions, options: DeleteRangeOptions = noOptions): Promise<DeleteRangeResult> {
    checkSpanOptions('deleteRange', span)
    checkCallOptions('deleteRange', options)
    const parsed = parseDeleteSpan('deleteRange', span)
    if (parsed === undefined) return { deleted: 0, resume: undefined }
    return deleteRange(this.#writes, parsed, { ...options })
  }

  /** Compares, then changes, all or nothing. A failed compare is no error: see `succeeded`. */
  commit(commit: Commit, options: CallOptions = noOptions): Promise<CommitResult> {
    return rejecting(() => this.#commit('commit', commit, options))
  }

  /** Writes `value` if the key's value is `expected`; `null` or undefined: if the key is absent. */
  async compareAndSet(
    key: Bytes,
    expected: Bytes | null | undefined,
    value: Bytes,
    options: CallOptions = noOptions,
  ): Promise<CompareAndSetResult> {
    const put = toBytes(key, 'compareAndSet: key')
    const isAbsent = expected === null || expected === undefined
    const target = isAbsent ? { absent: true } : { value: toBytes(expected, 'compareAndSet: expected') }
    const change = { put, value: toBytes(value, 'compareAndSet: value') }
    const commit = { compares: [{ key: put, ...target }], then: [change] }
    const { succeeded, timestamp } = await this.#commit('compareAndSet', commit, options)
    return { swapped: succeeded, timestamp }
  }

  /**
   * Keys in order, at one instant, fetched page by page as they are consumed; `timeoutMs` bounds the wait for each
   * page. Leaving the loop ends the call.
   */
  scan(options: ScanOptions = noOptions): AsyncIterableIterator<KeyValue, void, undefined> {
    return scanKeys(this.#cluster, this.#firstPages, 'scan', options)
  }

  /** How many keys a scan would yield. */
  async count(options: ScanOptions = noOptions): Promise<number> {
    return countKeys(this.#cluster, 'count', options)
  }

  /** The versions of one key, newest first, a page at a time. */
  async history(key: Bytes, options: HistoryOptions = noOptions): Promise<HistoryPage> {
    checkCallOptions('history', options)
    const bytes = toBytes(key, 'history: key')
    this.#checkSize(bytes)
    const { limit, before } = options
    const request = {
      key: bytes,
      limit: limit ?? 0,
      before: before === undefined ? 0 : parseInstant(before, 'history: before', 'first'),
    }
    const response = await callWithRetries(this.#cluster, historyMethod, request, 'leader', { ...options })
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

  #commit(method: MethodName, commit: Commit, options: CallOptions): Promise<CommitResult> {
    checkCallOptions(method, options)
    let bytes = 0
    const op = encodeCommit(method, commit, (key, value) => {
      this.#checkSize(key, value)
      bytes += key.length + (value?.length ?? 0)
    })
    const { requestBytesMax } = this.#cluster.settings
    if (bytes > requestBytesMax) throw tooLarge('request', bytes, requestBytesMax)
    return this.#writes.submit({ number: 0, commit: op }, bytes, options, finishCommit)
  }

  #read<Result>(
    method: MethodName,
    key: Bytes,
    options: ReadOptions,
    finish: (item: KeyVersionMessage, key: Uint8Array) => Result,
  ): Promise<Result> {
    return rejecting(() => {
      checkCallOptions(method, options)
      const bytes = toBytes(key, `${method}: key`)
      this.#checkSize(bytes)
      const readOptions = readOptionsMessage(method, options, this.#cluster.observed.token)
      return this.#gets.submit(bytes, bytes.length, readOptions, options, item => finish(item, bytes))
    })
  }

  /** Throws what is too large, or an empty key. */
  #checkSize(key: Uint8Array, value?: Uint8Array): void {
    const { keyBytesMax, valueBytesMax } = this.#cluster.settings
    if (key.length === 0) throw new KvError('invalid-argument', 'a key has at least one byte')
    if (key.length > keyBytesMax) throw tooLarge('key', key.length, keyBytesMax)
    if (value !== undefined && value.length > valueBytesMax) throw tooLarge('value', value.length, valueBytesMax)
  }
}

/** Runs `start`, and rejects with what it throws. */
function rejecting<Result>(start: () => Promise<Result>): Promise<Result> {
  try {
    return start()
  } catch (error) {
    return Promise.reject(error)
  }
}

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

function putResult(outcome: OutcomeMessage): PutResult {
  mustBeDone(outcome)
  return { timestamp: outcome.timestamp ?? 0, version: outcome.version ?? 0 }
}

function deleteResult(outcome: OutcomeMessage): DeleteResult {
  mustBeDone(outcome)
  return { timestamp: outcome.timestamp ?? 0, deleted: (outcome.deleted ?? 0) > 0 }
}

function finishCommit(outcome: OutcomeMessage): CommitResult {
  mustBeDone(outcome)
  return commitResult(outcome)
}
