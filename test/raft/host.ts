// The shell around one core, as small as it can be: a log whose writes are queued until somebody flushes them, a state
// machine that hashes what it applies, and a crash that loses whatever was not flushed. Nothing here decides when
// anything happens: the scripts and the simulation do.

import { assert } from '../../src/base/assert.ts'
import { asIndex, asTerm, type Index, noReplica, type ReplicaId, type Term } from '../../src/base/ids.ts'
import { emptyConfiguration } from '../../src/raft/configuration.ts'
import { decodeConfigurationChange } from '../../src/raft/configuration-change.ts'
import { createRaft } from '../../src/raft/raft.ts'
import type {
  Configuration,
  Entry,
  HardState,
  Message,
  Raft,
  RaftOptions,
  Ready,
  SnapshotMeta,
} from '../../src/raft/types.ts'
import { MemoryLog } from './memory-log.ts'

/** The state machine: what it has applied, and a hash of all of it in order. */
export interface StateImage {
  readonly applied: Index
  readonly term: Term
  readonly hash: number
  readonly configuration: Configuration
}

export interface SnapshotStream {
  readonly kind: 'snapshot-stream'
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: Term
  readonly image: StateImage
}

export type Packet = Message | SnapshotStream

/** Writes of one Ready, on their way to the disk. */
interface Write {
  readonly entries: readonly Entry[]
  readonly hardState: HardState | undefined
  readonly image: StateImage | undefined
  readonly lastIndex: Index | undefined
  readonly term: Term
  readonly after: readonly Message[]
}

interface Disk {
  log: MemoryLog
  hardState: HardState
  image: StateImage
}

export const emptyImage: StateImage = {
  applied: asIndex(0),
  term: asTerm(0),
  hash: 0,
  configuration: emptyConfiguration,
}

export interface HostStart {
  readonly image: StateImage
  readonly hardState?: HardState
  readonly entries?: readonly Entry[]
}

export class Host {
  readonly id: ReplicaId
  readonly #options: RaftOptions
  readonly disk: Disk
  raft: Raft
  log: MemoryLog
  image: StateImage
  writes: Write[] = []
  toApply: Entry[] = []
  #arrived = new Map<Index, StateImage>()
  /** Report what is durable under the entry's own term, as a shell may, instead of the core's. */
  reportsEntryTerm = false
  onApply: (entry: Entry, image: StateImage) => void = () => {}
  /** Everything that leaves this replica, when it leaves. */
  onSend: (packet: Packet) => void = () => {}

  constructor(options: RaftOptions, start: HostStart) {
    this.id = options.id
    this.#options = options
    const log = new MemoryLog()
    log.reset(start.image.applied, start.image.term)
    log.append(start.entries ?? [])
    const hardState = start.hardState ?? { term: start.image.term, vote: noReplica, commit: start.image.applied }
    this.disk = { log, hardState, image: start.image }
    this.log = log.clone()
    this.image = start.image
    this.raft = this.#start()
  }

