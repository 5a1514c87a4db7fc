// A last resort under every unary call, half-sent ones included: grpc-js calls a handler only when the request is
// complete, and waits for that for ever. An interceptor sees the call when it opens, and a sweep ends what is too old.

import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js'
import type { Clock, Timer } from '../time/clock.ts'

interface UnaryDeadline {
  readonly interceptor: ServerInterceptor
  readonly openCount: number
  close(): void
}

export function createUnaryDeadline(clock: Clock, maxMs: number): UnaryDeadline {
  // Two generations: what is in the old one when a sweep comes has been open for between one and two intervals.
  let young = new Set<ServerInterceptingCall>()
  let old = new Set<ServerInterceptingCall>()
  const intervalMs = maxMs / 2
  let timer: Timer
  const sweep = (): void => {
    for (const call of old) {
      call.sendStatus({ code: status.DEADLINE_EXCEEDED, details: `the call was open for more than ${maxMs / 2} ms` })
    }
    old = young
    young = new Set()
    timer = clock.setTimer(intervalMs, sweep)
  }
  timer = clock.setTimer(intervalMs, sweep)
  return {
    interceptor: (method, call) => {
      if (method.requestStream || method.responseStream) return new ServerInterceptingCall(call)
      const watched: ServerInterceptingCall = new ServerInterceptingCall(call, {
        sendStatus: (sent, next) => {
          young.delete(watched)
          old.delete(watched)
          next(sent)
        },
      })
      young.add(watched)
      return watched
    },
    get openCount() {
      return young.size + old.size
    },
    close: () => timer.cancel(),
  }
}
