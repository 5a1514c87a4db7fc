// The receiving side of a snapshot stream. The consumer sees checked chunks, or an exception: never a state that looks
// whole and is not. It pulls, so a slow consumer slows the sender (nothing is read ahead but what HTTP/2 lets through).

import { crc32 } from 'node:zlib'
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { KvError, isKvError } from '../base/errors.ts'
import { asIndex, asRangeId, asReplicaId, asTerm } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { Configuration } from '../raft/types.ts'
import type { ClockGate } from './clock-gate.ts'
import { judgeHello } from './hello.ts'
import type { PeerContext } from './peer-context.ts'
import { snapshotFormat } from './snapshot-sender.ts'
import { withDeadline } from './stall-guard.ts'
import type { IncomingSnapshot } from './transport.ts'

export type SnapshotStream = ServerDuplexStream<Uint8Array, Uint8Array>

/** The sender hears of progress so often, at most. */
const progressIntervalMs = 250

export class SnapshotReceiver {
  readonly #context: PeerContext
  readonly #gate: ClockGate
  readonly #stallMs: number

  constructor(context: PeerContext, gate: ClockGate, stallMs: number) {
    this.#context = context
    this.#gate = gate
    this.#stallMs = stallMs
  }

  /** The encoded SnapshotProgress that has the result. Rejects only when the stream is not one of ours at all. */
  async serve(stream: SnapshotStream, install: (snapshot: IncomingSnapshot) => Promise<boolean>): Promise<Uint8Array> {
    const chunks = this.#chunks(stream)
    let message = ''
    let installed = false
    let hasBegun = false
    try {
      const first = await chunks.next()
      if (first.done === true || !first.value.header) throw new KvError('damaged', 'a snapshot begins with its header')
      hasBegun = true
      const seen = { whole: false }
      const worked = this.#progress(stream)
      const checked = this.#checked(chunks, seen, worked)
      installed = await install(this.#open(first.value.header, checked, worked))
      if (installed && !seen.whole) throw new KvError('internal', 'it was installed before its last chunk was seen')
      if (!installed) message = 'the receiver did not install it'
    } catch (error) {
      if (!hasBegun && isKvError(error, 'invalid-argument')) throw error
      installed = false
      message = error instanceof Error ? error.message : String(error)
      this.#context.logger.warn({ reason: message }, 'a snapshot was not received whole, or not installed')
    } finally {
      chunks.return(undefined).catch(() => {})
    }
    return quorate.v1.SnapshotProgress.encode({ result: { installed, message } }).finish()
  }

  /** Tells the sender, now and then, how much was received and installed. */
  #progress(stream: SnapshotStream): (bytes: number) => void {
    const { clock } = this.#context
    let workBytes = 0
    let toldMs = Number.NEGATIVE_INFINITY
    return bytes => {
      workBytes += bytes
      const now = clock.monotonicMs()
      if (now - toldMs < progressIntervalMs || stream.writableNeedDrain || stream.writableEnded || stream.destroyed)
        return
      toldMs = now
      stream.write(quorate.v1.SnapshotProgress.encode({ workBytes }).finish())
    }
  }

  #open(
    header: quorate.v1.ISnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    onInstalling: (bytes: number) => void,
  ): IncomingSnapshot {
    const verdict = judgeHello(header.hello ?? {}, this.#context)
    if (verdict.kind === 'refused') throw new KvError(verdict.code, verdict.refusal)
    if (header.format !== snapshotFormat) {
      throw new KvError(
        'invalid-argument',
        `snapshot format ${header.format} is not ${snapshotFormat}: upgrade this node`,
      )
    }
    const { node } = verdict.speaker
    if (!this.#gate.admit(node, safe(header.clock), safe(header.rawClock))) {
      throw new KvError('unavailable', this.#gate.refusal(node))
    }
    const index = asIndex(safe(header.index))
    return {
      node,
      rangeId: asRangeId(safe(header.rangeId)),
      from: asReplicaId(safe(header.from)),
      to: asReplicaId(safe(header.to)),
      term: asTerm(safe(header.term)),
      meta: {
        index,
        term: asTerm(safe(header.entryTerm)),
        configuration: configurationOf(header.configuration ?? {}),
      },
      descriptor: quorate.v1.RangeDescriptor.encode(header.descriptor ?? {}).finish(),
      chunks,
      onInstalling,
    }
  }

  /** Chunks as they come, each within the stall deadline. Whatever ends the stream early is an exception. */
  async *#chunks(stream: SnapshotStream): AsyncGenerator<quorate.v1.ISnapshotChunk, undefined> {
    // The iterator alone would wait for ever on a stream that was destroyed before it was asked.
    const broken = new Promise<never>((_resolve, reject) => {
      const fail = (): void => reject(new KvError('unavailable', 'the snapshot stream broke before its end'))
      stream.once('cancelled', fail)
      stream.once('error', fail)
    })
    broken.catch(() => {})
    // Its writing side has yet to carry the answer, however the reading ends.
    const iterator = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>
    for (;;) {
      const next = Promise.race([iterator.next(), broken])
      const result = await withDeadline(this.#context.clock, next, this.#stallMs, 'receiving a snapshot')
      if (result.done === true) return undefined
      yield decodeChunk(result.value)
    }
  }

  async *#checked(
    chunks: AsyncGenerator<quorate.v1.ISnapshotChunk, undefined>,
    seen: { whole: boolean },
    onTaken: (bytes: number) => void,
  ): AsyncGenerator<Uint8Array, undefined> {
    let sequence = 0
    let totalCrc = 0
    let totalBytes = 0
    for await (const chunk of chunks) {
      sequence += 1
      if (chunk.sequence !== sequence) {
        throw new KvError('damaged', `snapshot chunk ${chunk.sequence} came where ${sequence} was due`)
      }
      if (chunk.last === true) {
        if ((chunk.totalCrc ?? 0) !== totalCrc || (chunk.totalBytes ?? 0) !== totalBytes) {
          throw new KvError('damaged', `the checksum over all ${totalBytes} bytes of a snapshot disagrees`)
        }
        seen.whole = true
        return undefined
      }
      const data = chunk.data ?? new Uint8Array(0)
      if (crc32(data) !== (chunk.crc ?? 0))
        throw new KvError('damaged', `the checksum of snapshot chunk ${sequence} disagrees`)
      totalCrc = crc32(data, totalCrc)
      totalBytes += data.length
      yield data
      onTaken(data.length)
    }
    throw new KvError('damaged', 'the snapshot stream ended before its last chunk')
  }
}

function decodeChunk(bytes: Uint8Array): quorate.v1.ISnapshotChunk {
  try {
    return quorate.v1.SnapshotChunk.decode(bytes)
  } catch (error) {
    throw new KvError('invalid-argument', 'the snapshot chunk could not be read', { cause: error })
  }
}

function configurationOf(proto: quorate.v1.IRaftConfiguration): Configuration {
  const ids = (list: readonly number[] | null | undefined) => (list ?? []).map(id => asReplicaId(safe(id)))
  return {
    voters: ids(proto.voters),
    votersOutgoing: ids(proto.votersOutgoing),
    learners: ids(proto.learners),
    learnersNext: ids(proto.learnersNext),
    autoLeave: proto.autoLeave ?? false,
  }
}

function safe(value: number | null | undefined): number {
  if (!Number.isSafeInteger(value ?? 0)) throw new KvError('invalid-argument', `a number past 2^53: ${value}`)
  return value ?? 0
}
