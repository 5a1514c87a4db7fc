// The connections of one client to one node, and the streams over them. Few: a fleet of clients must not cost its cluster
// more connections than it has work for. One carries everything, until the load of reads asks for more (read-lane.ts), and
// another what may fill a slow line for long. Each is dialled when it is first used.

import type { Clock } from '../time/clock.ts'
import { BatchStream } from './batch-stream.ts'
import { Connection } from './connection.ts'
import type { Pace } from './pace.ts'

/** Without a call for so long, a connection is closed. */
const sharedIdleMs = 300_000
const extraIdleMs = 30_000

export class NodeLinks {
  readonly shared: Connection
  readonly writes: BatchStream
  readonly #address: string
  readonly #clock: Clock
  readonly #pace: Pace
  readonly #onSilence: (stream: BatchStream) => void
  #scans: Connection | undefined
  /** By slot. */
  readonly #readConnections: Connection[] = []
  readonly #readStreams = new Map<number, BatchStream>()

  /** `onSilence`: see BatchStream. */
  constructor(address: string, clock: Clock, pace: Pace, onSilence: (stream: BatchStream) => void) {
    this.#address = address
    this.#clock = clock
    this.#pace = pace
    this.#onSilence = onSilence
    this.shared = new Connection(address, clock, pace, sharedIdleMs)
    this.writes = new BatchStream(this.shared, clock, pace, onSilence)
  }

  get scans(): Connection {
    this.#scans ??= new Connection(this.#address, this.#clock, this.#pace, extraIdleMs)
    return this.#scans
  }

  reads(group: number, slot: number, isSpread: boolean): BatchStream {
    // Streams of two groups in the same slot, spread or not: four to a slot.
    const key = slot * 4 + group * 2 + (isSpread ? 1 : 0)
    let stream = this.#readStreams.get(key)
    if (stream === undefined) {
      const connection = isSpread ? this.#readConnection(slot) : this.shared
      stream = new BatchStream(connection, this.#clock, this.#pace, this.#onSilence)
      this.#readStreams.set(key, stream)
    }
    return stream
  }

  #readConnection(slot: number): Connection {
    let connection = this.#readConnections[slot]
    if (connection === undefined) {
      connection = new Connection(this.#address, this.#clock, this.#pace, extraIdleMs)
      this.#readConnections[slot] = connection
    }
    return connection
  }

  /** Nothing waits for an answer on a stream. */
  get isIdle(): boolean {
    return this.#streams().every(stream => stream.isIdle)
  }

  /** Closes what could not be connected and was not used for `unusedMs`. */
  closeVain(unusedMs: number): void {
    for (const connection of this.#connections()) connection.closeVain(unusedMs)
  }

  /** Ends all streams, whose answers nobody waits for. Connections stay, but those that were not made yet. */
  rest(): void {
    for (const stream of this.#streams()) stream.close()
    this.closeVain(0)
  }

  close(): void {
    for (const stream of this.#streams()) stream.close()
    for (const connection of this.#connections()) connection.close()
  }

  #streams(): BatchStream[] {
    return [this.writes, ...this.#readStreams.values()]
  }

  #connections(): Connection[] {
    const scans = this.#scans === undefined ? [] : [this.#scans]
    return [this.shared, ...scans, ...this.#readConnections.filter(connection => connection !== undefined)]
  }
}
