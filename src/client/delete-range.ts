// Deleting a span, step by step: one step is one atomic command of bounded size, and the next begins where it ended.

import { KvError, isKvError } from '../base/errors.ts'
import { copyBytes, noBytes } from './bytes.ts'
import type { CallOptions } from './options.ts'
import { mustBeDone } from './outcome.ts'
import type { Span } from './span.ts'
import type { OutcomeMessage } from './wire.ts'
import type { WriteLane } from './write-lane.ts'

export interface DeleteRangeOptions extends CallOptions {
  /** Stop after this many keys; left out: when the span is empty. */
  readonly limit?: number | undefined
  /** Called after every step with the keys deleted so far. */
  readonly onProgress?: ((deleted: number) => void) | undefined
}

export interface DeleteRangeResult {
  readonly deleted: number
  /** Where to go on when `limit` stopped it; undefined: the span was emptied. */
  readonly resume: Uint8Array | undefined
}

/** Keys a step: the apply loop of every replica is busy with one step at a time. */
const stepKeysMax = 1000

/** Of a span and options that were checked. */
export async function deleteRange(
  writes: WriteLane,
  { start, end }: Span,
  options: DeleteRangeOptions,
): Promise<DeleteRangeResult> {
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  let from = start
  let deleted = 0
  for (;;) {
    // The wire, too, wants a word where an end is open.
    const toEnd = end.length === 0 && from.length > 0
    const all = end.length === 0 && from.length === 0
    const request = { start: from, end, toEnd, all, limit: Math.min(limit - deleted, stepKeysMax) }
    const bytes = from.length + end.length
    let step: Step
    try {
      step = await writes.submit({ number: 0, deleteRange: request }, bytes, options, finishStep)
    } catch (error) {
      throw isKvError(error) ? stoppedAt(error, deleted, from) : error
    }
    deleted += step.deleted
    options.onProgress?.(deleted)
    if (step.resume.length === 0) return { deleted, resume: undefined }
    if (deleted >= limit) return { deleted, resume: step.resume }
    from = step.resume
  }
}

interface Step {
  readonly deleted: number
  readonly resume: Uint8Array
}

function finishStep(outcome: OutcomeMessage): Step {
  mustBeDone(outcome)
  return { deleted: outcome.deleted ?? 0, resume: copyBytes(outcome.resume ?? noBytes) }
}

/** `error`, with how far the steps before it came. */
function stoppedAt(error: KvError, deleted: number, from: Uint8Array): KvError {
  const count = `${deleted} ${deleted === 1 ? 'key was' : 'keys were'} deleted before`
  const { code, message, details, retryAfterMs, leader, leaderAddress } = error
  return new KvError(code, `${message}; ${count}`, {
    details: { ...details, deleted: String(deleted), resumeBase64: Buffer.from(from).toString('base64') },
    retryAfterMs,
    ...(leader === undefined ? {} : { leader }),
    ...(leaderAddress === undefined ? {} : { leaderAddress }),
    cause: error,
  })
}
