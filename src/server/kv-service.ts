// The KV service: what clients speak, over a gateway.

import type { Server } from '@grpc/grpc-js'
import type { Gateway } from '../gateway/gateway.ts'
import { quorate } from '../proto/quorate.js'
import type { BatchStreams } from './batch-stream.ts'
import { type HandlerContext, serverStreaming, signalOf, unary } from './handler.ts'
import { defineMethod, withEncodedResponses } from './method.ts'

const { v1 } = quorate
const path = (name: string): string => `/quorate.v1.KV/${name}`

export const kvService = {
  Get: defineMethod<quorate.v1.IGetRequest, quorate.v1.IGetResponse>(path('Get'), v1.GetRequest, v1.GetResponse),
  Put: defineMethod<quorate.v1.IPutRequest, quorate.v1.IWriteResponse>(path('Put'), v1.PutRequest, v1.WriteResponse),
  Delete: defineMethod<quorate.v1.IDeleteRequest, quorate.v1.IWriteResponse>(
    path('Delete'),
    v1.DeleteRequest,
    v1.WriteResponse,
  ),
  DeleteRange: defineMethod<quorate.v1.IDeleteRangeRequest, quorate.v1.IWriteResponse>(
    path('DeleteRange'),
    v1.DeleteRangeRequest,
    v1.WriteResponse,
  ),
  Commit: defineMethod<quorate.v1.ICommitRequest, quorate.v1.IWriteResponse>(
    path('Commit'),
    v1.CommitRequest,
    v1.WriteResponse,
  ),
  Scan: withEncodedResponses(
    defineMethod<quorate.v1.IScanRequest, quorate.v1.IScanResponse>(path('Scan'), v1.ScanRequest, v1.ScanResponse, {
      response: true,
    }),
  ),
  History: defineMethod<quorate.v1.IHistoryRequest, quorate.v1.IHistoryResponse>(
    path('History'),
    v1.HistoryRequest,
    v1.HistoryResponse,
  ),
  Batch: withEncodedResponses(
    defineMethod<quorate.v1.IBatchRequest, quorate.v1.IBatchResponse>(
      path('Batch'),
      v1.BatchRequest,
      v1.BatchResponse,
      {
        request: true,
        response: true,
      },
    ),
  ),
}

export function addKvService(server: Server, context: HandlerContext, gateway: Gateway, streams: BatchStreams): void {
  server.addService(kvService, {
    Get: unary<quorate.v1.IGetRequest, quorate.v1.IGetResponse>(context, 'get', (request, call) =>
      gateway.get(request, signalOf(call)),
    ),
    Put: unary<quorate.v1.IPutRequest, quorate.v1.IWriteResponse>(context, 'put', request => gateway.put(request)),
    Delete: unary<quorate.v1.IDeleteRequest, quorate.v1.IWriteResponse>(context, 'delete', request =>
      gateway.delete(request),
    ),
    DeleteRange: unary<quorate.v1.IDeleteRangeRequest, quorate.v1.IWriteResponse>(context, 'delete-range', request =>
      gateway.deleteRange(request),
    ),
    Commit: unary<quorate.v1.ICommitRequest, quorate.v1.IWriteResponse>(context, 'commit', request =>
      gateway.commit(request),
    ),
    Scan: serverStreaming<quorate.v1.IScanRequest, Buffer>(context, 'scan', (request, signal) =>
      gateway.scan(request, signal),
    ),
    History: unary<quorate.v1.IHistoryRequest, quorate.v1.IHistoryResponse>(context, 'history', (request, call) =>
      gateway.history(request, signalOf(call)),
    ),
    Batch: streams.handle,
  })
}
