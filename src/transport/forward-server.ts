// The answering side of a Forward stream: requests of another node's gateway, many at a time, answered in any order.

import { type ServerDuplexStream, type ServerErrorResponse, status } from '@grpc/grpc-js'
import { AnswerRoom } from '../base/answer-budget.ts'
import { type KvError, isKvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import { judgeHello } from './hello.ts'
import type { LogLimit, PeerContext } from './peer-context.ts'
import { helloMetadataKey } from './peer-service.ts'
import { widenReceiveWindow } from './receive-window.ts'

export type ForwardStream = ServerDuplexStream<Uint8Array, Uint8Array>

export interface ForwardOptions {
  /** Of Clock.monotonicMs. */
  readonly deadlineMs: number
  /** Aborts when the stream is gone: nobody takes the answer. */
  readonly signal: AbortSignal
  /** What the answers on the stream may hold. */
  readonly room: AnswerRoom
}

/** Rejections become the response's `error`. */
export type ForwardHandler = (
  request: quorate.v1.IBatchRequest,
  options: ForwardOptions,
) => Promise<quorate.v1.IBatchResponse>

/** Requests being served, and answers not yet taken, a stream. */
const requestBytesMax = 32 << 20
const answerBytesMax = 32 << 20
const timeoutDefaultMs = 10_000
const timeoutMaxMs = 600_000
/** Past it nothing more is read for the stream until it takes what it has: what else is answered has room above. */
const gatheredBytesMax = 16 << 20

export function serveForward(
  context: PeerContext,
  refusals: LogLimit,
  handler: ForwardHandler,
  stream: ForwardStream,
): void {
  stream.on('error', () => {})
  const refusal = refusalOf(context, stream)
  if (refusal !== undefined) {
    if (refusals.allow(`forward ${refusal}`)) context.logger.warn({}, `refused a gateway: ${refusal}`)
    fail(stream, status.FAILED_PRECONDITION, refusal)
    return
  }
  widenReceiveWindow(stream)
  let requestBytes = 0
  let answerBytes = 0
  const room = new AnswerRoom(gatheredBytesMax)
  const gone = new AbortController()
  stream.on('close', () => gone.abort())
  stream.on('cancelled', () => gone.abort())
  const answer = (response: quorate.v1.IBatchResponse): void => {
    if (stream.destroyed || stream.writableEnded) return
    const bytes = quorate.v1.BatchResponse.encode(response).finish()
    answerBytes += bytes.length
    room.hold(bytes.length)
    if (answerBytes > answerBytesMax) {
      fail(stream, status.RESOURCE_EXHAUSTED, 'answers are not being read')
      return
    }
    stream.write(bytes, () => {
      answerBytes -= bytes.length
      room.release(bytes.length)
    })
  }
  stream.on('end', () => stream.end())
  stream.on('data', (bytes: Uint8Array) => {
    let request: quorate.v1.IBatchRequest
    try {
      request = quorate.v1.BatchRequest.decode(bytes)
    } catch {
      fail(stream, status.INVALID_ARGUMENT, 'not a BatchRequest')
      return
    }
    const id = request.id ?? 0
    // Number 0 asks only whether somebody is there.
    if (id === 0) {
      answer({ id })
      return
    }
    if (requestBytes > 0 && requestBytes + bytes.length > requestBytesMax) {
      answer({
        id,
        error: {
          code: 'overloaded',
          message: 'too much is being forwarded',
          retryable: true,
        },
      })
      return
    }
    requestBytes += bytes.length
    const timeoutMs = Math.min(request.header?.timeoutMs || timeoutDefaultMs, timeoutMaxMs)
    const deadlineMs = context.clock.monotonicMs() + timeoutMs
    call(handler, request, { deadlineMs, signal: gone.signal, room })
      .then(
        response => answer({ ...response, id }),
        (error: unknown) => answer({ id, error: errorToProto(error, context) }),
      )
      .finally(() => {
        requestBytes -= bytes.length
      })
      .catch((error: unknown) => context.logger.error({ error }, 'an answer could not be sent'))
  })
}

/** A handler that throws before its first await is a rejection like any other. */
async function call(
  handler: ForwardHandler,
  request: quorate.v1.IBatchRequest,
  options: ForwardOptions,
): Promise<quorate.v1.IBatchResponse> {
  return handler(request, options)
}

function refusalOf(context: PeerContext, stream: ForwardStream): string | undefined {
  const [bytes] = stream.metadata.get(helloMetadataKey)
  if (!Buffer.isBuffer(bytes)) return 'a Forward stream begins with a Hello in its metadata'
  try {
    const verdict = judgeHello(quorate.v1.Hello.decode(bytes), context)
    return verdict.kind === 'refused' ? verdict.refusal : undefined
  } catch {
    return 'the Hello of a Forward stream could not be read'
  }
}

export function errorToProto(error: unknown, context: PeerContext): quorate.v1.IError {
  if (!isKvError(error)) {
    context.logger.error({ error }, 'a handler of a peer request failed')
    return {
      code: 'internal',
      message: error instanceof Error ? error.message : String(error),
    }
  }
  return {
    code: error.code,
    message: error.message,
    retryable: error.retryable,
    retryAfterMs: error.retryAfterMs,
    leader: error.leader ?? '',
    leaderAddress: error.leaderAddress ?? '',
    details: { ...error.details },
  }
}

/** For unary calls, whose only channel for an error is the status. */
export function errorToStatus(error: unknown, context: PeerContext): ServerErrorResponse {
  const proto = errorToProto(error, context)
  const code = statusOf((error as Partial<KvError>).code)
  return Object.assign(new Error(proto.message ?? ''), {
    code,
    details: proto.message ?? '',
  })
}

function statusOf(code: KvError['code'] | undefined): status {
  switch (code) {
    case 'wrong-cluster':
    case 'twin':
    case 'superseded':
    case 'not-initialised':
    case 'conflict':
      return status.FAILED_PRECONDITION
    case 'invalid-argument':
      return status.INVALID_ARGUMENT
    case 'not-found':
      return status.NOT_FOUND
    case 'unavailable':
    case 'not-leader':
    case 'draining':
      return status.UNAVAILABLE
    default:
      return status.INTERNAL
  }
}

function fail(stream: ForwardStream, code: status, details: string): void {
  if (!stream.destroyed && !stream.writableEnded) stream.emit('error', { code, details })
}
