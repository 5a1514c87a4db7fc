// The standard gRPC health service: SERVING while a linearizable read would be answered.

import type { Server } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import { grpc } from '../proto/quorate.js'
import type { Clock } from '../time/clock.ts'
import { type HandlerContext, serverStreaming, unary } from './handler.ts'
import { defineMethod } from './method.ts'

const { v1 } = grpc.health
const { ServingStatus } = v1.HealthCheckResponse
type Request = grpc.health.v1.IHealthCheckRequest
type Response = grpc.health.v1.IHealthCheckResponse

const watchIntervalMs = 250
const services = new Set(['', 'quorate.v1.KV', 'quorate.v1.Admin'])

export const healthService = {
  Check: defineMethod<Request, Response>('/grpc.health.v1.Health/Check', v1.HealthCheckRequest, v1.HealthCheckResponse),
  Watch: defineMethod<Request, Response>(
    '/grpc.health.v1.Health/Watch',
    v1.HealthCheckRequest,
    v1.HealthCheckResponse,
    {
      response: true,
    },
  ),
}

export function addHealthService(server: Server, context: HandlerContext, isServing: () => boolean): void {
  const statusOf = (service: string): grpc.health.v1.HealthCheckResponse.ServingStatus => {
    if (!services.has(service)) return ServingStatus.SERVICE_UNKNOWN
    return isServing() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING
  }
  server.addService(healthService, {
    Check: unary<Request, Response>(context, 'health', async request => {
      const status = statusOf(request.service ?? '')
      if (status !== ServingStatus.SERVICE_UNKNOWN) return { status }
      throw new KvError('not-found', `no service ${JSON.stringify(request.service)} is known to the health check`)
    }),
    Watch: serverStreaming<Request, Response>(context, 'health-watch', async function* (request, signal) {
      let last: grpc.health.v1.HealthCheckResponse.ServingStatus | undefined
      while (!signal.aborted) {
        const status = statusOf(request.service ?? '')
        if (status !== last) yield { status }
        last = status
        await sleep(context.clock, watchIntervalMs, signal)
      }
    }),
  })
}

function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const wake = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.setTimer(delayMs, wake)
    signal.addEventListener('abort', wake, { once: true })
  })
}
