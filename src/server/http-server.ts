// Health and metrics over plain HTTP, for load balancers, orchestrators and Prometheus. It reads no bodies, holds no
// connection for long, and answers everything else with 404.

import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { Logger } from '../base/logger.ts'
import type { ClusterView } from '../gateway/cluster-view.ts'
import type { LocalStore } from '../range/local-store.ts'
import { listen, parseAddress } from './listen.ts'
import type { Metrics } from './metrics.ts'

interface HttpServerOptions {
  /** host:port; port 0: any. */
  readonly address: string
  readonly store: LocalStore
  readonly view: ClusterView
  readonly metrics: Metrics
  readonly logger: Logger
}

interface HttpServer {
  readonly port: number
  close(): Promise<void>
}

const requestTimeoutMs = 10_000
const connectionsMax = 256

/** Throws KvError `invalid-argument` for a bad address or a busy port. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { logger } = options
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs, connectionsCheckingInterval: 2000 },
    (request, response) => {
      respond(options, request, response).catch((error: unknown) => {
        logger.error({ error, url: request.url }, 'an HTTP request failed on a bug')
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
    },
  )
  server.maxConnections = connectionsMax
  server.keepAliveTimeout = 5000
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  const port = await listen(server, parseAddress(options.address), 'HTTP', '--http-listen')
  return {
    port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function respond(options: HttpServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 405, 'only GET and HEAD are answered here\n', { allow: 'GET, HEAD' })
    return
  }
  const path = request.url?.split('?', 1)[0]
  switch (path) {
    case '/livez':
      send(response, 200, 'ok\n')
      return
    case '/readyz': {
      const reason = whyNotReady(options)
      send(response, reason === undefined ? 200 : 503, `${reason ?? 'ok'}\n`)
      return
    }
    case '/metrics':
      send(response, 200, await options.metrics.render(), { 'content-type': options.metrics.contentType })
      return
    default:
      send(response, 404, 'there are /livez, /readyz and /metrics\n')
  }
}

function whyNotReady({ store, view }: HttpServerOptions): string | undefined {
  if (store.ready) return undefined
  if (view.clusterId() === undefined) {
    return 'not in a cluster yet: run `quorate init` on one node, and start the others with --join'
  }
  const ranges = store.status()
  if (ranges.length === 0) return 'holds no replica yet: waiting to be added as a learner'
  const headless = ranges.filter(range => !range.leader).map(range => range.id)
  if (headless.length > 0) return `no leader is known for range ${headless.join(', ')}`
  return 'replicas on this node are catching up'
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...headers,
  })
  response.end(body)
}
