// The errors that the client itself gives, and which errors of others are worth another attempt.

import { KvError } from '../base/errors.ts'

export function closedError(): KvError {
  return new KvError('closed', 'the client was closed')
}

export function cancelledError(signal: AbortSignal): KvError {
  return new KvError('cancelled', 'cancelled by the caller', { cause: signal.reason })
}

/** Of reads and other calls that may be repeated freely. */
export function isWorthRepeating(error: KvError): boolean {
  switch (error.code) {
    case 'unknown-outcome':
    case 'deadline-exceeded':
    case 'cancelled':
    case 'closed':
      return true
    default:
      return error.retryable
  }
}

export function readTimeout(cause: KvError | undefined): KvError {
  if (cause === undefined) return new KvError('deadline-exceeded', 'the time was up before an answer came')
  return new KvError('unavailable', `no answer in time; the last attempt: ${cause.message}`, { cause })
}
