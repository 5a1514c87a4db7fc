// From what a server or grpc-js reports to the one error class. It decides nothing about retries but whether the call
// may have had an effect.

import { type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { type ErrorCode, KvError, type KvErrorOptions, isKvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'

/** The trailer that carries an encoded quorate.v1.Error. */
export const errorTrailer = 'quorate-error-bin'

export function decodeErrorMessage(message: quorate.v1.Error.$Properties): KvError {
  const options: { -readonly [Name in keyof KvErrorOptions]: KvErrorOptions[Name] } = {
    details: message.details ?? {},
    retryAfterMs: message.retryAfterMs ?? 0,
  }
  if (message.leader) options.leader = message.leader
  if (message.leaderAddress) options.leaderAddress = message.leaderAddress
  const code = (message.code || 'internal') as ErrorCode
  return new KvError(code, message.message || code, options)
}

function fromTrailers(metadata: Metadata | undefined): KvError | undefined {
  const value = metadata?.get(errorTrailer)[0]
  if (!(value instanceof Uint8Array)) return undefined
  try {
    return decodeErrorMessage(quorate.v1.Error.decode(value))
  } catch {
    return undefined
  }
}

/** What grpc-js says of a call that never left: there was no connection, no such name, or no time to dial. */
const neverSent = /^(No connection established|Name resolution failed|Channel closed before call started)/

/**
 * Any failure of a gRPC call as a KvError. A connection that broke is `unknown-outcome`: what was sent may have
 * arrived. A connection that was never made is `unavailable`.
 */
export function decodeCallError(error: unknown, address: string): KvError {
  if (isKvError(error)) return error
  const failure = error as Partial<ServiceError>
  const typed = fromTrailers(failure.metadata)
  if (typed !== undefined) return typed
  const text = (failure.details || failure.message || String(error)).replace(/\. Resolution note: *$/, '')
  const options = { cause: error, details: { address } }
  switch (failure.code) {
    case status.UNAVAILABLE:
      return neverSent.test(text)
        ? new KvError('unavailable', `${address} cannot be reached: ${text}`, options)
        : new KvError('unknown-outcome', `the connection to ${address} broke: ${text}`, options)
    case status.RESOURCE_EXHAUSTED:
      return new KvError('too-large', `a message to or from ${address} is too large: ${text}`, options)
    case status.INVALID_ARGUMENT:
      return new KvError('invalid-argument', text, options)
    case status.UNIMPLEMENTED:
      return new KvError('invalid-argument', `${address} does not speak this protocol: ${text}`, options)
    default:
      // CANCELLED, DEADLINE_EXCEEDED, INTERNAL (a reset stream), UNKNOWN: nothing is known of what happened.
      return new KvError('unknown-outcome', `the call to ${address} failed: ${text}`, options)
  }
}
