// Frames and the Raft messages in them, to bytes and back. It knows no stream.
//
// Who owns the bytes: grpc-js hands over each message in memory that it never writes again, but a small one may be a
// slice of a pool, and an entry's data, decoded, is a view of its whole frame. An entry that makes up most of its
// frame (the usual append: one batch of up to 1 MiB) stays a view, so nothing is copied; any other is copied, so that
// a small entry kept in the log's cache never pins a large frame. Memory kept is at most twice the data kept.

import { assert, unreachable } from '../base/assert.ts'
import { type Index, type Term, asIndex, asRangeId, asReplicaId, asTerm } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { Entry, EntryKind } from '../raft/types.ts'
import type { DiskBand, RangeMessage } from './transport.ts'

/** The peer sent what no version of this protocol sends. */
export class MalformedFrame extends Error {
  override readonly name = 'MalformedFrame'
}

export interface FrameStats {
  readonly flushMicros: number
  readonly freeBytes: number
  readonly diskBand: DiskBand
  readonly draining: boolean
}

export interface Frame extends FrameStats {
  readonly hello: quorate.v1.IHello | undefined
  /** Hybrid, never above the sender's synced ceiling. */
  readonly clock: number
  readonly rawClock: number
  readonly messages: readonly RangeMessage[]
}

const diskBands: readonly DiskBand[] = ['ok', 'low', 'full']
const entryKinds: readonly EntryKind[] = ['empty', 'command', 'configuration']
const entryOverheadBytes = 24
const messageOverheadBytes = 64
const frameOverheadBytes = 64

export function encodeFrame(frame: Frame): Uint8Array {
  const proto: quorate.v1.IPeerFrame = {
    clock: frame.clock,
    rawClock: frame.rawClock,
    messages: frame.messages.map(toProto),
    fsyncMicros: Math.min(0xffff_ffff, Math.max(0, Math.round(frame.flushMicros))),
    freeBytes: Math.max(0, Math.round(frame.freeBytes)),
    draining: frame.draining,
    diskBand: diskBands.indexOf(frame.diskBand),
  }
  if (frame.hello !== undefined) proto.hello = frame.hello
  // Room made once: growing and finishing the usual way allocates four times a large frame's bytes.
  const writer = quorate.v1.PeerFrame.encode({})
  let bytes = frameOverheadBytes
  for (const { message } of frame.messages) bytes += messageBytes(message)
  writer.buf = Buffer.allocUnsafe(bytes)
  return quorate.v1.PeerFrame.encode(proto, writer).finish(true)
}

/** Throws MalformedFrame. */
export function decodeFrame(bytes: Uint8Array): Frame {
  let proto: quorate.v1.IPeerFrame
  try {
    proto = quorate.v1.PeerFrame.decode(bytes)
  } catch (error) {
    throw new MalformedFrame(`not a frame: ${error instanceof Error ? error.message : String(error)}`)
  }
  const messages: RangeMessage[] = []
  for (const item of proto.messages ?? []) {
    const message = fromProto(item)
    // A body of a newer version: dropped like any lost message.
    if (message === undefined) continue
    messages.push({
      rangeId: asRangeId(safe(item.rangeId)),
      generation: safe(item.generation),
      message,
    })
  }
  return {
    hello: proto.hello ?? undefined,
    clock: safe(proto.clock),
    rawClock: safe(proto.rawClock),
    messages,
    flushMicros: proto.fsyncMicros ?? 0,
    freeBytes: safe(proto.freeBytes),
    draining: proto.draining ?? false,
    // A band of a newer version is at least a shortage.
    diskBand: diskBands[proto.diskBand ?? 0] ?? 'low',
  }
}

/** About what a message takes in memory and on the wire, for budgets. */
export function messageBytes(message: RangeMessage['message']): number {
  if (message.kind !== 'append-entries') return messageOverheadBytes
  let bytes = messageOverheadBytes
  for (const entry of message.entries) bytes += entry.data.length + entryOverheadBytes
  return bytes
}

function toProto({ rangeId, generation, message }: RangeMessage): quorate.v1.IRaftMessage {
  const proto: quorate.v1.IRaftMessage = {
    rangeId,
    generation,
    from: message.from,
    to: message.to,
    term: message.term,
  }
  switch (message.kind) {
    case 'request-vote':
      proto.requestVote = {
        preVote: message.preVote,
        lastIndex: message.lastIndex,
        lastTerm: message.lastTerm,
        transfer: message.transfer,
        commit: message.commit ?? 0,
        commitTerm: message.commitTerm ?? 0,
      }
      break
    case 'request-vote-response':
      proto.requestVoteResponse = {
        preVote: message.preVote,
        granted: message.granted,
        commit: message.commit ?? 0,
        commitTerm: message.commitTerm ?? 0,
      }
      break
    case 'append-entries':
      proto.appendEntries = {
        previousIndex: message.previousIndex,
        previousTerm: message.previousTerm,
        commit: message.commit,
        entries: message.entries.map(entryToProto),
      }
      break
    case 'append-entries-response':
      proto.appendEntriesResponse = {
        index: message.index,
        rejected: message.rejected,
        hintIndex: message.hintIndex,
        hintTerm: message.hintTerm,
        held: message.held ?? false,
      }
      break
    case 'heartbeat':
      proto.heartbeat = { commit: message.commit, context: message.context }
      break
    case 'heartbeat-response':
      proto.heartbeatResponse = {
        context: message.context,
        held: message.held ?? false,
        needsState: message.needsState,
      }
      break
    case 'state-hash':
      proto.stateHash = {
        index: message.index,
        hash: message.hash,
        isAnswer: message.isAnswer,
        isChecksum: message.isChecksum,
      }
      break
    case 'timeout-now':
      proto.timeoutNow = {}
      break
    case 'read-index-request':
      proto.readIndexRequest = { context: message.context }
      break
    case 'read-index-response':
      proto.readIndexResponse = {
        context: message.context,
        index: message.index,
        rejected: message.rejected,
      }
      break
    case 'install-snapshot':
      assert(false, 'install-snapshot goes as a stream, never as a message')
      break
    default:
      unreachable(message)
  }
  return proto
}

