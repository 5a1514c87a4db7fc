// Which keys a call means: a prefix, a span, or all of them. What is left open reads to the end of the keyspace; nothing
// is ever deleted because something was left out: deletions name an open end, and the whole keyspace, by words of their
// own.

import { KvError } from '../base/errors.ts'
import { type Bytes, compareBytes, noBytes, prefixEnd, toBytes } from './bytes.ts'
import { type OptionCheck, boolean, refuse } from './option-check.ts'

/**
 * `prefix` alone, or `start` (inclusive) and `end` (exclusive); together they mean what lies in both. To read, both may
 * be left out. To delete, what is left open must be said: `{ all: true }`, `{ start, toEnd: true }`,
 * `{ fromStart: true, end }`.
 */
export interface SpanOptions {
  readonly start?: Bytes
  readonly end?: Bytes
  readonly prefix?: Bytes
  /** Every key. It goes alone. */
  readonly all?: boolean
  /** In place of `start`. */
  readonly fromStart?: boolean
  /** In place of `end`. */
  readonly toEnd?: boolean
}

export interface Span {
  readonly start: Uint8Array
  /** Exclusive; empty: the end of the keyspace. */
  readonly end: Uint8Array
}

/** An undefined bound comes of a misspelt variable, and would read or delete what nobody asked for. */
const bound: OptionCheck = (value, name) => {
  if (value === undefined) refuse(name, 'left out, or a string or bytes', value)
}

export const spanChecks = { start: bound, end: bound, prefix: bound, all: boolean, fromStart: boolean, toEnd: boolean }

/** The smallest key there can be: keys are never empty. */
const keyLeast = Uint8Array.of(0)

/** Of options that were checked. undefined: no key lies in it. Throws KvError `invalid-argument`. */
export function parseSpan(method: string, options: SpanOptions): Span | undefined {
  const part = (name: 'start' | 'end' | 'prefix'): Uint8Array => {
    const given = options[name]
    return given === undefined ? noBytes : toBytes(given, `${method}: ${name}`)
  }
  const given = { start: part('start'), end: part('end') }
  const prefix = part('prefix')
  checkWords(method, options)
  const isBounded = given.end.length > 0
  if (isBounded && compareBytes(given.start, given.end) > 0) {
    throw new KvError('invalid-argument', `${method}: the span ends before it starts`)
  }
  const stop = prefixEnd(prefix)
  const start = compareBytes(prefix, given.start) > 0 ? prefix : given.start
  const isStop = stop.length > 0 && (!isBounded || compareBytes(stop, given.end) < 0)
  const end = isStop ? stop : given.end
  return end.length > 0 && compareBytes(start, end) >= 0 ? undefined : { start, end }
}

/** As `parseSpan`, but whatever is open was meant to be. */
export function parseDeleteSpan(method: string, options: SpanOptions): Span | undefined {
  const span = parseSpan(method, options)
  const { start, end, prefix, all, fromStart, toEnd } = options
  for (const [name, bytes] of Object.entries({ start, end, prefix })) {
    if (bytes !== undefined && toBytes(bytes, name).length === 0) throw unbounded(method, `${name} is empty`)
  }
  if (all) return span
  if (prefix === undefined) {
    if (start === undefined && !fromStart) throw unbounded(method, 'no start is given')
    if (end === undefined && !toEnd) throw unbounded(method, 'no end is given')
  }
  return span && fromStart ? { ...span, start: keyLeast } : span
}

function checkWords(method: string, { start, end, prefix, all, fromStart, toEnd }: SpanOptions): void {
  const isBounded = start !== undefined || end !== undefined || prefix !== undefined
  let wrong: string | undefined
  if (all && (isBounded || fromStart || toEnd)) wrong = 'all means every key, so it goes alone'
  else if ((fromStart || toEnd) && prefix !== undefined) wrong = 'a prefix has its ends, so it goes without open ones'
  else if (fromStart && start !== undefined) wrong = 'fromStart is in place of start'
  else if (toEnd && end !== undefined) wrong = 'toEnd is in place of end'
  else if (fromStart && toEnd) wrong = 'every key is { all: true }'
  if (wrong !== undefined) throw new KvError('invalid-argument', `${method}: ${wrong}`)
}

function unbounded(method: string, why: string): KvError {
  const remedy =
    'name { prefix }, { start, end }, { start, toEnd: true } or { fromStart: true, end }; { all: true } is every key'
  return new KvError('invalid-argument', `${method}: ${why}: ${remedy}`)
}
