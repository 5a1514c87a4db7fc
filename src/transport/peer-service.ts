// The Peer service of proto/quorate/v1/raft.proto, by hand: what both sides must agree on. Messages pass as bytes, so
// that each is decoded once, where a malformed one can be judged, and encoded once, where its size is known.

import type { ChannelOptions, MethodDefinition } from '@grpc/grpc-js'

export const frameBytesMax = 1 << 20
/** An append carries at least one entry, however large; this is above every limit on those. */
export const receiveBytesMax = 16 << 20
const windowBytes = 4 << 20
const keepaliveTimeoutMs = 300_000

export type BytesMethod = MethodDefinition<Uint8Array, Uint8Array>

function method(name: string, requestStream: boolean, responseStream: boolean): BytesMethod {
  return {
    path: `/quorate.v1.Peer/${name}`,
    requestStream,
    responseStream,
    requestSerialize: asBuffer,
    requestDeserialize: identity,
    responseSerialize: asBuffer,
    responseDeserialize: identity,
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function identity(bytes: Buffer): Uint8Array {
  return bytes
}

export const peerMethods = {
  Control: method('Control', true, true),
  Append: method('Append', true, true),
  Snapshot: method('Snapshot', true, true),
  Forward: method('Forward', true, true),
  Join: method('Join', false, false),
  PeerStatus: method('PeerStatus', false, false),
  Identify: method('Identify', false, false),
} as const

/** The Hello of a Forward stream, whose messages have no room for one. */
export const helloMetadataKey = 'quorate-hello-bin'

/** Every client is a connection of its own, gives up fast and tries again fast (HAZARDS: back-off grows to 2 minutes by default). */
export const peerClientOptions: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 250,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': receiveBytesMax,
  'grpc.max_send_message_length': receiveBytesMax,
  // The links' own watchdogs are faster; this ends what they have abandoned. It waits long: on a thin link its ping is behind
  // megabytes in the buffers of the kernel, and an end would throw those away.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc-node.flow_control_window': windowBytes,
}

export const peerServerOptions: ChannelOptions = {
  'grpc.max_concurrent_streams': 64,
  'grpc.max_receive_message_length': receiveBytesMax,
  'grpc.max_send_message_length': receiveBytesMax,
  'grpc-node.max_session_memory': 64,
  // A dialler that vanished without a word is noticed and its connection dropped.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
}
