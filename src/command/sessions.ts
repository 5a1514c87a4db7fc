// The replicated session table of a range (DESIGN.md 10): what each numbered write came to, so that a retry gets its first
// outcome. It changes only by applying entries, so it is the same on every replica.
//
// A session ends once log time has passed the last `notAfter` of what it wrote: whatever of it still arrives is too late by
// its own `notAfter`, so nothing need be remembered. Past its limits the table refuses new sessions until others have ended.
//
// Invariants: a number runs at most once; nothing is forgotten but what was answered (the floor) and what can no longer run
// (the end); the table is bounded, and no flood of sessions costs a session that is in it anything.

import { crc32 } from 'node:zlib'
import { quorate } from '../proto/quorate.js'
import { type Timestamp, logicalPerMs } from '../time/timestamp.ts'
import { SessionOrder } from './session-order.ts'
import { SessionOutcomes } from './session-outcomes.ts'

export interface SessionLimits {
  /** Sessions kept in a range; past it new ones are refused. Each takes about 500 bytes on every replica. */
  readonly sessionsMax: number
  /** More of them for gateways: what comes without a session goes on when clients have filled the table with theirs. */
  readonly gatewaySessionsMax: number
  /** Outcomes kept in a range, of about 150 bytes each (longer ones count for several); past it new sessions are refused. */
  readonly outcomesMax: number
  /** What one session may keep: as much as a client's whole queue. Past it its writes are refused until its floor rises. */
  readonly sessionOutcomesMax: number
  /**
   * What a session may keep in a table past `outcomesMax`: two of the largest batches, one that was answered and one under
   * way. More than `outcomesMax` by much needs tens of millions of writes within the two minutes that a session can last.
   */
  readonly sessionOutcomesAssured: number
  /** Ended sessions that one entry removes, so that it stays short; it opens less than that in the mean. */
  readonly endedPerEntryMax: number
}

/**
 * Of a range that is made now. A range keeps them in its replicated state: replicas that judged by limits of their own would
 * come to different states.
 */
export const sessionLimits: SessionLimits = {
  sessionsMax: 20_000,
  gatewaySessionsMax: 1_000,
  outcomesMax: 200_000,
  sessionOutcomesMax: 65_536,
  sessionOutcomesAssured: 8_192,
  endedPerEntryMax: 1_024,
}

/** In the order in which they are stored. */
export const sessionLimitNames = [
  'sessionsMax',
  'gatewaySessionsMax',
  'outcomesMax',
  'sessionOutcomesMax',
  'sessionOutcomesAssured',
  'endedPerEntryMax',
] as const satisfies readonly (keyof SessionLimits)[]

interface Session {
  readonly id: string
  readonly outcomes: SessionOutcomes
  floor: number
  notAfterMax: Timestamp
  place: number
  /** There is a row of it in the engine, or will be. */
  isStored: boolean
}

export type SessionVerdict =
  | { readonly kind: 'run' }
  | { readonly kind: 'known'; readonly outcome: quorate.v1.IOutcome }
  | { readonly kind: 'too-late' }

/** What refuses a batch: nothing of it ran, and no outcome of it is kept. */
export type FullQueue = 'sessions' | 'outcomes'

export type SessionBatch = Pick<quorate.v1.WriteBatch, 'floor' | 'notAfter' | 'isGateway' | 'writes'>

const run: SessionVerdict = { kind: 'run' }
const tooLate: SessionVerdict = { kind: 'too-late' }
const formatVersion = 1
const digestRange = 2 ** 52
const retryAfterMsMin = 50
const retryAfterMsMax = 1_000

export class Sessions {
  readonly limits: SessionLimits
  readonly #sessions = new Map<string, Session>()
  readonly #order = new SessionOrder<Session>()
  /** Sessions that have changed since the last call of `takeDirty`, or whose stored row is to go. */
  readonly #dirty = new Set<string>()
  /** What they cost. */
  #outcomes = 0

  constructor(limits: SessionLimits = sessionLimits) {
    this.limits = limits
  }

  get count(): number {
    return this.#sessions.size
  }

