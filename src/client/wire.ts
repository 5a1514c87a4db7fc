// The methods that the SDK calls, as grpc-js wants them, made by hand from the generated messages: proto-loader would
// bring a second protobufjs. It knows no node and no policy.

import { quorate } from '../proto/quorate.js'

export interface Method<Request, Response> {
  readonly path: string
  readonly serialize: (message: Request) => Buffer
  readonly deserialize: (bytes: Buffer) => Response
}

interface Encoder<Request> {
  encode(message: Request): { finish(): Uint8Array }
}
interface Decoder<Response> {
  decode(bytes: Uint8Array): Response
}

function method<Request, Response>(
  path: string,
  request: Encoder<Request>,
  response: Decoder<Response>,
): Method<Request, Response> {
  return {
    path: `/quorate.v1.${path}`,
    // Under Node, protobufjs writes into a Buffer already; its types do not say so.
    serialize: message => request.encode(message).finish() as Buffer,
    deserialize: bytes => response.decode(bytes),
  }
}

const v1 = quorate.v1

export const batchMethod = method('KV/Batch', v1.BatchRequest, v1.BatchResponse)
export const scanMethod = method('KV/Scan', v1.ScanRequest, v1.ScanResponse)
export const historyMethod = method('KV/History', v1.HistoryRequest, v1.HistoryResponse)
export const initMethod = method('Admin/Init', v1.InitRequest, v1.InitResponse)
export const nodesMethod = method('Admin/Nodes', v1.NodesRequest, v1.NodesResponse)
export const statusMethod = method('Admin/Status', v1.StatusRequest, v1.StatusResponse)
export const memberAddMethod = method('Admin/MemberAdd', v1.MemberRequest, v1.MemberResponse)
export const memberPromoteMethod = method('Admin/MemberPromote', v1.MemberRequest, v1.MemberResponse)
export const memberRemoveMethod = method('Admin/MemberRemove', v1.MemberRequest, v1.MemberResponse)
export const checksumMethod = method('Admin/Checksum', v1.ChecksumRequest, v1.ChecksumResponse)
export const transferLeaderMethod = method('Admin/TransferLeader', v1.TransferLeaderRequest, v1.TransferLeaderResponse)

export type RequestHeader = quorate.v1.RequestHeader.$Properties
export type ResponseHeader = quorate.v1.ResponseHeader.$Properties
export type ReadOptionsMessage = quorate.v1.ReadOptions.$Properties
export type BatchRequest = quorate.v1.BatchRequest.$Properties
export type BatchResponse = quorate.v1.BatchResponse
export type OutcomeMessage = quorate.v1.Outcome.$Properties
export type KeyVersionMessage = quorate.v1.KeyVersion.$Properties
export type ScanRequestMessage = quorate.v1.ScanRequest.$Properties
export type PageMessage = quorate.v1.ScanResponse

export function decodePage(bytes: Uint8Array): PageMessage {
  return v1.ScanResponse.decode(bytes)
}
