// Wider HTTP/2 windows for what peers send us. grpc-js's server leaves the default of 64 KiB, smaller than one batch, so
// that every append would wait for a round trip in its middle; its options do not reach the setting (PR 3058), so this
// looks for the session where version 1.14 keeps it. Not finding it costs speed and nothing else.

import type { ServerHttp2Session } from 'node:http2'

const windowBytes = 4 << 20
const widened = new WeakSet<object>()

export function widenReceiveWindow(call: object): void {
  const session = sessionOf(call)
  if (session === undefined || session.destroyed || widened.has(session)) return
  widened.add(session)
  session.setLocalWindowSize(windowBytes)
  session.settings({ initialWindowSize: windowBytes })
}

function sessionOf(call: object): ServerHttp2Session | undefined {
  const { call: inner } = call as { call?: { stream?: { session?: ServerHttp2Session } } }
  const session = inner?.stream?.session
  return typeof session?.setLocalWindowSize === 'function' ? session : undefined
}
