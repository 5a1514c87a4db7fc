// The wrapper around every handler: a client's bytes, or a bug, end a call and never the process.

import type {
  ServerErrorResponse,
  ServerWritableStream,
  handleServerStreamingCall,
  handleUnaryCall,
} from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { toKvError } from '../gateway/refusal-error.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock, Timer } from '../time/clock.ts'
import { statusOf } from './error-table.ts'
import type { ServerLimits } from './limits.ts'
import type { Received } from './method.ts'

export interface RequestMetrics {
  /** `code`: `ok`, or the error's. */
  observe(op: string, code: string, ms: number): void
}

export interface HandlerContext {
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: ServerLimits
  readonly metrics: RequestMetrics
}

interface WithHeader {
  header?: quorate.v1.IRequestHeader | null
}

interface Cancellable {
  readonly cancelled: boolean
  on(event: 'cancelled', listener: () => void): unknown
}

export function malformed(): KvError {
  return new KvError('invalid-argument', 'the request cannot be decoded: it is not the message of this call')
}

/** Aborts when the client cancels, its deadline passes, or its connection breaks. */
export function signalOf(call: Cancellable): AbortSignal {
  const controller = new AbortController()
  if (call.cancelled) controller.abort()
  else call.on('cancelled', () => controller.abort())
  return controller.signal
}

export function unary<Request extends object, Response>(
  context: HandlerContext,
  op: string,
  handle: (request: Request, call: Cancellable) => Promise<Response>,
): handleUnaryCall<Received<Request>, Response> {
  const { clock, metrics } = context
  return (call, callback) => {
    const started = clock.monotonicMs()
    const run = async (): Promise<Response> => {
      const request = call.request.message
      if (request === undefined) throw malformed()
      takeDeadline(context, request as WithHeader, call.getDeadline())
      return handle(request, call)
    }
    run()
      .then(
        response => {
          metrics.observe(op, 'ok', clock.monotonicMs() - started)
          callback(null, response)
        },
        (thrown: unknown) => {
          const error = report(context, op, thrown)
          metrics.observe(op, error.code, clock.monotonicMs() - started)
          callback(statusOf(error))
        },
      )
      .catch((error: unknown) => context.logger.error({ error, op }, 'a response could not be sent'))
  }
}

/** `handle` yields messages; the next one is asked for while the one before is on its way, so two are held at most. */
export function serverStreaming<Request extends object, Response>(
  context: HandlerContext,
  op: string,
  handle: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Received<Request>, Response> {
  const { clock, metrics } = context
  return call => {
    const started = clock.monotonicMs()
    const signal = signalOf(call)
    const run = async (): Promise<void> => {
      const request = call.request.message
      if (request === undefined) throw malformed()
      takeDeadline(context, request as WithHeader, call.getDeadline())
      let written: Promise<void> | undefined
      for await (const message of handle(request, signal)) {
        await written
        if (signal.aborted) return
        written = writeMessage(context, call, message, signal)
        // Awaited a turn later, at which it may have failed already.
        written.catch(() => {})
      }
      await written
    }
    run()
      .then(
        () => {
          metrics.observe(op, signal.aborted ? 'cancelled' : 'ok', clock.monotonicMs() - started)
          call.end()
        },
        (thrown: unknown) => {
          const error = report(context, op, thrown)
          metrics.observe(op, error.code, clock.monotonicMs() - started)
          if (!signal.aborted) failStream(call, error)
        },
      )
      .catch((error: unknown) => context.logger.error({ error, op }, 'a stream could not be ended'))
  }
}

/** Ends a stream with a status. grpc-js takes it from an `error` event, not from destroy(). */
export function failStream(call: { emit(event: 'error', error: ServerErrorResponse): boolean }, error: KvError): void {
  call.emit('error', Object.assign(new Error(error.message), statusOf(error)))
}

/** A bug is logged with its stack; what a client did wrong is its own business. */
export function report(context: HandlerContext, op: string, thrown: unknown): KvError {
  const error = toKvError(thrown)
  if (error.code === 'internal') context.logger.error({ error: error.cause ?? error, op }, 'a call failed on a bug')
  return error
}

/** The transport's deadline and the header's are one to everything below. */
function takeDeadline(context: HandlerContext, request: WithHeader, deadline: Date | number): void {
  const unixMs = deadline instanceof Date ? deadline.getTime() : deadline
  if (!Number.isFinite(unixMs)) return
  const left = Math.max(1, Math.floor(unixMs - context.clock.unixMs()))
  request.header ??= {}
  const asked = request.header.timeoutMs ?? 0
  if (asked === 0 || left < asked) request.header.timeoutMs = left
}

function writeMessage<Response>(
  context: HandlerContext,
  call: ServerWritableStream<unknown, Response>,
  message: Response,
  signal: AbortSignal,
): Promise<void> {
  const { clock, limits } = context
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => (): void => {
      timer.cancel()
      signal.removeEventListener('abort', cancelled)
      settle()
    }
    const stalled = new KvError('overloaded', `nobody read the stream for ${limits.scanStallMs} ms`)
    const timer: Timer = clock.setTimer(
      limits.scanStallMs,
      finish(() => reject(stalled)),
    )
    // A cancelled call never reports a write as done.
    const cancelled = finish(resolve)
    signal.addEventListener('abort', cancelled, { once: true })
    call.write(message, finish(resolve))
  })
}
