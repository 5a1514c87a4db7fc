// A bare grpc-js client of the services, for tests of the server: no SDK in between.

import { type ClientDuplexStream, Client, type ServiceError, credentials } from '@grpc/grpc-js'
import { randomBytes } from 'node:crypto'
import { quorate } from '../../src/proto/quorate.js'
import { errorTrailer } from '../../src/server/error-table.ts'
import type { ServerMethod } from '../../src/server/method.ts'

export class TestClient {
  readonly client: Client

  constructor(port: number) {
    this.client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      'grpc.enable_retries': 0,
    })
  }

  unary<Request, Response>(
    method: ServerMethod<Request, Response>,
    request: Request,
    deadlineMs = 10_000,
  ): Promise<Response> {
    return this.raw(method, encode(method, request), deadlineMs)
  }

  /** `bytes` go as they are. */
  raw<Response>(
    method: Pick<ServerMethod<never, Response>, 'path' | 'responseDeserialize'>,
    bytes: Buffer,
    deadlineMs = 10_000,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        method.path,
        (buffer: Buffer) => buffer,
        method.responseDeserialize,
        bytes,
        { deadline: Date.now() + deadlineMs },
        (error, value) => (error ? reject(error) : resolve(value as Response)),
      )
    })
  }

  async stream<Request, Response>(method: ServerMethod<Request, Response>, request: Request): Promise<Response[]> {
    const call = this.client.makeServerStreamRequest(
      method.path,
      (buffer: Buffer) => buffer,
      method.responseDeserialize,
      encode(method, request),
      { deadline: Date.now() + 10_000 },
    )
    const all: Response[] = []
    for await (const message of call) all.push(message as Response)
    return all
  }

  batch(): ClientDuplexStream<quorate.v1.IBatchRequest, quorate.v1.BatchResponse> {
    return this.client.makeBidiStreamRequest(
      '/quorate.v1.KV/Batch',
      (request: quorate.v1.IBatchRequest) => Buffer.from(quorate.v1.BatchRequest.encode(request).finish()),
      (bytes: Buffer) => quorate.v1.BatchResponse.decode(bytes),
      { deadline: Date.now() + 30_000 },
    )
  }

  close(): void {
    this.client.close()
  }
}

function encode<Request>(method: Pick<ServerMethod<Request, never>, 'requestSerialize'>, request: Request): Buffer {
  return method.requestSerialize({ message: request, bytes: 0 })
}

/** Runs what must fail, and gives the gRPC error with the typed one from its trailer. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<ServiceError & { typed: quorate.v1.Error | undefined }> {
  try {
    await promise
  } catch (thrown) {
    const error = thrown as ServiceError
    const [bytes] = error.metadata?.get(errorTrailer) ?? []
    return Object.assign(error, { typed: bytes === undefined ? undefined : quorate.v1.Error.decode(bytes as Buffer) })
  }
  throw new Error('the call should have failed')
}

let nextNumber = 1
const session = randomBytes(16)

/** A batch of puts in a session of this process. */
export function putsOf(entries: readonly (readonly [string, Uint8Array | string])[]): Uint8Array {
  return quorate.v1.WriteBatch.encode({
    session,
    floor: 1,
    writes: entries.map(([key, value]) => ({
      number: nextNumber++,
      put: { key: Buffer.from(key), value: typeof value === 'string' ? Buffer.from(value) : value },
    })),
  }).finish()
}
