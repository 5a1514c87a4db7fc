// The gateway's own session: writes that come without one run under it, so that retries inside the cluster apply them
// once (DESIGN.md 10). Unary writes that arrive in one tick, from whichever clients, travel in one WriteBatch; each
// succeeds or fails alone. When the gateway dies its callers get no answer, and nothing repeats their calls.
//
// Invariant: a number is settled only when no attempt with it will be sent again.

import { assert } from '../base/assert.ts'
import { KvError, isKvError } from '../base/errors.ts'
import { type RangeId, userKeyspace } from '../base/ids.ts'
import { addsData, keyOperationsOf } from '../base/key-operations.ts'
import { defaultWriteLimits } from '../command/limits.ts'
import type { SessionNumbers } from '../base/session-numbers.ts'
import { quorate } from '../proto/quorate.js'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import { type Timestamp, addMs } from '../time/timestamp.ts'
import type { GatewayLimits } from './limits.ts'
import { toKvError } from './refusal-error.ts'
import type { RoutedWrite, WriteDone } from './write-router.ts'

/** Log time may run ahead of this node's clock by the allowed skew; a little more does no harm. */
const notAfterSlackMs = 2000
/** Less than what leaders take, so that a leader whose clock is a little behind takes it too. */
const notAfterAheadMsMax = defaultWriteLimits.notAfterAheadMs - notAfterSlackMs

export interface Route {
  readonly rangeId: RangeId
  readonly generation: number
}

interface OwnWriteDone {
  readonly outcome: quorate.v1.IOutcome
  readonly clock: Timestamp
}

interface OwnSessionOptions {
  readonly numbers: SessionNumbers
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly limits: GatewayLimits
  readonly send: (write: RoutedWrite, deadlineMs: number) => Promise<WriteDone>
}

interface Waiting {
  readonly write: quorate.v1.IWrite
  readonly bytes: number
  readonly resolve: (done: OwnWriteDone) => void
  readonly reject: (error: KvError) => void
}

interface Group {
  readonly route: Route
  readonly members: Waiting[]
  bytes: number
  keyOperations: number
  clock: Timestamp
  deadlineMs: number
}

export class OwnSession {
  readonly #options: OwnSessionOptions
  #open: Group[] = []
  #flushIsDue = false
  #waitingCount = 0
  #waitingBytes = 0

  constructor(options: OwnSessionOptions) {
    this.#options = options
  }

  /** Rejects with KvError. `bytes`: of its keys and values. */
  submit(
    write: quorate.v1.IWrite,
    bytes: number,
    route: Route,
    clock: Timestamp,
    deadlineMs: number,
  ): Promise<OwnWriteDone> {
    const { limits } = this.#options
    if (this.#waitingCount >= limits.ownWritesMax || this.#waitingBytes + bytes > limits.ownBytesMax) {
      const options = { details: { queue: 'gateway-writes' }, retryAfterMs: 100 }
      return Promise.reject(new KvError('overloaded', 'too many unary writes wait in this gateway', options))
    }
    return new Promise((resolve, reject) => {
      const keyOperations = keyOperationsOf(write)
      const group = this.#groupFor(route, bytes, keyOperations)
      group.members.push({ write, bytes, resolve, reject })
      group.bytes += bytes
      group.keyOperations += keyOperations
      if (clock > group.clock) group.clock = clock
      // Each caller's own deadline still ends its call; the batch lives as long as its most patient member.
      if (deadlineMs > group.deadlineMs) group.deadlineMs = deadlineMs
      this.#waitingCount++
      this.#waitingBytes += bytes
      this.#scheduleFlush()
    })
  }

  /** A WriteBatch that came without a session, under this one. The caller sends it, then calls `settle`. */
  adopt(
    batch: quorate.v1.IWriteBatch,
    deadlineMs: number,
  ): { readonly writes: Uint8Array; readonly settle: () => void } {
    const { numbers } = this.#options
    const given: number[] = []
    for (const write of batch.writes ?? []) {
      write.number = numbers.next()
      given.push(write.number)
    }
    const writes = this.#encode(batch.writes ?? [], deadlineMs)
    return { writes, settle: () => given.forEach(number => numbers.settled(number)) }
  }

