// Which replicas of this node are quarantined: their state is not to be trusted, whether an entry was applied by half, a checksum
// did not hold, or the other replicas came to another state. Their logs and votes are whole, so they go on voting and appending,
// and wait for a snapshot of a leader's to begin anew from.
//
// Invariants: the marker of a quarantine is in one batch with a flush that leaves out what the replica has applied, and goes in one
// batch with the state that takes its place: no restart replays or serves a state that was given up.

import type { RangeId, ReplicaId } from '../base/ids.ts'
import { asIndex, asReplicaId, noReplica } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { RangeState } from '../command/range-state.ts'
import { DamageError, type Engine, type EngineBatchOperation } from '../engine/engine.ts'
import type { Log, RecoveredReplica } from '../log/log.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import { isOnlyVoter } from '../raft/configuration.ts'
import type { HardState } from '../raft/types.ts'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import type { IncomingSnapshot } from '../transport/transport.ts'
import { blankState } from './blank-state.ts'
import { decodeConfiguration } from './descriptor.ts'
import type { Refusal } from './local-store.ts'
import { quarantineKey } from './quarantine-marker.ts'
import type { Replica } from './replica.ts'

/** A replica that is quarantined again so soon after it was rebuilt waits before it asks for the next snapshot: */
const calmMs = 10 * 60 * 1000
/** so long the first time, twice as long each time after that, and no longer than this. */
const pauseMinMs = 5_000
const pauseMaxMs = 5 * 60 * 1000
const toldEveryMs = 60_000

export interface QuarantinesOptions {
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly log: Log
  readonly engine: Engine
  readonly versions: VersionStore
  readonly logger: Logger
  /** Flushes the engine: of quarantined replicas nothing but the markers that `marker` gives. */
  readonly flush: () => Promise<void>
  /** The flush under way has ended. */
  readonly flushing: () => Promise<void>
  readonly isClosed: () => boolean
  /** The state that is spooled for the replica takes the place of its old one, and its marker is gone. */
  readonly install: (replica: Replica) => Promise<RangeState>
  readonly open: (log: Replica['log'], hardState: HardState, state: RangeState, quarantined?: Refusal) => Replica
  readonly opened: (replica: Replica) => void
  /** The engine can neither be read nor cleared: the node must not go on with half of an install in it. */
  readonly onFatal: (error: unknown) => void
}

interface Rebuild {
  readonly atMs: number
  readonly number: number
}

interface Watch {
  /** Of the rebuilds that followed one another without a calm in between, the last. */
  rebuilt: Rebuild | undefined
  asksAtMs: number
  toldAtMs: number
}

export class Quarantines {
  readonly #options: QuarantinesOptions
  readonly #watches = new Map<RangeId, Watch>()
  /** Whose marker is not on disk yet, and why they are quarantined. */
  readonly #unmarked = new Map<Replica, string>()

  constructor(options: QuarantinesOptions) {
    this.#options = options
  }

  /** What of its state is not flushed yet is dropped; what is on disk is marked as void. */
  begin(replica: Replica, reason: string): void {
    if (replica.stopped !== undefined) return
    this.#unmarked.set(replica, reason)
    replica.quarantine(refusalOf(replica.rangeId, reason, replica.isOnlyVoter))
    this.#begun(replica, reason)
    // A failure is the node's end, and told by itself.
    void this.#options.flush().catch(() => {})
  }

  /** Damage was met while a snapshot came in. */
  damaged(replica: Replica, error: DamageError): void {
    // An engine that cannot be cleared is none to rebuild a replica in.
    if (replica.isQuarantined) this.#options.onFatal(error)
    else this.begin(replica, error.message)
  }

  /** At a start. False: this replica is healthy as far as its state's own record can tell. */
  async maybeOpen({ rangeId, replicaId, log, hardState }: RecoveredReplica): Promise<boolean> {
    const { versions, hybridClock, open, flush } = this.#options
    const known = this.#reason(rangeId, replicaId)
    const stored = await RangeState.load(versions, rangeId, replicaId).catch((error: unknown) => {
      if (error instanceof DamageError) return error
      throw error
    })
    const isDamaged = stored instanceof DamageError
    if (known === undefined && !isDamaged) return false
    const reason = known ?? (isDamaged ? stored.message : '')
    // What can be read of it tells whom this replica votes with, and no more.
    const state = stored === undefined || isDamaged ? blankState({ rangeId, replicaId }) : stored
    hybridClock.mergeOwn(state.lastStamp)
    const isAlone = isOnlyVoter(decodeConfiguration(state.configuration), replicaId)
    const replica = open(log, hardState, state, refusalOf(rangeId, reason, isAlone))
    this.#begun(replica, reason)
    if (known !== undefined) return true
    this.#unmarked.set(replica, reason)
    await flush()
    return true
  }

