// HTTP/2 flow control windows of a grpc-js server. It has no option for them (the channel's has no effect on a server),
// and 64 KiB windows cost a fifth of the gets. This reaches into two private fields, both looked at before they are used:
// should they go, the server is only slower, and a test says so.

import type { Http2Server, ServerHttp2Session } from 'node:http2'
import type { Server } from '@grpc/grpc-js'

interface Internals {
  readonly commonServerOptions?: { settings?: { initialWindowSize?: number } }
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>
}

/** The window of each stream. Before the server creates its listeners. */
export function widenStreamWindows(server: Server, windowBytes: number): void {
  const options = (server as unknown as Internals).commonServerOptions
  if (options !== undefined) options.settings = { ...options.settings, initialWindowSize: windowBytes }
}

/** The window of each connection. After the server has created its listeners. */
export function widenConnectionWindows(server: Server, windowBytes: number): void {
  const listeners = (server as unknown as Internals).http2Servers
  for (const listener of listeners?.keys() ?? []) {
    listener.on('session', (session: ServerHttp2Session) => {
      if (!session.destroyed) session.setLocalWindowSize(windowBytes)
    })
  }
}
