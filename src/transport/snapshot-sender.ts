// Streams one snapshot to one peer, on a connection of its own, as fast as the peer takes it and no faster. It goes on for as
// long as the peer tells of progress: a large state, a slow disk there or a thin link makes it last, and must not end it.

import { crc32 } from 'node:zlib'
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import { quorate } from '../proto/quorate.js'
import { createHello } from './hello.ts'
import type { PeerContext } from './peer-context.ts'
import { peerClientOptions, peerMethods } from './peer-service.ts'
import { Stalled, StallWatch } from './stall-guard.ts'
import type { NodeAddress, OutgoingSnapshot } from './transport.ts'

/** 3: versions have skips, and so have the outlines of history. */
export const snapshotFormat = 3
const chunkBytesMax = 1 << 20

export class SnapshotSender {
  readonly #context: PeerContext
  readonly #stallMs: number
  readonly #sending = new Map<AbortController, Promise<boolean>>()

  constructor(context: PeerContext, stallMs: number) {
    this.#context = context
    this.#stallMs = stallMs
  }

  /** Whether the peer installed it; every failure is a `false`, with its reason in the log. */
  send(peer: NodeAddress, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const controller = new AbortController()
    const sent = this.#send(peer, snapshot, AbortSignal.any([signal, controller.signal])).finally(() => {
      this.#sending.delete(controller)
    })
    this.#sending.set(controller, sent)
    return sent
  }

  async close(): Promise<void> {
    for (const controller of this.#sending.keys()) controller.abort()
    await Promise.all(this.#sending.values())
  }

  async #send(peer: NodeAddress, snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<boolean> {
    const { logger } = this.#context
    const fields = {
      peer: peer.node,
      range: snapshot.rangeId,
      index: snapshot.meta.index,
    }
    const client = new Client(peer.peerAddress, credentials.createInsecure(), peerClientOptions)
    const { promise: answer, resolve, reject } = Promise.withResolvers<quorate.v1.ISnapshotResult>()
    answer.catch(() => {}) // heard of through the races below
    const { clock } = this.#context
    const stalled = (): void => reject(new Stalled(`no progress for ${this.#stallMs} ms`))
    const watch = new StallWatch(clock, this.#stallMs, stalled)
    const abort = (): void => reject(new Stalled('aborted'))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    let call: ClientDuplexStream<Uint8Array, Uint8Array> | undefined
    try {
      const method = peerMethods.Snapshot
      call = client.makeBidiStreamRequest<Uint8Array, Uint8Array>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
      )
      let workBytes = 0
      call.on('data', (bytes: Uint8Array) => {
        const progress = decodeProgress(bytes)
        if (progress.result) resolve(progress.result)
        else if ((progress.workBytes ?? 0) > workBytes) {
          workBytes = progress.workBytes ?? 0
          watch.moved()
          snapshot.onProgress(workBytes)
        }
      })
      call.on('error', reject)
      call.on('end', () => reject(new Error('the peer ended the stream without an answer')))
      await this.#writeAll(call, peer, snapshot, answer)
      const result = await answer
      if (result.installed !== true) logger.warn(fields, `${peer.node} did not install a snapshot: ${result.message}`)
      return result.installed === true
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      logger.warn({ ...fields, reason }, `a snapshot for ${peer.node} was not sent whole`)
      return false
    } finally {
      watch.close()
      signal.removeEventListener('abort', abort)
      call?.cancel()
      client.close()
    }
  }

  async #writeAll(
    call: ClientDuplexStream<Uint8Array, Uint8Array>,
    peer: NodeAddress,
    snapshot: OutgoingSnapshot,
    answer: Promise<unknown>,
  ): Promise<void> {
    // An answer, or an error, before the end means that the peer wants no more.
    const write = (chunk: quorate.v1.ISnapshotChunk): Promise<unknown> => {
      const taken = new Promise<void>((resolve, reject) => {
        const bytes = quorate.v1.SnapshotChunk.encode(chunk).finish()
        call.write(bytes, (error?: Error | null) => (error ? reject(error) : resolve()))
      })
      return Promise.race([taken, answer])
    }
    let settled = false
    const settle = (): void => {
      settled = true
    }
    answer.then(settle, settle)
    let sequence = 0
    let totalCrc = 0
    let totalBytes = 0
    await write({ header: this.#header(peer, snapshot), sequence })
    const iterator = snapshot.chunks[Symbol.asyncIterator]()
    // One chunk is read while the one before is on its way.
    const ahead = (): Promise<IteratorResult<Uint8Array>> => {
      const read = iterator.next()
      read.catch(() => {}) // heard of when it is its turn
      return read
    }
    const over = answer.then(() => undefined)
    over.catch(() => {})
    try {
      let reading = ahead()
      while (!settled) {
        const next = await Promise.race([reading, over])
        if (next === undefined || next.done === true) break
        reading = ahead()
        for (let start = 0; start < next.value.length && !settled; start += chunkBytesMax) {
          const data = next.value.subarray(start, start + chunkBytesMax)
          sequence += 1
          totalCrc = crc32(data, totalCrc)
          totalBytes += data.length
          await write({ sequence, data, crc: crc32(data) })
        }
      }
      if (settled) return
      await write({ sequence: sequence + 1, last: true, totalCrc, totalBytes })
    } finally {
      // Not awaited: a source that hangs must not hold us.
      iterator.return?.().catch(() => {})
    }
    call.end()
  }

  #header(peer: NodeAddress, snapshot: OutgoingSnapshot): quorate.v1.ISnapshotHeader {
    const { hybridClock } = this.#context
    const { configuration } = snapshot.meta
    return {
      hello: createHello(this.#context, peer),
      clock: hybridClock.acknowledged(),
      rawClock: hybridClock.raw(),
      rangeId: snapshot.rangeId,
      from: snapshot.from,
      to: snapshot.to,
      term: snapshot.term,
      index: snapshot.meta.index,
      entryTerm: snapshot.meta.term,
      configuration: {
        voters: [...configuration.voters],
        votersOutgoing: [...configuration.votersOutgoing],
        learners: [...configuration.learners],
        learnersNext: [...configuration.learnersNext],
        autoLeave: configuration.autoLeave,
      },
      descriptor: quorate.v1.RangeDescriptor.decode(snapshot.descriptor),
      format: snapshotFormat,
    }
  }
}

/** Whatever a peer sends: what cannot be read is no progress. */
function decodeProgress(bytes: Uint8Array): quorate.v1.ISnapshotProgress {
  try {
    return quorate.v1.SnapshotProgress.decode(bytes)
  } catch {
    return {}
  }
}