function entryToProto(entry: Entry): quorate.v1.IEntry {
  return {
    term: entry.term,
    index: entry.index,
    kind: entryKinds.indexOf(entry.kind),
    data: entry.data,
  }
}

function fromProto(proto: quorate.v1.IRaftMessage): RangeMessage['message'] | undefined {
  const from = asReplicaId(safe(proto.from))
  const to = asReplicaId(safe(proto.to))
  const term = asTerm(safe(proto.term))
  if (proto.appendEntries) {
    const body = proto.appendEntries
    return {
      kind: 'append-entries',
      from,
      to,
      term,
      previousIndex: asIndex(safe(body.previousIndex)),
      previousTerm: asTerm(safe(body.previousTerm)),
      commit: asIndex(safe(body.commit)),
      entries: (body.entries ?? []).map(entryFromProto),
    }
  }
  if (proto.appendEntriesResponse) {
    const body = proto.appendEntriesResponse
    return {
      kind: 'append-entries-response',
      from,
      to,
      term,
      index: asIndex(safe(body.index)),
      rejected: body.rejected ?? false,
      hintIndex: asIndex(safe(body.hintIndex)),
      hintTerm: asTerm(safe(body.hintTerm)),
      held: body.held ?? false,
    }
  }
  if (proto.heartbeat) {
    const { commit, context } = proto.heartbeat
    return {
      kind: 'heartbeat',
      from,
      to,
      term,
      commit: asIndex(safe(commit)),
      context: safe(context),
    }
  }
  if (proto.heartbeatResponse) {
    return {
      kind: 'heartbeat-response',
      from,
      to,
      term,
      context: safe(proto.heartbeatResponse.context),
      held: proto.heartbeatResponse.held ?? false,
      needsState: proto.heartbeatResponse.needsState ?? false,
    }
  }
  if (proto.requestVote) {
    const body = proto.requestVote
    return {
      kind: 'request-vote',
      from,
      to,
      term,
      preVote: body.preVote ?? false,
      lastIndex: asIndex(safe(body.lastIndex)),
      lastTerm: asTerm(safe(body.lastTerm)),
      transfer: body.transfer ?? false,
      ...commitOf(body),
    }
  }
  if (proto.requestVoteResponse) {
    const body = proto.requestVoteResponse
    return {
      kind: 'request-vote-response',
      from,
      to,
      term,
      preVote: body.preVote ?? false,
      granted: body.granted ?? false,
      ...commitOf(body),
    }
  }
  if (proto.readIndexRequest) {
    return {
      kind: 'read-index-request',
      from,
      to,
      term,
      context: safe(proto.readIndexRequest.context),
    }
  }
  if (proto.readIndexResponse) {
    const { context, index, rejected } = proto.readIndexResponse
    return {
      kind: 'read-index-response',
      from,
      to,
      term,
      context: safe(context),
      index: asIndex(safe(index)),
      rejected: rejected ?? false,
    }
  }
  if (proto.stateHash) {
    const { index, hash, isAnswer, isChecksum } = proto.stateHash
    return {
      kind: 'state-hash',
      from,
      to,
      term,
      index: asIndex(safe(index)),
      hash: hash ?? '',
      isAnswer: isAnswer ?? false,
      isChecksum: isChecksum ?? false,
    }
  }
  if (proto.timeoutNow) return { kind: 'timeout-now', from, to, term }
  return undefined
}

const noBytes = new Uint8Array(0)

function entryFromProto(proto: quorate.v1.IEntry): Entry {
  const kind = entryKinds[proto.kind ?? 0]
  if (kind === undefined) throw new MalformedFrame(`an entry of unknown kind ${proto.kind}`)
  return {
    term: asTerm(safe(proto.term)),
    index: asIndex(safe(proto.index)),
    kind,
    data: ownedBytes(proto.data ?? noBytes),
  }
}

function ownedBytes(view: Uint8Array): Uint8Array {
  if (view.length === 0) return noBytes
  // `buffer` is the whole frame, or the pool that a small frame was cut from.
  return view.length * 2 >= view.buffer.byteLength ? view : new Uint8Array(view)
}

/** Numbers past 2^53 arrive rounded, and an index that was rounded is not that index. */
/** What a vote tells of the commit index, where it tells anything. */
function commitOf(body: { readonly commit?: number | null; readonly commitTerm?: number | null }): {
  readonly commit?: Index
  readonly commitTerm?: Term
} {
  const commit = asIndex(safe(body.commit))
  return commit === 0 ? {} : { commit, commitTerm: asTerm(safe(body.commitTerm)) }
}

function safe(value: number | undefined | null): number {
  if (value === undefined || value === null) return 0
  if (!Number.isSafeInteger(value)) throw new MalformedFrame(`a number past 2^53: ${value}`)
  return value
}
