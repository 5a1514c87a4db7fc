// From a refusal, which is a value inside the node, to the error that a client gets, and to the message that carries it.

import { unreachable } from '../base/assert.ts'
import { type ErrorCode, KvError } from '../base/errors.ts'
import type { NodeId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import { type AdminAnswer, type Refusal, transferQueue } from '../range/local-store.ts'
import { timestampToUnixMs } from '../time/timestamp.ts'

/** Room comes when somebody makes some: sooner it is not worth asking again. */
const diskFullRetryMs = 1_000

/** Where clients reach a node; empty when unknown. */
export type AddressOf = (node: NodeId) => string

export function refusalToError(refusal: Refusal, addressOf: AddressOf): KvError {
  switch (refusal.kind) {
    case 'not-leader': {
      if (refusal.leader === undefined) return new KvError('not-leader', 'no leader is known; one may be being elected')
      const leaderAddress = addressOf(refusal.leader)
      const at = leaderAddress === '' ? '' : ` at ${leaderAddress}`
      return new KvError('not-leader', `the leader is ${refusal.leader}${at}`, {
        leader: refusal.leader,
        leaderAddress,
      })
    }
    case 'overloaded':
      return new KvError('overloaded', `${fullQueue(refusal.queue)}; try again in ${refusal.retryAfterMs} ms`, {
        details: { queue: refusal.queue },
        retryAfterMs: refusal.retryAfterMs,
      })
    case 'range-mismatch':
      return new KvError('range-mismatch', `the range is at generation ${refusal.generation}`, {
        details: { generation: String(refusal.generation) },
      })
    case 'no-replica':
      return new KvError('unavailable', 'this node holds no replica of the range; ask another')
    case 'invalid':
      return new KvError('invalid-argument', refusal.message, { details: refusal.details ?? {} })
    case 'too-large':
      return tooLarge(refusal.limit, refusal.limitBytes, refusal.value)
    case 'below-threshold':
      return new KvError('below-threshold', 'versions of that instant have been collected', {
        details: {
          threshold: String(refusal.threshold),
          thresholdTime: new Date(timestampToUnixMs(refusal.threshold)).toISOString(),
        },
      })
    case 'future-instant':
      return new KvError('future-instant', 'the instant asked for is more than 500 ms ahead of the cluster')
    case 'disk-full':
      return new KvError('disk-full', refusal.message, { retryAfterMs: diskFullRetryMs })
    case 'draining':
      return new KvError('draining', 'the node is shutting down; ask another')
    case 'unavailable':
      return new KvError('unavailable', refusal.message)
    case 'damaged':
      return new KvError('damaged', refusal.message)
    default:
      return unreachable(refusal)
  }
}

function fullQueue(queue: string): string {
  switch (queue) {
    case 'sessions':
      return 'the range keeps as many sessions as it may, and this one would be new: others end within two minutes'
    case 'outcomes':
      return 'the session keeps as many outcomes as it may: its floor must rise past what was answered'
    default:
      return `the queue ${queue} is full`
  }
}

export function adminAnswerToError(answer: Exclude<AdminAnswer, { kind: 'done' }>, addressOf: AddressOf): KvError {
  switch (answer.kind) {
    case 'conflict':
    case 'not-found':
    case 'removed':
      return new KvError(answer.kind, answer.message)
    default:
      return refusalToError(answer, addressOf)
  }
}

export function tooLarge(limit: string, limitValue: number, value: number): KvError {
  return new KvError('too-large', `${value} is over the limit ${limit} of ${limitValue}`, {
    details: { limit, limitValue: String(limitValue), value: String(value) },
  })
}

/** The leader is handing over: soon another takes what this one refused. */
export function isTransfer(error: KvError): boolean {
  return error.code === 'overloaded' && error.details.queue === transferQueue
}

/** Anything thrown, as what a client may see. A stranger is a bug: its message is kept, its stack is not sent. */
export function toKvError(error: unknown): KvError {
  if (error instanceof KvError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new KvError('internal', `a bug in the node: ${message}`, { cause: error })
}

export function errorToMessage(error: KvError): quorate.v1.IError {
  return {
    code: error.code,
    // Half a surrogate pair, echoed from a request, would be no UTF-8, and the answer unreadable.
    message: error.message.toWellFormed(),
    retryable: error.retryable,
    retryAfterMs: error.retryAfterMs,
    leader: error.leader ?? '',
    leaderAddress: error.leaderAddress ?? '',
    details: { ...error.details },
  }
}

export function errorFromMessage(message: quorate.v1.IError): KvError {
  return new KvError((message.code || 'internal') as ErrorCode, message.message ?? '', {
    details: message.details ?? {},
    retryAfterMs: message.retryAfterMs ?? 0,
    ...(message.leader ? { leader: message.leader } : {}),
    ...(message.leaderAddress ? { leaderAddress: message.leaderAddress } : {}),
  })
}