  /** Before an entry runs: ends what its log time has passed, those that ended first first. Returns their ids. */
  endPassed(logTime: Timestamp): readonly string[] {
    const ended: string[] = []
    for (let first = this.#order.first; first !== undefined; first = this.#order.first) {
      if (first.notAfterMax >= logTime || ended.length >= this.limits.endedPerEntryMax) break
      this.#end(first)
      ended.push(first.id)
    }
    return ended
  }

  /** Before a batch of the session runs: raises its floor. A queue that is full: the batch is refused whole. */
  admit(id: string, batch: SessionBatch, logTime: Timestamp): FullQueue | undefined {
    const session = this.#sessions.get(id)
    if (session === undefined) return this.#isNewRefused(batch, logTime) ? 'sessions' : undefined
    this.#raiseFloor(session, batch.floor)
    const { outcomesMax, sessionOutcomesMax, sessionOutcomesAssured } = this.limits
    const isCrowded = this.#outcomes > outcomesMax && !batch.isGateway
    const most = isCrowded ? sessionOutcomesAssured : sessionOutcomesMax
    const { outcomes } = session
    if (outcomes.cost + batch.writes.length <= most) return undefined
    const unknown = batch.writes.filter(write => outcomes.get(write.number ?? 0) === undefined).length
    return unknown === 0 || outcomes.cost + unknown <= most ? undefined : 'outcomes'
  }

  judge(id: string, number: number, notAfter: number, logTime: Timestamp): SessionVerdict {
    const session = this.#sessions.get(id)
    const known = session?.outcomes.get(number)
    if (known !== undefined) return { kind: 'known', outcome: known }
    if (session !== undefined && number < session.floor) return tooLate
    if (notAfter < logTime) return tooLate
    return run
  }

  /** What a number that ran, in a batch that was admitted, came to. */
  record(id: string, batch: SessionBatch, number: number, outcome: quorate.v1.IOutcome): void {
    const session = this.#sessions.get(id) ?? this.#open(id, batch)
    this.#outcomes -= session.outcomes.cost
    session.outcomes.add(number, outcome)
    this.#outcomes += session.outcomes.cost
    this.#dirty.add(id)
    if (batch.notAfter <= session.notAfterMax) return
    session.notAfterMax = batch.notAfter as Timestamp
    this.#order.postponed(session)
  }

  /**
   * For a leader, before it takes a batch into its log: a new session that would be refused is, for so many milliseconds.
   * undefined: it may be taken, or its entry would end others first, or say that it is too late.
   */
  refusedForMs(session: Uint8Array, batch: SessionBatch, now: Timestamp): number | undefined {
    if (!this.#isNewRefused(batch, now) || this.#sessions.has(sessionName(session))) return undefined
    const { first } = this.#order
    return first !== undefined && first.notAfterMax < now ? undefined : this.retryAfterMs(now)
  }

  /** When it may be worth to try again: no later than when the next session ends. */
  retryAfterMs(now: Timestamp): number {
    const ahead = ((this.#order.first?.notAfterMax ?? now) - now) / logicalPerMs
    return Math.min(retryAfterMsMax, Math.max(retryAfterMsMin, Math.ceil(ahead)))
  }

  /** The sessions touched since the last call, encoded; undefined: they have ended. */
  takeDirty(): readonly { readonly id: string; readonly value: Uint8Array | undefined }[] {
    const dirty = [...this.#dirty].map(id => {
      const session = this.#sessions.get(id)
      if (session === undefined) return { id, value: undefined }
      session.isStored = true
      return { id, value: encodeSession(session) }
    })
    this.#dirty.clear()
    return dirty
  }

  /** The whole table, each session as it is stored. */
  *encoded(): Generator<readonly [id: string, value: Uint8Array]> {
    for (const [id, session] of this.#sessions) yield [id, encodeSession(session)]
  }

  /** Over all that is in the table, in whatever order: equal where the tables are. */
  digest(): number {
    let sum = 0
    // A sum, and one that never rounds: it must not depend on the order.
    const add = (part: number): void => {
      sum = (sum + part) % digestRange
    }
    for (const [id, { floor, notAfterMax, outcomes }] of this.#sessions) {
      const own = mixNumber(mixNumber(crc32(id), floor), notAfterMax)
      add(own)
      for (const [number, outcome] of outcomes) add(mixOutcome(mixNumber(own, number), outcome))
    }
    return sum
  }

  load(id: string, value: Uint8Array): void {
    this.#add(decodeSession(id, value))
  }

  /** Whether a session that is not known is refused. What is too late opens none. */
  #isNewRefused({ isGateway, notAfter }: SessionBatch, logTime: Timestamp): boolean {
    if (notAfter < logTime) return false
    const { sessionsMax, gatewaySessionsMax, outcomesMax } = this.limits
    if (isGateway) return this.#sessions.size >= sessionsMax + gatewaySessionsMax
    return this.#sessions.size >= sessionsMax || this.#outcomes >= outcomesMax
  }

  #open(id: string, { floor, notAfter }: SessionBatch): Session {
    const session: Session = {
      id,
      outcomes: new SessionOutcomes(),
      floor,
      notAfterMax: notAfter as Timestamp,
      place: 0,
      // The row of a former session by this id may still be there, its removal under way.
      isStored: this.#dirty.has(id),
    }
    this.#add(session)
    return session
  }

  #add(session: Session): void {
    this.#sessions.set(session.id, session)
    this.#order.add(session)
    this.#outcomes += session.outcomes.cost
  }

