// The LocalStore of a node: what its gateway asks of the replicas here. Reads get their permission first (a read index, or
// a closed timestamp), then read in one go; expected refusals are values.

import type { Index, Keyspace, NodeId, RangeId } from '../base/ids.ts'
import { isKvError } from '../base/errors.ts'
import { DamageError } from '../engine/engine.ts'
import type { Version } from '../mvcc/version.ts'
import type { KeyRecord, VersionStore } from '../mvcc/version-store.ts'
import { quorate } from '../proto/quorate.js'
import type { PeerClient } from '../gateway/cluster-view.ts'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import { type Timestamp, addMs } from '../time/timestamp.ts'
import { clockSkewMaxMs } from '../time/hybrid-clock.ts'
import { takeChecksum } from './checksum.ts'
import type {
  AdminAnswer,
  ChecksumAnswer,
  GetAnswer,
  GetRequest,
  HistoryAnswer,
  HistoryRequest,
  LocalStore,
  ReadRequest,
  Refusal,
  ScanPageAnswer,
  ScanPageRequest,
  WriteAnswer,
  WriteRequest,
} from './local-store.ts'
import type { Membership } from './membership.ts'
import type { NodeRegistry } from './node-registry.ts'
import type { ReadPermit } from './read-queue.ts'
import type { Replica } from './replica.ts'
import { GetTurns } from './get-turns.ts'
import { ScanItemsWriter } from './scan-items.ts'
import { rangeStatus } from './range-status.ts'
import { handOver } from './leadership-transfer.ts'
import { type Store, rangeOne } from './store.ts'

const givenUp: Refusal = {
  kind: 'unavailable',
  message: 'the read was given up: its caller has gone, or its time is up',
}
/**
 * A page ends when it took so long, with what it has: to count 10,000 keys means to read their values, and if that took longer
 * than its caller waits, asking again would begin where it began.
 */
const pageMs = 500
const installing: Refusal = { kind: 'unavailable', message: 'a snapshot is being installed here' }

/** A batch without writes only moves the range's closed timestamp. Not of zero bytes: that would mean no batch at all. */
const barrierBatch = quorate.v1.WriteBatch.encode({ floor: 1 }).finish()

export interface LocalStoreOptions {
  readonly store: Store
  readonly versions: VersionStore
  readonly membership: Membership
  readonly registry: NodeRegistry
  readonly peers: PeerClient
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly node: NodeId
  readonly isDraining: () => boolean
}

