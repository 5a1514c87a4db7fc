// The one table from error codes to gRPC status (DESIGN.md 15), and the trailer that carries the whole error.

import { Metadata, type StatusObject, status } from '@grpc/grpc-js'
import type { ErrorCode, KvError } from '../base/errors.ts'
import { errorToMessage } from '../gateway/refusal-error.ts'
import { quorate } from '../proto/quorate.js'

export const errorTrailer = 'quorate-error-bin'

// UNAVAILABLE is what generic clients repeat by themselves, so only what was certainly not applied maps to it.
const statusByCode: Readonly<Record<ErrorCode, status>> = {
  'invalid-argument': status.INVALID_ARGUMENT,
  'too-large': status.INVALID_ARGUMENT,
  'not-leader': status.UNAVAILABLE,
  unavailable: status.UNAVAILABLE,
  'unknown-outcome': status.UNKNOWN,
  'too-late': status.FAILED_PRECONDITION,
  overloaded: status.RESOURCE_EXHAUSTED,
  'deadline-exceeded': status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  'range-mismatch': status.ABORTED,
  'below-threshold': status.OUT_OF_RANGE,
  'future-instant': status.OUT_OF_RANGE,
  'wrong-cluster': status.FAILED_PRECONDITION,
  twin: status.FAILED_PRECONDITION,
  superseded: status.FAILED_PRECONDITION,
  'not-initialised': status.FAILED_PRECONDITION,
  'already-initialised': status.ALREADY_EXISTS,
  'not-found': status.NOT_FOUND,
  removed: status.FAILED_PRECONDITION,
  conflict: status.FAILED_PRECONDITION,
  damaged: status.DATA_LOSS,
  'data-directory': status.INTERNAL,
  'disk-full': status.RESOURCE_EXHAUSTED,
  draining: status.UNAVAILABLE,
  closed: status.UNAVAILABLE,
  internal: status.INTERNAL,
}

const detailsCharsMax = 1024

export function statusOf(error: KvError): StatusObject {
  const metadata = new Metadata()
  metadata.set(errorTrailer, Buffer.from(quorate.v1.Error.encode(errorToMessage(error)).finish()))
  // It becomes a header by way of encodeURI, which throws on half a surrogate pair; a client may have sent one.
  const details = error.message.slice(0, detailsCharsMax).toWellFormed()
  return { code: statusByCode[error.code] ?? status.UNKNOWN, details, metadata }
}
