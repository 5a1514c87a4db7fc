// Instants as callers write them: a Date, ISO text, or a timestamp of the cluster. A number that is no timestamp is
// refused: milliseconds since 1970 would read the first days of 2024, in silence.

import { KvError } from '../base/errors.ts'
import {
  type Timestamp,
  logicalPerMs,
  timestampFromUnixMs,
  timestampMax,
  timestampToUnixMs,
} from '../time/timestamp.ts'
import { describe } from './option-check.ts'

/**
 * An instant: a Date, ISO text such as 2026-03-01T12:00:00Z (without a zone it is local time; a day alone begins at
 * midnight in UTC), or a timestamp of the cluster, as results carry it.
 */
export type Instant = number | Date | string

/**
 * No cluster is older than this. A timestamp below it is no timestamp: what comes as milliseconds or seconds since 1970
 * stays below it until the year 2317.
 */
const timestampLeast = timestampFromUnixMs(Date.UTC(2024, 1, 1))
const unixMsMost = timestampToUnixMs(timestampMax) - 1

/** A day, perhaps a time, perhaps a zone: what every reader of ISO 8601 takes for the same. */
const isoText = /^(\d{4})-(\d{2})-(\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/

/** Which of the moments that share its millisecond a date stands for. */
export type Moment = 'first' | 'last'

/** Throws KvError `invalid-argument` that begins with `name`. */
export function parseInstant(instant: unknown, name: string, moment: Moment): Timestamp {
  if (typeof instant === 'number') return parseTimestamp(instant, name)
  const unixMs = isDate(instant) ? instant.getTime() : unixMsOfText(instant)
  if (Number.isNaN(unixMs)) throw notAnInstant(instant, name)
  if (unixMs > unixMsMost) {
    const latest = new Date(unixMsMost).toISOString()
    throw new KvError('invalid-argument', `${name} is after ${latest}, the latest instant that a timestamp can hold`)
  }
  return timestampFromUnixMs(unixMs, moment === 'last' ? logicalPerMs - 1 : 0)
}

/** By its tag, too: a test runner's realm has a class of its own. */
export function isDate(instant: unknown): instant is Date {
  return instant instanceof Date || Object.prototype.toString.call(instant) === '[object Date]'
}

function parseTimestamp(value: number, name: string): Timestamp {
  if (!Number.isSafeInteger(value) || value <= 0) throw notAnInstant(value, name)
  if (value >= timestampLeast) return value as Timestamp
  const remedy = 'give new Date(milliseconds), ISO text, or a timestamp from a result'
  throw new KvError('invalid-argument', `${name} is ${value}, which is no timestamp of the cluster: ${remedy}`)
}

function unixMsOfText(text: unknown): number {
  const match = typeof text === 'string' ? isoText.exec(text) : null
  if (match === null) return Number.NaN
  const [iso, year, month, day] = match
  // Date.parse takes the 30th of February for the 2nd of March.
  if (Number(day) > new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()) return Number.NaN
  return Date.parse(iso.replace(' ', 'T').replace(',', '.'))
}

function notAnInstant(instant: unknown, name: string): KvError {
  const shown = isDate(instant) ? 'an invalid Date' : describe(instant)
  const forms = 'a Date, ISO text such as 2026-03-01T12:00:00Z, or a timestamp from a result'
  return new KvError('invalid-argument', `${name} is not an instant: ${shown}; it must be ${forms}`)
}
