// gRPC method definitions, by hand from the generated code: no proto-loader at run time.
// A message that cannot be decoded is not an exception inside grpc-js but a value that the handler refuses by name.

import type { MethodDefinition } from '@grpc/grpc-js'

/** The generated class of a message. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array }
  decode(bytes: Uint8Array): T
}

export interface Received<T> {
  /** undefined: the bytes are no such message. */
  readonly message: T | undefined
  readonly bytes: number
}

export type ServerMethod<Request, Response> = MethodDefinition<Received<Request>, Response>

export function defineMethod<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  stream: { readonly request?: true; readonly response?: true } = {},
): ServerMethod<Request, Response> {
  return {
    path,
    requestStream: stream.request ?? false,
    responseStream: stream.response ?? false,
    requestSerialize: received => toBuffer(request.encode(received.message as Request).finish()),
    requestDeserialize: bytes => receive(request, bytes),
    responseSerialize: message => toBuffer(response.encode(message).finish()),
    responseDeserialize: bytes => response.decode(bytes),
  }
}

/** For a handler that encodes its responses itself, to know their size before they are sent. */
export function withEncodedResponses<Request, Response>(
  method: ServerMethod<Request, Response>,
): ServerMethod<Request, Buffer> {
  return { ...method, responseSerialize: bytes => bytes, responseDeserialize: bytes => bytes }
}

export function toBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function receive<T>(codec: Codec<T>, bytes: Buffer): Received<T> {
  try {
    return { message: codec.decode(bytes), bytes: bytes.length }
  } catch {
    return { message: undefined, bytes: bytes.length }
  }
}
