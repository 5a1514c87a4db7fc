// A snapshot that comes in, until its replica goes on from it. A replica with a state keeps that until the new one is here whole:
// the stream is spooled first. One without has nothing to lose: the stream becomes its state as it comes, which saves half of the
// writes; and what a broken stream, or a crash, leaves of it is discarded.
//
// Invariant: a state in place that its replica has not gone on from is marked, and neither a start nor a later stream keeps any of it.

import { must } from '../base/assert.ts'
import { KvError, isKvError } from '../base/errors.ts'
import { startAnew } from '../base/remedies.ts'
import { type RangeId, type ReplicaId, asRangeId } from '../base/ids.ts'
import { RangeState } from '../command/range-state.ts'
import { DamageError, type Engine, type EngineBatchOperation } from '../engine/engine.ts'
import { prefixSpan } from '../mvcc/engine-keys.ts'
import { clearRange, importRange } from '../mvcc/range-import.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import type { Clock } from '../time/clock.ts'
import { type IncomingSnapshot, snapshotStallMs } from '../transport/transport.ts'
import type { Replica } from './replica.ts'
import { SnapshotSpool } from './snapshot-spool.ts'

const unfinishedPrefix = 'nreceiving/'
const stateLostRemedy = `the state before it is gone. ${startAnew}`
const nothingLostRemedy = 'nothing of it is kept, and the next one begins anew'

export interface SnapshotIntakeOptions {
  readonly rangeId: RangeId
  readonly engine: Engine
  readonly versions: VersionStore
  readonly clock: Clock
  /** The state of the range is another one from now on. */
  readonly onInstalled: () => Promise<void>
  readonly quarantines: {
    /** What is damaged in the engine is in the way of what came. */
    damaged(replica: Replica, error: DamageError): void
    /** What the spool holds takes the place of a state that is not to be trusted; true once it has. */
    rebuild(replica: Replica, snapshot: IncomingSnapshot): Promise<boolean>
  }
}

export class SnapshotIntake {
  readonly #options: SnapshotIntakeOptions
  readonly #spool: SnapshotSpool
  /** What comes in, until its replica goes on from it. */
  #incoming: IncomingSnapshot | undefined
  /** Counts whatever was done of it. */
  #steps = 0
  /** What came last is the state already. */
  #isInPlace = false

