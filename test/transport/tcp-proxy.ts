// A proxy for one directed link: passes bytes, at once or slowly, swallows them (a black hole), or resets what stands.

import { once } from 'node:events'
import { type Server, type Socket, connect, createServer } from 'node:net'

interface ProxyState {
  swallowing: boolean
  bytesPerMs: number
  accepted: number
  open: number
}

export class TcpProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #state: ProxyState

  static async open(targetPort: number): Promise<TcpProxy> {
    const sockets = new Set<Socket>()
    const state = { swallowing: false, bytesPerMs: Number.POSITIVE_INFINITY, accepted: 0, open: 0 }
    const hold = (socket: Socket): void => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    const server = createServer(client => {
      hold(client)
      state.accepted += 1
      state.open += 1
      client.on('close', () => {
        state.open -= 1
      })
      const target = connect(targetPort, '127.0.0.1')
      hold(target)
      for (const [source, sink] of [
        [client, target],
        [target, client],
      ] as const) {
        // What is swallowed stays swallowed: a connection that lost bytes is of no use after healing.
        let freeMs = 0
        source.on('data', bytes => {
          if (state.swallowing) return
          const now = performance.now()
          freeMs = Math.max(freeMs, now) + bytes.length / state.bytesPerMs
          if (freeMs - now < 1) sink.write(bytes)
          else setTimeout(() => sink.write(bytes), freeMs - now)
        })
        source.on('close', () => {
          if (!state.swallowing) sink.destroy()
        })
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(server, sockets, state)
  }

  private constructor(server: Server, sockets: Set<Socket>, state: ProxyState) {
    this.#server = server
    this.#sockets = sockets
    this.#state = state
    const address = server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
  }

  get accepted(): number {
    return this.#state.accepted
  }

  /** Connections that the dialling side has not closed. */
  get open(): number {
    return this.#state.open
  }

  /** Connections are still accepted, and nothing passes any more, in either direction; nothing is closed. */
  swallow(): void {
    this.#state.swallowing = true
  }

  pass(): void {
    this.#state.swallowing = false
  }

  /** Each connection carries so much, in each direction; what is late stays in order. */
  thin(bytesPerMs: number): void {
    this.#state.bytesPerMs = bytesPerMs
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}