  #groupFor(route: Route, bytes: number, keyOperations: number): Group {
    const { limits } = this.#options
    const found = this.#open.findLast(
      group => group.route.rangeId === route.rangeId && group.route.generation === route.generation,
    )
    const fits =
      found !== undefined &&
      found.members.length < limits.batchOpsMax &&
      found.bytes + bytes <= limits.joinedBytesMax &&
      found.keyOperations + keyOperations <= limits.batchKeyOperationsMax
    if (fits) return found
    const group: Group = { route, members: [], bytes: 0, keyOperations: 0, clock: 0 as Timestamp, deadlineMs: 0 }
    this.#open.push(group)
    return group
  }

  #scheduleFlush(): void {
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    this.#options.clock.defer(() => {
      this.#flushIsDue = false
      const groups = this.#open
      this.#open = []
      for (const group of groups) void this.#flush(group)
    })
  }

  async #flush(group: Group): Promise<void> {
    const { numbers } = this.#options
    for (const member of group.members) member.write.number = numbers.next()
    try {
      await this.#sendMembers(group, group.members)
    } finally {
      for (const member of group.members) {
        numbers.settled(member.write.number ?? 0)
        this.#waitingCount--
        this.#waitingBytes -= member.bytes
      }
    }
  }

  /** Never rejects. */
  async #sendMembers(group: Group, members: readonly Waiting[]): Promise<void> {
    const { send } = this.#options
    const { deadlineMs, clock, route } = group
    try {
      const encoded = this.#encode(
        members.map(member => member.write),
        deadlineMs,
      )
      const done = await send({ ...route, clock, writes: encoded, hops: 0 }, deadlineMs)
      assert(done.outcomes.length === members.length, 'a batch must have one outcome a write')
      members.forEach((member, i) => member.resolve({ outcome: done.outcomes[i] ?? {}, clock: done.clock }))
    } catch (error) {
      // Refused whole for what one of them asked: certainly not applied, so each tries alone, under its own number.
      const parts = partsOf(members, error)
      if (parts.length > 1) {
        await Promise.all(parts.map(part => this.#sendMembers(group, part)))
        return
      }
      const refused = ownClockRefused(toKvError(error))
      for (const member of members) member.reject(refused)
    }
  }

  #encode(writes: quorate.v1.IWrite[], deadlineMs: number): Uint8Array {
    const { numbers, clock, hybridClock } = this.#options
    const remainingMs = Math.max(0, Math.ceil(deadlineMs - clock.monotonicMs()))
    return quorate.v1.WriteBatch.encode({
      session: numbers.sessionId,
      floor: numbers.floor,
      notAfter: addMs(hybridClock.peek(), Math.min(remainingMs + notAfterSlackMs, notAfterAheadMsMax)),
      keyspace: userKeyspace,
      writes,
      isGateway: true,
    }).finish()
  }
}

/** How what was refused whole may go anew: each alone that may be at fault; deletions, where there is no room for data. */
function partsOf(members: readonly Waiting[], error: unknown): readonly (readonly Waiting[])[] {
  if (isKvError(error, 'invalid-argument') || isKvError(error, 'too-large')) return members.map(member => [member])
  if (!isKvError(error, 'disk-full')) return [members]
  const [adding, others] = [true, false].map(adds => members.filter(({ write }) => addsData(write) === adds))
  return [others ?? [], adding ?? []].filter(part => part.length > 0)
}

/** This session fixes `notAfter` itself: when a leader finds it too far ahead, it is this node's clock that is wrong. */
export function ownClockRefused(error: KvError): KvError {
  if (error.code !== 'invalid-argument' || error.details['limit'] !== 'notAfterAheadMs') return error
  return new KvError('unavailable', "this node's clock is far ahead of the leader's: ask another node", {
    cause: error,
  })
}