  constructor(options: SnapshotIntakeOptions) {
    this.#options = options
    const { engine, rangeId } = options
    this.#spool = new SnapshotSpool(engine, rangeId, async batch => {
      await engine.write(batch)
      this.#worked(batch)
    })
  }

  /** Of the newest snapshot that a replica here went on from; 0: none. */
  get installedIndex(): number {
    return this.#spool.installedIndex
  }

  /**
   * Takes the stream in whole, then hands it to the core. True once the replica has installed it. Of a snapshot that holds
   * nothing new, too, the core hears: its leader may have lost the answer to the one before, and would send for ever.
   * However long it takes, it goes on while something is done.
   */
  async receive(replica: Replica, snapshot: IncomingSnapshot): Promise<boolean> {
    // A second stream would go where the first one goes, or is installed from.
    if (this.#incoming !== undefined || replica.isInstalling || snapshot.term < replica.term) return false
    this.#incoming = snapshot
    try {
      const { meta } = snapshot
      if (replica.isQuarantined) return await this.#rebuild(replica, snapshot)
      if (meta.index > replica.state.appliedIndex) await this.#take(replica, snapshot.chunks)
      if (!replica.maybeRestore(snapshot.from, snapshot.term, meta)) return false
      const isInstalled = (): boolean => replica.state.appliedIndex >= meta.index && !replica.isInstalling
      return await this.#waitFor(replica, isInstalled)
    } finally {
      this.#incoming = undefined
    }
  }

  /** The core has taken what came: its state, from which the replica goes on. */
  async install(replicaId: ReplicaId): Promise<RangeState> {
    if (!this.#isInPlace) {
      await this.#spool.beginInstall()
      return this.#installSpooled(replicaId)
    }
    const state = await this.#load(replicaId)
    const { engine, rangeId, onInstalled } = this.#options
    await engine.write([
      { key: unfinishedPrefix + rangeId, value: undefined },
      this.#spool.installed(state.appliedIndex),
    ])
    this.#isInPlace = false
    await onInstalled()
    return state
  }

  /** An install that a crash has cut short is done again, from its spool. */
  async resume(replicaId: ReplicaId): Promise<void> {
    if (this.#spool.isInstalling) await this.#installSpooled(replicaId)
  }

  /** False: the replica has stopped, or nothing was done for too long. */
  async #waitFor(replica: Replica, isMet: () => boolean): Promise<boolean> {
    for (;;) {
      const steps = this.#steps
      if (await replica.waitApplied(isMet, this.#options.clock.monotonicMs() + snapshotStallMs)) return true
      const hasStopped = replica.stopped !== undefined && !replica.isQuarantined
      if (steps === this.#steps || hasStopped) return false
    }
  }

  #worked(batch: readonly EngineBatchOperation[]): void {
    this.#steps++
    this.#incoming?.onInstalling(batch.reduce((bytes, { key, value }) => bytes + key.length + (value?.length ?? 0), 0))
  }

  /** Always spooled: until the new state is here whole, the mark that the old one is void has to stand. */
  async #rebuild(replica: Replica, snapshot: IncomingSnapshot): Promise<boolean> {
    if (!replica.mayRebuild(snapshot.from, snapshot.term, snapshot.meta)) return false
    await this.#take(replica, snapshot.chunks)
    return this.#options.quarantines.rebuild(replica, snapshot)
  }

  async #take(replica: Replica, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    let isTaken = false
    const isOver = this.#waitFor(replica, () => isTaken)
    const wanted = chunksUntil(isOver, chunks, () => this.#steps++)
    this.#isInPlace = false
    try {
      if (replica.state.appliedIndex > 0 || replica.isQuarantined) await this.#spool.fill(wanted)
      else await this.#putInPlace(wanted)
    } catch (error) {
      if (error instanceof DamageError) this.#options.quarantines.damaged(replica, error)
      throw error
    } finally {
      isTaken = true
    }
  }

  async #putInPlace(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { engine, versions, rangeId } = this.#options
    await engine.write([{ key: unfinishedPrefix + rangeId, value: Uint8Array.of(1) }])
    await importRange(engine, versions, rangeId, chunks, batch => this.#worked(batch)).catch(
      withRemedy(nothingLostRemedy),
    )
    this.#isInPlace = true
  }

  async #installSpooled(replicaId: ReplicaId): Promise<RangeState> {
    const { engine, versions, rangeId, onInstalled } = this.#options
    const chunks = this.#spool.chunks()
    const worked = (batch: readonly EngineBatchOperation[]): void => this.#worked(batch)
    await importRange(engine, versions, rangeId, chunks, worked).catch(withRemedy(stateLostRemedy))
    const state = await this.#load(replicaId)
    await this.#spool.endInstall(state.appliedIndex)
    await onInstalled()
    return state
  }

  async #load(replicaId: ReplicaId): Promise<RangeState> {
    const { versions, rangeId } = this.#options
    return must(await RangeState.load(versions, rangeId, replicaId), 'a snapshot carries its applied state')
  }
}

/** Before anything reads the engine: what a crash has left of streams that were put in place is no state. */
export async function discardUnfinished(engine: Engine): Promise<void> {
  const marks = await engine.read(prefixSpan(unfinishedPrefix), { limit: Number.MAX_SAFE_INTEGER, keysOnly: true })
  for (const { key } of marks) {
    await clearRange(engine, batch => engine.write(batch), asRangeId(Number(key.slice(unfinishedPrefix.length))))
    await engine.write([{ key, value: undefined }])
  }
}

function withRemedy(remedy: string): (error: unknown) => never {
  return error => {
    if (!isKvError(error, 'damaged')) throw error
    throw new KvError('damaged', `${error.message}; ${remedy}`, { cause: error })
  }
}

/** What its sender cannot read is no damage of this node's. */
function ofSender(error: unknown): never {
  if (!(error instanceof DamageError)) throw error
  throw new KvError('unavailable', `the sender of the snapshot cannot read it: ${error.message}`, { cause: error })
}

/** Whoever waits for a chunk when `over` resolves is told. */
async function* chunksUntil(
  over: Promise<unknown>,
  chunks: AsyncIterable<Uint8Array>,
  onChunk: () => void,
): AsyncGenerator<Uint8Array> {
  const isOver = over.then(() => {
    throw new KvError('unavailable', 'the replica that the snapshot is for has stopped, or it went on no further')
  })
  isOver.catch(() => {})
  const iterator = chunks[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([iterator.next().catch(ofSender), isOver])
      if (next.done === true) return
      onChunk()
      yield next.value
    }
  } finally {
    // Not awaited: it may hang as well.
    iterator.return?.().catch(() => {})
  }
}
