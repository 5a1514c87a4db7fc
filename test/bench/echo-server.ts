// The least that a gRPC server can do, for the limits: on a stream, each message comes back; a unary call is answered with
// bytes that are always the same. Prints its port; ends with its parent's pipe.

import { Server, ServerCredentials, type ServerDuplexStream, type sendUnaryData } from '@grpc/grpc-js'
import { quorate } from '../../src/proto/quorate.js'

const asIs = (bytes: Buffer): Buffer => bytes
const path = (name: string) => ({
  path: `/quorate.v1.KV/${name}`,
  requestStream: name === 'Batch',
  responseStream: name === 'Batch',
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
})
const outcome = { kind: quorate.v1.OutcomeKind.OUTCOME_KIND_DONE, timestamp: Date.now() * 4096, version: 7 }
const answer = Buffer.from(quorate.v1.WriteResponse.encode({ header: { node: 'n1', leader: 'n1' }, outcome }).finish())

const server = new Server({ 'grpc.max_receive_message_length': -1 })
server.addService(
  { Batch: path('Batch'), Put: path('Put') },
  {
    Batch: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      stream.on('data', (bytes: Buffer) => stream.write(bytes))
      stream.on('end', () => stream.end())
    },
    Put: (_: unknown, done: sendUnaryData<Buffer>) => done(null, answer),
  },
)
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error
  console.log(port)
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