  /** Whose effects the next flush must leave out, and whose markers it has to write. */
  unmarked(): readonly Replica[] {
    return [...this.#unmarked.keys()]
  }

  marker(replica: Replica): EngineBatchOperation {
    const reason = this.#unmarked.get(replica) ?? ''
    return { key: quarantineKey(replica.rangeId), value: Buffer.from(`${replica.replicaId} ${reason}`) }
  }

  marked(replicas: readonly Replica[]): void {
    for (const replica of replicas) this.#unmarked.delete(replica)
  }

  /** Asks for a snapshot once the pause is over, and says from time to time what is waited for. */
  tick(replica: Replica): void {
    const watch = this.#watch(replica.rangeId)
    const nowMs = this.#options.clock.monotonicMs()
    const isPaused = nowMs < watch.asksAtMs
    // Not before the marker is on disk: the snapshot takes it away.
    replica.askForState(!isPaused && !this.#unmarked.has(replica))
    if (nowMs - watch.toldAtMs < toldEveryMs) return
    watch.toldAtMs = nowMs
    const awaits = replica.isOnlyVoter
      ? 'nobody: it is the only voter of its range'
      : replica.status().leader === noReplica
        ? 'a healthy leader: its range has none that this node can reach'
        : isPaused
          ? 'some minutes, because it was quarantined again soon after it had been rebuilt'
          : 'a snapshot from its leader'
    this.#options.logger.warn({ range: replica.rangeId, awaits }, 'this replica is still quarantined')
  }

  /**
   * The stream is spooled: another replica takes the place of this one, with the same identity and log, and the state that came.
   * True once that is durable.
   */
  async rebuild(replica: Replica, snapshot: IncomingSnapshot): Promise<boolean> {
    const { clock, hybridClock, logger, flushing, isClosed, install, open, opened, onFatal } = this.#options
    const { rangeId, replicaId, log } = replica
    const { meta, term } = snapshot
    // A flush that is still to drop what the old state has in the buffer would drop what the new one has as well.
    if (isClosed() || this.#unmarked.has(replica)) return false
    if (!replica.mayRebuild(snapshot.from, term, meta)) return false
    replica.retire()
    await flushing()
    const state = await install(replica).catch((error: unknown) => {
      onFatal(error)
      throw error
    })
    hybridClock.mergeOwn(state.lastStamp)
    const isKept = log.term(meta.index) === meta.term
    log.reset(meta.index, meta.term)
    const { hardState } = replica
    const isNewTerm = term > hardState.term
    const known: HardState = {
      term: isNewTerm ? term : hardState.term,
      vote: isNewTerm ? asReplicaId(0) : hardState.vote,
      commit: asIndex(isKept ? Math.max(hardState.commit, meta.index) : meta.index),
    }
    log.append([], known)
    // A core takes what it starts from for durable.
    await new Promise<void>(resolve => this.#options.log.flush(() => resolve()))
    if (isClosed()) return false
    const rebuilt = open(log, known, state)
    const watch = this.#watch(rangeId)
    watch.rebuilt = { atMs: clock.monotonicMs(), number: (watch.rebuilt?.number ?? 0) + 1 }
    logger.info({ range: rangeId, replica: replicaId, index: meta.index }, 'this replica is rebuilt, and serves')
    opened(rebuilt)
    rebuilt.schedule()
    return true
  }

  #begun(replica: Replica, reason: string): void {
    const { clock, logger } = this.#options
    const watch = this.#watch(replica.rangeId)
    const nowMs = clock.monotonicMs()
    if (watch.rebuilt !== undefined && nowMs - watch.rebuilt.atMs >= calmMs) watch.rebuilt = undefined
    const number = watch.rebuilt?.number ?? 0
    watch.asksAtMs = number === 0 ? nowMs : nowMs + Math.min(pauseMaxMs, pauseMinMs * 2 ** (number - 1))
    watch.toldAtMs = nowMs
    logger.error(
      { range: replica.rangeId, replica: replica.replicaId, reason },
      replica.isOnlyVoter
        ? 'this replica is quarantined, and no other votes: there is nobody to rebuild it from; keep the data directory'
        : 'this replica is quarantined: it votes and appends, serves nothing, and is to be rebuilt from its peers',
    )
  }

  #watch(rangeId: RangeId): Watch {
    let watch = this.#watches.get(rangeId)
    if (watch === undefined) {
      watch = { rebuilt: undefined, asksAtMs: 0, toldAtMs: 0 }
      this.#watches.set(rangeId, watch)
    }
    return watch
  }

  /** Why the replica was quarantined before the last restart; undefined: it was not. */
  #reason(rangeId: RangeId, replicaId: ReplicaId): string | undefined {
    const value = this.#options.engine.get(quarantineKey(rangeId))
    if (value === undefined) return undefined
    const [id, ...words] = Buffer.from(value).toString().split(' ')
    return Number(id) === replicaId ? words.join(' ') : undefined
  }
}

/** `isAlone`: nobody else votes, so nobody else is sure to have the state. */
function refusalOf(rangeId: RangeId, reason: string, isAlone: boolean): Refusal {
  const next = isAlone
    ? 'this replica is the only voter of its range, so there is nobody to rebuild it from. Keep the data directory: its log is whole. What is needed is a copy of the directory from before'
    : 'this replica is quarantined until it is rebuilt from its peers, which happens by itself: ask another node meanwhile'
  return { kind: 'damaged', message: `range ${rangeId}: ${reason}; ${next}` }
}