  /** Every number below `floor` has been answered: its outcome is forgotten. */
  #raiseFloor(session: Session, floor: number): void {
    if (floor <= session.floor) return
    session.floor = floor
    this.#dirty.add(session.id)
    this.#outcomes -= session.outcomes.cost
    session.outcomes.dropBelow(floor)
    this.#outcomes += session.outcomes.cost
  }

  #end(session: Session): void {
    const { id } = session
    this.#outcomes -= session.outcomes.cost
    this.#sessions.delete(id)
    this.#order.remove(session)
    // Most of a flood come and go between two flushes: the engine need never know of them.
    if (session.isStored) this.#dirty.add(id)
    else this.#dirty.delete(id)
  }
}

/** How the table calls a session: its bytes, latin1. */
export function sessionName(session: Uint8Array): string {
  return Buffer.from(session).toString('latin1')
}

const headBytes = 21

function encodeSession({ floor, notAfterMax, outcomes }: Session): Uint8Array {
  const head = Buffer.alloc(headBytes)
  head[0] = formatVersion
  head.writeDoubleBE(floor, 1)
  head.writeDoubleBE(notAfterMax, 9)
  head.writeUInt32BE(outcomes.count, 17)
  const parts: Uint8Array[] = [head]
  for (const [number, outcome] of outcomes) {
    const encoded = quorate.v1.Outcome.encode(outcome).finish()
    const prefix = Buffer.alloc(12)
    prefix.writeDoubleBE(number, 0)
    prefix.writeUInt32BE(encoded.length, 8)
    parts.push(prefix, encoded)
  }
  return Buffer.concat(parts)
}

function decodeSession(id: string, value: Uint8Array): Session {
  const bytes = Buffer.from(value)
  const outcomes = new SessionOutcomes()
  const count = bytes.readUInt32BE(17)
  let at = headBytes
  for (let read = 0; read < count; read++) {
    const length = bytes.readUInt32BE(at + 8)
    outcomes.add(bytes.readDoubleBE(at), quorate.v1.Outcome.decode(bytes.subarray(at + 12, at + 12 + length)))
    at += 12 + length
  }
  const notAfterMax = bytes.readDoubleBE(9) as Timestamp
  return { id, outcomes, floor: bytes.readDoubleBE(1), notAfterMax, place: 0, isStored: true }
}

/** Below 2^32; a function of both arguments' every bit. */
function mixNumber(seed: number, number: number): number {
  let mixed = Math.imul(seed ^ (number >>> 0), 0x9e3779b1)
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ Math.floor(number / 0x1_0000_0000), 0x85ebca6b)
  return (mixed ^ (mixed >>> 13)) >>> 0
}

function mixOutcome(seed: number, outcome: quorate.v1.IOutcome): number {
  const { kind, timestamp, version, deleted, failedCompare } = outcome
  let mixed = seed
  for (const number of [kind, timestamp, version, deleted, failedCompare]) mixed = mixNumber(mixed, number ?? 0)
  return mixed
}
