// One HTTP/2 connection to one node, made when first needed and made anew when it is given up: grpc-js never times a
// connection attempt out, and a channel that fell into a hole stays there.

import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
} from '@grpc/grpc-js'
import { cancelledError } from './call-errors.ts'
import { decodeCallError } from './error-decoding.ts'
import type { Method } from './wire.ts'

const windowBytes = 4 * 1024 * 1024

const channelOptions: ChannelOptions = {
  // Channels with equal options would share one connection, a stuck one included.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 250,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 64 * 1024 * 1024,
  'grpc-node.flow_control_window': windowBytes,
}

export interface UnaryOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export class Connection {
  readonly address: string
  #client: Client | undefined

  constructor(address: string) {
    this.address = address
  }

  #open(): Client {
    this.#client ??= new Client(this.address, credentials.createInsecure(), channelOptions)
    return this.#client
  }

  /** Gives the connection up; the next call dials afresh. Calls under way are for their owners to cancel. */
  redial(): void {
    this.#client?.close()
    this.#client = undefined
  }

  close(): void {
    this.redial()
  }

  /** Rejects with a KvError. `timeoutMs` bounds this attempt. */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: UnaryOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) {
        reject(cancelledError(options.signal))
        return
      }
      const deadline = Date.now() + Math.max(1, Math.min(options.timeoutMs, 86_400_000))
      const onAbort = (): void => call.cancel()
      const call = this.#open().makeUnaryRequest<Request, Response>(
        method.path,
        method.serialize,
        method.deserialize,
        request,
        { deadline },
        (error, response) => {
          options.signal?.removeEventListener('abort', onAbort)
          if (response !== undefined && !error) resolve(response)
          else if (options.signal?.aborted) {
            reject(cancelledError(options.signal))
          } else reject(decodeCallError(error, this.address))
        },
      )
      options.signal?.addEventListener('abort', onAbort)
    })
  }

  /** The caller listens for errors, and cancels. */
  serverStream<Request, Response>(method: Method<Request, Response>, request: Request): ClientReadableStream<Response> {
    return this.#open().makeServerStreamRequest<Request, Response>(
      method.path,
      method.serialize,
      method.deserialize,
      request,
    )
  }

  /** The caller listens for errors, and cancels. */
  bidiStream<Request, Response>(method: Method<Request, Response>): ClientDuplexStream<Request, Response> {
    return this.#open().makeBidiStreamRequest<Request, Response>(method.path, method.serialize, method.deserialize)
  }
}
