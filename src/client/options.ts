// What callers may choose, and the defaults. It knows no connection.

import { unreachable } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import type { Clock } from '../time/clock.ts'
import { systemClock } from '../time/system-clock.ts'
import { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'
import { type Instant, parseInstant } from './instant.ts'
import {
  type OptionCheck,
  boolean,
  checkOptions,
  describe,
  duration,
  elsewhere,
  functionOption,
  optional,
  refuse,
  signal,
  whole,
} from './option-check.ts'
import { spanChecks } from './span.ts'
import type { ReadOptionsMessage } from './wire.ts'

/** A leader takes no write that it could be asked to apply more than two minutes ahead; the rest is for its clock. */
const writeTimeoutMsMax = 115_000
/** What waits longer for an answer is better asked again: nobody is served by a call that hangs. */
const readTimeoutMsMax = 15 * 60_000

export interface ClientOptions {
  /**
   * How long an operation may take when its call does not say, in milliseconds, at most 115,000, because writes take
   * no more. Default 5000.
   */
  readonly timeoutMs?: number | undefined
  /** Ask the cluster for its other nodes. Default true; false stays with the addresses given. */
  readonly discover?: boolean | undefined
  /**
   * How many batches of gets may be under way at a time. They share one connection with everything else, until there
   * are so many gets that each batch gets a connection of its own. Default 4.
   */
  readonly readConnections?: number | undefined
  /** Batches of writes under way at a time. Default 1: measured, one big batch beats many. */
  readonly writeBatchesInFlight?: number | undefined
  readonly batchOperationsMax?: number | undefined
  /** Keys and values in one batch, in bytes. Default 512 KiB, half a log entry; a larger operation travels alone. */
  readonly batchBytesMax?: number | undefined
  /** Operations that may wait for a batch; past it `overloaded`. Default 65,536. */
  readonly queueOperationsMax?: number | undefined
  /** Bytes that may wait for a batch; past it `overloaded`. Default 64 MiB. */
  readonly queueBytesMax?: number | undefined
  /**
   * How long one node may take to answer before another is tried, in milliseconds; longer when one after another does
   * not answer. Default 1000.
   */
  readonly attemptTimeoutMs?: number | undefined
  /** Limits refused here already, as `too-large`; raise them when the cluster's are higher. */
  readonly keyBytesMax?: number | undefined
  readonly valueBytesMax?: number | undefined
  readonly requestBytesMax?: number | undefined
  /** For tests. */
  readonly clock?: Clock | undefined
  /** For tests: uniform in [0, 1). */
  readonly random?: (() => number) | undefined
}

export type Settings = { readonly [Name in keyof ClientOptions]-?: NonNullable<ClientOptions[Name]> }

const mebibyte = 1024 * 1024

const count = optional(whole(1))
const object: OptionCheck = (value, name) => {
  if (typeof value !== 'object' || value === null) refuse(name, 'an object', value)
}

const clientChecks: Readonly<Record<keyof ClientOptions, OptionCheck>> = {
  timeoutMs: optional(duration(writeTimeoutMsMax)),
  discover: optional(boolean),
  readConnections: count,
  writeBatchesInFlight: count,
  batchOperationsMax: count,
  batchBytesMax: count,
  queueOperationsMax: count,
  queueBytesMax: count,
  attemptTimeoutMs: optional(duration(readTimeoutMsMax)),
  keyBytesMax: count,
  valueBytesMax: count,
  requestBytesMax: count,
  clock: optional(object),
  random: optional(functionOption),
}

/** Throws KvError `invalid-argument`. */
export function resolveSettings(options: ClientOptions): Settings {
  checkOptions('connect', options, clientChecks)
  return {
    timeoutMs: options.timeoutMs ?? 5000,
    discover: options.discover ?? true,
    readConnections: options.readConnections ?? 4,
    writeBatchesInFlight: options.writeBatchesInFlight ?? 1,
    batchOperationsMax: options.batchOperationsMax ?? 2048,
    batchBytesMax: options.batchBytesMax ?? mebibyte / 2,
    queueOperationsMax: options.queueOperationsMax ?? 65_536,
    queueBytesMax: options.queueBytesMax ?? 64 * mebibyte,
    attemptTimeoutMs: options.attemptTimeoutMs ?? 1000,
    keyBytesMax: options.keyBytesMax ?? 4096,
    valueBytesMax: options.valueBytesMax ?? mebibyte,
    requestBytesMax: options.requestBytesMax ?? 4 * mebibyte,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  }
}

/** Every call takes these. */
export interface CallOptions {
  /** Gives the call up: KvError `cancelled`. A write that was already sent may still be applied. */
  readonly signal?: AbortSignal | undefined
  /**
   * How long the call may take, retries included, in milliseconds: writes at most 115,000, everything else at most
   * 900,000.
   */
  readonly timeoutMs?: number | undefined
}

export type Consistency = 'linearizable' | 'stale' | 'session'

export interface ReadOptions extends CallOptions {
  /**
   * `linearizable` (default): everything acknowledged before the call. `session`: at least what this client has
   * written and seen, from any node. `stale`: whatever the node asked has applied.
   */
  readonly consistency?: Consistency | undefined
  /** Read exactly this instant instead, a Date's whole millisecond included; `consistency` is not looked at. */
  readonly at?: Instant | undefined
}

const callChecks = { signal: optional(signal), timeoutMs: optional(duration(readTimeoutMsMax)) }
const consistencies: readonly unknown[] = ['linearizable', 'session', 'stale'] satisfies Consistency[]
const readChecks = {
  ...callChecks,
  consistency: optional((value, name) => {
    if (!consistencies.includes(value)) refuse(name, `one of ${consistencies.join(', ')}`, value)
  }),
  at: optional(elsewhere),
}
const uint32Max = 0xffff_ffff
const writeChecks = { signal: optional(signal), timeoutMs: optional(duration(writeTimeoutMsMax)) }
const scanChecks = {
  ...readChecks,
  ...spanChecks,
  limit: optional(whole(0)),
  reverse: optional(boolean),
  keysOnly: optional(boolean),
  pageKeys: optional(whole(0, uint32Max)),
}
const historyChecks = { ...callChecks, limit: optional(whole(0, uint32Max)), before: optional(elsewhere) }
// A limit that is undefined by mistake would delete the whole span.
const deleteRangeChecks = { ...writeChecks, limit: whole(1), onProgress: optional(functionOption) }

/** What each method takes. */
const checks = {
  get: readChecks,
  getText: readChecks,
  getWithMetadata: readChecks,
  put: writeChecks,
  delete: writeChecks,
  deleteRange: deleteRangeChecks,
  commit: writeChecks,
  compareAndSet: writeChecks,
  scan: scanChecks,
  count: scanChecks,
  history: historyChecks,
  'admin.status': { ...callChecks, local: optional(boolean) },
  'admin.nodes': callChecks,
  'admin.init': callChecks,
  'admin.addMember': callChecks,
  'admin.promoteMember': callChecks,
  'admin.removeMember': callChecks,
  'admin.transferLeader': { ...callChecks, rangeId: optional(whole(1)) },
  'admin.checksum': { ...callChecks, rangeId: optional(whole(1)) },
} as const satisfies Readonly<Record<string, Readonly<Record<string, OptionCheck>>>>

export type MethodName = keyof typeof checks

export const noOptions: CallOptions = {}

/** Throws KvError `invalid-argument`. */
export function checkCallOptions(method: MethodName, options: object): void {
  // The hot way: no call without options pays for their check.
  if (options !== noOptions) checkOptions(method, options, checks[method])
}

/** Throws KvError `invalid-argument`. */
export function checkSpanOptions(method: MethodName, span: object): void {
  checkOptions(method, span, spanChecks)
}

/** Throws KvError `invalid-argument`: a name is never left to be guessed. */
export function checkName(value: unknown, name: string): void {
  if (typeof value === 'string' && value.length > 0) return
  throw new KvError('invalid-argument', `${name} is ${describe(value)}; it must be a name, such as n1`)
}

const linearizable: ReadOptionsMessage = { kind: quorate.v1.ReadKind.READ_KIND_LINEARIZABLE, at: 0 }
const stale: ReadOptionsMessage = { kind: quorate.v1.ReadKind.READ_KIND_STALE, at: 0 }

/** Of options that were checked. `token`: the timestamp that a session read must not be older than. */
export function readOptionsMessage(method: MethodName, options: ReadOptions, token: Timestamp): ReadOptionsMessage {
  if (options.at !== undefined) {
    const at = parseInstant(options.at, `${method}: at`, 'last')
    return { kind: quorate.v1.ReadKind.READ_KIND_AT, at }
  }
  switch (options.consistency) {
    case undefined:
    case 'linearizable':
      return linearizable
    case 'stale':
      return stale
    case 'session':
      return { kind: quorate.v1.ReadKind.READ_KIND_SESSION, at: token }
    default:
      return unreachable(options.consistency)
  }
}

export function isLinearizable(options: ReadOptionsMessage): boolean {
  return options.kind === quorate.v1.ReadKind.READ_KIND_LINEARIZABLE
}