  #start(): Raft {
    const { hardState, image } = this.disk
    return createRaft(this.#options, {
      log: this.log,
      hardState,
      configuration: image.configuration,
      applied: image.applied,
    })
  }

  /** Power is lost: what was not flushed is gone. */
  crash(): void {
    this.writes = []
    this.toApply = []
    this.#arrived.clear()
    this.log = this.disk.log.clone()
    this.image = this.disk.image
  }

  restart(): void {
    this.raft = this.#start()
  }

  /** Takes one Ready; its writes wait for `flush`, its entries for `apply`. */
  takeReady(): Ready {
    const ready = this.raft.ready()
    const { entries, hardState, snapshot, messagesAfterFlush } = ready
    let image: StateImage | undefined
    if (snapshot !== undefined) {
      assert(entries.length === 0 && ready.committed.length === 0, 'a snapshot travels alone')
      image = this.#arrived.get(snapshot.index)
      assert(image !== undefined, 'a snapshot in a Ready has arrived')
      this.#arrived.clear()
      this.log.reset(snapshot.index, snapshot.term)
      this.image = image
      this.toApply = []
      this.raft.appliedTo(snapshot.index)
    }
    this.log.append(entries)
    for (const message of ready.messages) this.#send(message)
    const isWrite = entries.length > 0 || hardState !== undefined || image !== undefined
    if (isWrite || ready.mustSync) {
      const lastIndex = entries.at(-1)?.index ?? snapshot?.index
      const entryTerm = entries.at(-1)?.term ?? snapshot?.term
      const term = this.reportsEntryTerm ? (entryTerm ?? this.raft.term) : this.raft.term
      this.writes.push({ entries, hardState, image, lastIndex, term, after: messagesAfterFlush })
    } else for (const message of messagesAfterFlush) this.#send(message)
    for (const entry of ready.committed) this.toApply.push(entry)
    const lastCommitted = ready.committed.at(-1)
    if (lastCommitted !== undefined) this.raft.tellCommit(lastCommitted.index)
    return ready
  }

  #send(message: Message): void {
    if (message.kind !== 'install-snapshot') {
      this.onSend(message)
      return
    }
    const { from, to, term, snapshot } = message
    const { image } = this.disk
    assert(image.applied >= snapshot.index, 'the snapshot reaches to where the log begins')
    this.onSend({ kind: 'snapshot-stream', from, to, term, image })
  }

  /** The oldest `count` writes reach the disk in one flush; then each is reported. */
  flush(count: number = this.writes.length): void {
    const written = this.writes.splice(0, count)
    for (const { entries, hardState, image } of written) {
      if (image !== undefined) {
        this.disk.image = image
        this.disk.log.reset(image.applied, image.term)
      }
      this.disk.log.append(entries)
      if (hardState !== undefined) this.disk.hardState = hardState
    }
    for (const { hardState, lastIndex, term, after } of written) {
      if (hardState !== undefined) this.raft.hardStateDurable(hardState)
      if (lastIndex !== undefined) this.raft.durableTo(lastIndex, term)
      for (const message of after) this.#send(message)
    }
  }

  apply(count: number = this.toApply.length): void {
    const entries = this.toApply.splice(0, count)
    for (const entry of entries) this.#applyEntry(entry)
    if (entries.length > 0) this.raft.appliedTo(this.image.applied)
  }

  #applyEntry(entry: Entry): void {
    assert(entry.index === this.image.applied + 1, 'entries are applied in order, without a gap')
    let { configuration } = this.image
    if (entry.kind === 'configuration') {
      configuration = this.raft.applyConfiguration(decodeConfigurationChange(entry.data))
    }
    let hash = Math.imul(this.image.hash ^ entry.index, 0x9e3779b1) ^ entry.term
    for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x85ebca6b)
    this.image = { applied: entry.index, term: entry.term, hash, configuration }
    this.onApply(entry, this.image)
  }

  /** The engine's state reaches its disk; the log before it may go. */
  flushEngine(): void {
    // The state of a snapshot reaches the disk with its log, by `flush`.
    if (this.writes.some(write => write.image !== undefined)) return
    this.disk.image = this.image
  }

  truncate(keep: number): void {
    const index = asIndex(Math.min(this.disk.image.applied, this.disk.log.lastIndex) - keep)
    if (index <= this.log.truncatedIndex || this.writes.some(write => write.image !== undefined)) return
    this.log.truncateTo(index)
    this.disk.log.truncateTo(index)
  }

  step(packet: Packet): boolean {
    if (packet.kind !== 'snapshot-stream') {
      this.raft.step(packet)
      return true
    }
    const { image } = packet
    const meta: SnapshotMeta = { index: image.applied, term: image.term, configuration: image.configuration }
    const taken = this.raft.maybeRestore(packet.from, packet.term, meta)
    if (taken) this.#arrived.set(meta.index, image)
    return taken
  }
}

export function optionsOf(
  id: ReplicaId,
  random: (bound: number) => number,
  more: Partial<RaftOptions> = {},
): RaftOptions {
  return {
    id,
    electionTimeoutTicks: 6,
    heartbeatTicks: 2,
    inflightMessagesMax: 4,
    inflightBytesMax: 1024,
    appendBytesMax: 64,
    uncommittedBytesMax: 1024,
    proposalBytesMax: 256,
    applyingBytesMax: 1 << 20,
    unappliedBytesMax: 1 << 20,
    random,
    ...more,
  }
}
