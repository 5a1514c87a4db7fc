// Unary calls and scans with retries. Only for what may be repeated freely, or what says itself when it was done
// already.

import { KvError } from '../base/errors.ts'
import { cancelledError, closedError, isWorthRepeating, readTimeout } from './call-errors.ts'
import type { Cluster } from './cluster.ts'
import type { CallOptions } from './options.ts'
import type { Method, RequestHeader, ResponseHeader } from './wire.ts'

export type Target = 'leader' | 'any'

/** Resolves early, without an error, when `signal` aborts: the caller looks again. */
export function pause(cluster: Cluster, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const finish = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const timer = cluster.clock.setTimer(delayMs, finish)
    signal?.addEventListener('abort', finish)
  })
}

/** Resolves when some node has answered; rejects when `deadlineMs` passes before, or the signal aborts. */
export async function becomeReady(cluster: Cluster, deadlineMs: number, signal?: AbortSignal): Promise<void> {
  if (cluster.isClosed) throw closedError()
  if (signal?.aborted) throw cancelledError(signal)
  if (cluster.isReady) return
  await new Promise<void>(resolve => {
    const timer = cluster.clock.setTimer(deadlineMs - cluster.clock.monotonicMs(), () => finish())
    const finish = (): void => {
      timer.cancel()
      forget()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    signal?.addEventListener('abort', finish)
    const forget = cluster.whenReady(finish)
  })
  if (signal?.aborted) throw cancelledError(signal)
  if (!cluster.isReady) throw readTimeout(cluster.discoveryError)
}

/** One call with retries until its deadline. */
export class Attempts {
  readonly #cluster: Cluster
  readonly #signal: AbortSignal | undefined
  readonly deadlineMs: number
  #attempts = 0
  #refusals = 0

  constructor(cluster: Cluster, options: CallOptions) {
    this.#cluster = cluster
    this.#signal = options.signal
    this.deadlineMs = cluster.clock.monotonicMs() + (options.timeoutMs ?? cluster.settings.timeoutMs)
  }

  /** Begun so far, with the one under way. */
  get count(): number {
    return this.#attempts + 1
  }

  /** Waits before the next attempt, or throws what ends the call. */
  async next(error: KvError, address: string): Promise<void> {
    const cluster = this.#cluster
    if (this.#signal?.aborted) throw cancelledError(this.#signal)
    if (cluster.isClosed) throw closedError()
    const isFromConnection = error.cause !== undefined
    let goNow = false
    let lossMs = 0
    if (isFromConnection) lossMs = cluster.lost(address)
    else goNow = cluster.refused(address, error)
    if (error.code === 'damaged' || error.code === 'not-initialised') {
      this.#refusals++
      if (this.#refusals >= cluster.routes.addresses.length) throw error
    } else if (!isWorthRepeating(error)) throw error
    const delayMs =
      goNow && this.#attempts < 3 ? 0 : cluster.backoff.delayMs(this.#attempts, error.retryAfterMs || lossMs)
    this.#attempts++
    if (cluster.clock.monotonicMs() + delayMs >= this.deadlineMs) throw readTimeout(error)
    if (delayMs > 0) await pause(cluster, delayMs, this.#signal)
    if (this.#signal?.aborted) throw cancelledError(this.#signal)
  }
}

interface UnaryRequest {
  header?: RequestHeader | null
}

export function callWithRetries<Request extends UnaryRequest, Response extends { header?: ResponseHeader | null }>(
  cluster: Cluster,
  method: Method<Request, Response>,
  request: Request,
  target: Target,
  options: CallOptions,
): Promise<Response> {
  return cluster.during(() => repeat(cluster, method, request, target, options))
}

async function repeat<Request extends UnaryRequest, Response extends { header?: ResponseHeader | null }>(
  cluster: Cluster,
  method: Method<Request, Response>,
  request: Request,
  target: Target,
  options: CallOptions,
): Promise<Response> {
  const attempts = new Attempts(cluster, options)
  await becomeReady(cluster, attempts.deadlineMs, options.signal)
  for (;;) {
    const nowMs = cluster.clock.monotonicMs()
    const remainingMs = attempts.deadlineMs - nowMs
    if (remainingMs <= 0) throw readTimeout(undefined)
    const address = target === 'leader' ? cluster.pickLeader(nowMs, attempts.count) : cluster.routes.pickAny(nowMs)
    const timeoutMs = Math.min(remainingMs, cluster.settings.attemptTimeoutMs * 3)
    const connection = cluster.connection(address)
    try {
      const sent = { ...request, header: cluster.header(timeoutMs) }
      const response = await connection.unary(method, sent, { timeoutMs, signal: options.signal })
      cluster.answered(address, response.header)
      return response
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      await attempts.next(error, address)
    }
  }
}
