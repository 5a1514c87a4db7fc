// From what was typed to what the SDK takes. Every mistake says what would be right.

import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from 'commander'
import { parseInstant } from '../client/instant.ts'
import { timestampToUnixMs } from '../time/timestamp.ts'
import type { CliIo } from './io.ts'

const instantForms = 'It is a date such as 2026-03-01T12:00:00Z, a past instant such as -30s, or a timestamp.'

/** A date, an instant relative to now such as -30s, or a timestamp as the cluster prints it. */
export function parseAt(text: string): number | Date {
  const relative = /^-(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (relative !== null) {
    const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[
      relative[2] as 'ms' | 's' | 'm' | 'h' | 'd'
    ]
    return new Date(Date.now() - Number(relative[1]) * unitMs)
  }
  try {
    const timestamp = parseInstant(/^\d+$/.test(text) ? Number(text) : text, '--at', 'last')
    return /^\d+$/.test(text) ? timestamp : new Date(timestampToUnixMs(timestamp))
  } catch {
    throw new InvalidArgumentError(`${instantForms}${unixTimeRemedy(text)}`)
  }
}

/** Seconds and milliseconds since 1970 have 10 and 13 digits for some centuries; timestamps have more. */
function unixTimeRemedy(text: string): string {
  const unixMs = /^\d{13}$/.test(text) ? Number(text) : /^\d{10}$/.test(text) ? Number(text) * 1000 : undefined
  return unixMs === undefined ? '' : ` For that Unix time, write ${new Date(unixMs).toISOString()}.`
}

export function parseWhole(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER ? `It is a whole number of at least ${least}.` : `It is ${least} to ${most}.`,
    )
  }
}

export function parseSeconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value > 0 && value <= 86_400) return value
  throw new InvalidArgumentError('It is a number of seconds above 0.')
}

/** For options that may be given more than once. */
export function collect(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text]
}

/** What stands for a value that is elsewhere: `@path` is that file's bytes, `-` is standard input's; `@@…` begins with @. */
export async function readValue(given: string, io: CliIo): Promise<string | Uint8Array> {
  if (given === '-') {
    const chunks: Uint8Array[] = []
    for await (const chunk of io.stdin) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    return Buffer.concat(chunks)
  }
  if (given.startsWith('@@')) return given.slice(1)
  if (!given.startsWith('@')) return given
  try {
    return await readFile(given.slice(1))
  } catch (error) {
    throw new UsageError(`cannot read ${given.slice(1)}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** A mistake that shows only when the command runs. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