export function createLocalStore(options: LocalStoreOptions): LocalStore {
  const { store, versions, membership, registry, clock, hybridClock } = options

  const giveWay = (): Promise<void> => new Promise(resolve => clock.defer(resolve))

  const withLeader = async (work: (replica: Replica) => Promise<AdminAnswer>): Promise<AdminAnswer> => {
    const replica = store.replica(rangeOne)
    return replica === undefined ? { kind: 'no-replica' } : work(replica)
  }

  async function permit(replica: Replica, request: ReadRequest): Promise<Refusal | undefined> {
    if (replica.stopped !== undefined) return replica.stopped
    // It waits for its first snapshot: what lies in the engine, if anything, is no state of its own.
    if (replica.state.appliedIndex === 0 && request.kind !== 'linearizable') return { kind: 'no-replica' }
    switch (request.kind) {
      case 'stale':
        return undefined
      case 'linearizable':
        return linearizable(replica, request.deadlineMs)
      case 'session':
        return replica.state.lastStamp >= request.at ? undefined : linearizable(replica, request.deadlineMs)
      case 'at':
        return instant(replica, request.at, request.deadlineMs)
      default:
        return request.kind satisfies never
    }
  }

  async function linearizable(replica: Replica, deadlineMs: number): Promise<Refusal | undefined> {
    const permitted = await permission(replica, deadlineMs)
    return permitted.kind === 'ready' ? replica.stopped : unpermitted(replica, permitted)
  }

  function permission(replica: Replica, deadlineMs: number, onBegun?: () => void): Promise<ReadPermit> {
    const permitted = replica.reads.wait(deadlineMs, onBegun)
    replica.schedule()
    return permitted
  }

  function unpermitted(replica: Replica, permitted: Exclude<ReadPermit, { kind: 'ready' }>): Refusal {
    if (permitted.kind === 'not-leader') return replica.stopped ?? { kind: 'not-leader', leader: replica.leaderNode }
    return {
      kind: 'unavailable',
      message: 'no quorum confirmed the read in time: the range has no leader that this node can reach',
    }
  }

  /** Everything at or below `at` is applied here, and nothing at or below it will follow: it is closed. */
  async function instant(replica: Replica, at: Timestamp, deadlineMs: number): Promise<Refusal | undefined> {
    if (at < replica.state.threshold) return { kind: 'below-threshold', threshold: replica.state.threshold }
    if (at > replica.state.closed) {
      // What this node's clock has passed is no future, though the wall clock may have been set back since.
      if (at > addMs(hybridClock.raw(), clockSkewMaxMs) && at > hybridClock.peek()) return { kind: 'future-instant' }
      const refusal = await barrier(replica, at, deadlineMs)
      if (refusal !== undefined) return refusal
      const closed = await replica.waitApplied(() => replica.state.closed >= at, deadlineMs)
      if (!closed)
        return (
          replica.stopped ?? { kind: 'unavailable', message: 'this replica did not catch up with the instant in time' }
        )
    }
    return replica.stopped
  }

  /** An entry stamped above `at` goes through the log: from then on no leader, of any term, stamps at or below it. */
  async function barrier(replica: Replica, at: Timestamp, deadlineMs: number): Promise<Refusal | undefined> {
    if (replica.isLeader) {
      const answer = await replica.write({
        rangeId: replica.rangeId,
        generation: 0,
        clock: at,
        writes: barrierBatch,
        deadlineMs,
      })
      if (answer.kind === 'done') return undefined
      return answer.kind === 'unknown-outcome'
        ? { kind: 'unavailable', message: 'the leader was lost; ask again' }
        : answer
    }
    const leader = replica.leaderNode
    if (leader === undefined) return { kind: 'not-leader', leader: undefined }
    try {
      const response = await options.peers.forward(
        leader,
        { header: { clock: at, hops: 1 }, writes: barrierBatch },
        deadlineMs,
      )
      return response.error
        ? { kind: 'unavailable', message: response.error.message ?? 'the leader refused' }
        : undefined
    } catch (error) {
      return { kind: 'unavailable', message: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Reads, and turns damage that the checksums found into a quarantine (DESIGN.md 15). */
  async function guarded<Answer>(replica: Replica, read: () => Answer | Promise<Answer>): Promise<Answer | Refusal> {
    // The state there and the state in memory (its threshold, its stamps) are not of one instant then.
    if (replica.isInstalling) return installing
    try {
      return await read()
    } catch (error) {
      return unreadable(replica, error)
    }
  }

  function unreadable(replica: Replica, error: unknown): Refusal {
    // An install began, and perhaps ended, while it was read.
    if (isKvError(error, 'unavailable')) return { kind: 'unavailable', message: error.message }
    if (!(error instanceof DamageError)) throw error
    store.quarantine(replica, error.message)
    return replica.stopped ?? { kind: 'damaged', message: error.message }
  }

  const isWanted = ({ signal, deadlineMs }: ReadRequest): boolean =>
    signal?.aborted !== true && clock.monotonicMs() < deadlineMs

  /** Resolves when there is room for an answer, or nobody waits for it any more. Whoever holds nothing may have to wait. */
  async function roomFor(request: ReadRequest): Promise<void> {
    const { budget, deadlineMs, signal } = request
    while (budget?.mustWait === true && isWanted(request)) {
      await new Promise<void>(resolve => {
        const wake = (): void => {
          timer.cancel()
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const timer = clock.setTimer(deadlineMs - clock.monotonicMs(), wake)
        signal?.addEventListener('abort', wake)
        budget.onRoom(wake)
      })
      // What made room may be counted again in this turn, as an answer on its way.
      await giveWay()
    }
  }

  /** What `turns` has not read yet, of the state as it is then. */
  async function getRest(replica: Replica, request: GetRequest, turns: GetTurns): Promise<GetAnswer> {
    for (;;) {
      await roomFor(request)
      await giveWay()
      const answer = (isWanted(request) ? replica.stopped : givenUp) ?? getTurn(replica, request, turns)
      if (answer !== undefined) return answer
    }
  }

  /** One turn of it; undefined: there is more to be read. */
  function getTurn(replica: Replica, { budget }: GetRequest, turns: GetTurns): GetAnswer | undefined {
    try {
      if (!turns.isDone) {
        if (replica.isInstalling) return installing
        if (budget?.mustWait === true) return undefined
        turns.readPresent()
      }
      return turns.isDone ? { kind: 'done', items: turns.items, clock: replica.state.readStamp } : undefined
    } catch (error) {
      return unreadable(replica, error)
    }
  }

  function getPresent(
    replica: Replica,
    request: GetRequest,
    turns = new GetTurns(versions, clock, request),
  ): GetAnswer | Promise<GetAnswer> {
    // Most are done in one turn, and wait for nothing.
    return getTurn(replica, request, turns) ?? getRest(replica, request, turns)
  }

  async function getInstant(replica: Replica, request: GetRequest): Promise<GetAnswer> {
    const { keyspace, keys, at } = request
    const turns = new GetTurns(versions, clock, request)
    await roomFor(request)
    turns.beginTurn()
    for (const key of keys) {
      if (turns.isDone) break
      turns.push(await versions.getAt(keyspace, key, at, () => isWanted(request)))
      if (!turns.isTurnOver) continue
      await giveWay()
      const refusal = isWanted(request) ? replica.stopped : givenUp
      if (refusal !== undefined) return refusal
      turns.beginTurn()
    }
    const { readStamp } = replica.state
    return collected(replica, at) ?? { kind: 'done', items: turns.items, clock: readStamp }
  }

  /**
   * A leader reads while the round that permits it is under way, instead of after it. That counts if no more was to be
   * applied by then: the state was read after the round began, and all that was acknowledged before is in it.
   */
  async function getLinearizable(replica: Replica, request: GetRequest): Promise<GetAnswer> {
    if (replica.stopped !== undefined) return replica.stopped
    let ahead: { readonly applied: Index; readonly turns: GetTurns } | undefined
    let round = 0
    let isPermitted = false
    const readAhead = (begun: number): void => {
      // A follower has mostly applied less than its leader's round will ask for.
      if (begun !== round || isPermitted || !replica.isLeader) return
      if (replica.isInstalling || request.budget?.mustWait === true) return
      const turns = new GetTurns(versions, clock, request)
      try {
        turns.readPresent()
        ahead = { applied: replica.state.appliedIndex, turns }
      } catch {
        // Read again once it is permitted, where somebody waits to be told.
        turns.giveUp()
      }
    }
    const permitted = await permission(replica, request.deadlineMs, () => {
      // What was read for a round that was lost is worth nothing.
      ahead?.turns.giveUp()
      ahead = undefined
      const begun = ++round
      // The round's messages leave first: a link, too, writes in a deferred call.
      clock.defer(() => clock.defer(() => readAhead(begun)))
    })
    isPermitted = true
    if (permitted.kind !== 'ready') return unpermitted(replica, permitted)
    if (replica.stopped !== undefined) return replica.stopped
    if (ahead !== undefined && permitted.index <= ahead.applied) return getPresent(replica, request, ahead.turns)
    ahead?.turns.giveUp()
    return getPresent(replica, request)
  }

  return {
    node: options.node,
    rangeOf: (_keyspace: Keyspace, _key: Uint8Array) => ({
      rangeId: rangeOne,
      generation: store.replica(rangeOne)?.descriptor.generation ?? 0,
    }),
    leaderOf: (rangeId: RangeId) => store.replica(rangeId)?.leaderNode,

    async write(request: WriteRequest): Promise<WriteAnswer> {
      const replica = store.replica(request.rangeId)
      if (replica === undefined) return { kind: 'no-replica' }
      if (options.isDraining()) return { kind: 'draining' }
      const answer = await replica.write(request)
      // A limit judged by a clock: the caller must know by whose, because a gateway may pass this on.
      if (answer.kind !== 'invalid' || answer.details === undefined) return answer
      return { ...answer, details: { ...answer.details, node: options.node } }
    },

    async get(request: GetRequest): Promise<GetAnswer> {
      const replica = store.replica(request.rangeId)
      if (replica === undefined) return { kind: 'no-replica' }
      if (request.kind === 'linearizable') return getLinearizable(replica, request)
      const refusal = await permit(replica, request)
      if (refusal !== undefined) return refusal
      if (request.kind !== 'at') return getPresent(replica, request)
      return guarded<GetAnswer>(replica, () => getInstant(replica, request))
    },

    async scanPage(request: ScanPageRequest): Promise<ScanPageAnswer> {
      const replica = store.replica(request.rangeId)
      if (replica === undefined) return { kind: 'no-replica' }
      const refusal = await permit(replica, request)
      if (refusal !== undefined) return refusal
      await roomFor(request)
      if (!isWanted(request)) return givenUp
      return guarded<ScanPageAnswer>(replica, async () => {
        const at = request.kind === 'at' ? request.at : replica.state.lastStamp
        const keysOnly = request.keysOnly || request.countOnly
        const items = new ScanItemsWriter({ keysOnly })
        let count = 0
        const { keyspace, start, end, limit, bytesMax, reverse } = request
        const { budget } = request
        const span = { keyspace, start, end, at, limit, bytesMax, reverse, keysOnly }
        const onVersion = (version: Version): void => {
          if (!request.countOnly) {
            items.push(version)
            budget?.take(version.row.length + (keysOnly ? 0 : version.record.length - version.valueOffset))
          }
          count++
        }
        const endMs = clock.monotonicMs() + pageMs
        const isEnough = (): boolean => budget?.isSpent === true || (count > 0 && clock.monotonicMs() >= endMs)
        const resume = await versions.visit(span, onVersion, { isEnough, isWanted: () => isWanted(request) })
        if (count === 0 && resume !== undefined) return { kind: 'not-read' }
        return collected(replica, at) ?? { kind: 'done', items: items.finish(), count, at, resume }
      })
    },

    async history(request: HistoryRequest): Promise<HistoryAnswer> {
      const replica = store.replica(request.rangeId)
      if (replica === undefined) return { kind: 'no-replica' }
      const refusal = await permit(replica, request)
      if (refusal !== undefined) return refusal
      return guarded<HistoryAnswer>(replica, async () => {
        const { keyspace, key, before, limit, bytesMax } = request
        const wanted = { before, limit, bytesMax, isWanted: () => isWanted(request) }
        const { items, more } = await versions.history(keyspace, key, wanted)
        return {
          kind: 'done',
          items: items.map(toItemWithKey),
          more,
          clock: replica.state.readStamp,
        }
      })
    },

    status: () => store.replicas().map(replica => rangeStatus(replica, store.comparisons.of(replica).running)),
    addMember: (record, expected) => withLeader(replica => membership.add(replica, record, expected)),
    readmitMember: node => withLeader(replica => membership.readmit(replica, node)),
    promoteMember: node => withLeader(replica => membership.promote(replica, node)),
    removeMember: node => withLeader(replica => membership.remove(replica, node)),

    async transferLeader(rangeId: RangeId, node: NodeId | undefined): Promise<AdminAnswer> {
      const replica = store.replica(rangeId)
      if (replica === undefined) return { kind: 'not-found', message: `no replica of range ${rangeId} here` }
      return handOver(store, replica, node)
    },

    async checksum(rangeId: RangeId, index: Index | undefined, deadlineMs: number): Promise<ChecksumAnswer> {
      const replica = store.replica(rangeId)
      if (replica === undefined) return { kind: 'not-found', message: `no replica of range ${rangeId} here` }
      return takeChecksum(store, replica, index, deadlineMs)
    },

    nodes: () => registry.records(),
    get ready() {
      const replica = store.replica(rangeOne)
      return (
        replica !== undefined &&
        replica.stopped === undefined &&
        replica.leaderNode !== undefined &&
        !options.isDraining()
      )
    },
  }
}

/** What was read at an old instant may have been collected meanwhile: then what was found is not what was there. */
function collected(replica: Replica, at: Timestamp): Refusal | undefined {
  const { threshold } = replica.state
  return at < threshold ? { kind: 'below-threshold', threshold } : undefined
}

function toItemWithKey(record: KeyRecord): quorate.v1.IKeyVersion {
  return {
    key: record.key,
    value: record.value,
    timestamp: record.timestamp,
    created: record.created,
    version: record.version,
    deleted: record.deleted,
  }
}
