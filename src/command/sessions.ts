// The replicated session table of a range (DESIGN.md 10): what each numbered write came to, so that a retry gets its first
// outcome. It changes only by applying entries, so it is the same on every replica.
//
// Invariants: a number runs at most once; what was forgotten is refused, never run; the table is bounded.

import { quorate } from '../proto/quorate.js'
import { type Timestamp, addMs, timestampZero } from '../time/timestamp.ts'

export interface SessionLimits {
  /** Outcomes kept in a range; past it the oldest sessions go, and the floor of time rises. */
  readonly outcomesMax: number
  /** Sessions kept in a range, likewise. */
  readonly sessionsMax: number
  /** How long an idle session outlives its last notAfter, for copies of its messages that are still on their way. */
  readonly graceMs: number
}

/** Part of the replicated state: never configured by a node alone. */
export const sessionLimits: SessionLimits = { outcomesMax: 200_000, sessionsMax: 20_000, graceMs: 600_000 }

export interface Session {
  floor: number
  notAfterMax: Timestamp
  readonly outcomes: Map<number, quorate.v1.IOutcome>
}

export type SessionVerdict =
  | { readonly kind: 'run' }
  | { readonly kind: 'known'; readonly outcome: quorate.v1.IOutcome }
  | { readonly kind: 'too-late' }

const run: SessionVerdict = { kind: 'run' }
const tooLate: SessionVerdict = { kind: 'too-late' }
const formatVersion = 1

export class Sessions {
  readonly #limits: SessionLimits
  readonly #sessions = new Map<string, Session>()
  readonly #dirty = new Set<string>()
  #outcomes = 0
  /** notAfter at or below it is refused: outcomes of that time may have been forgotten. */
  floorTime: Timestamp = timestampZero

  constructor(limits: SessionLimits = sessionLimits) {
    this.#limits = limits
  }

  get count(): number {
    return this.#sessions.size
  }

  judge(id: string, number: number, notAfter: number, logTime: Timestamp): SessionVerdict {
    const session = this.#sessions.get(id)
    const known = session?.outcomes.get(number)
    if (known !== undefined) return { kind: 'known', outcome: known }
    if (session !== undefined && number < session.floor) return tooLate
    if (notAfter < logTime || notAfter <= this.floorTime) return tooLate
    return run
  }

  record(id: string, number: number, notAfter: number, outcome: quorate.v1.IOutcome): void {
    const session = this.#open(id)
    session.outcomes.set(number, outcome)
    if (notAfter > session.notAfterMax) session.notAfterMax = notAfter as Timestamp
    this.#outcomes++
    this.#dirty.add(id)
  }

  /** Every number below `floor` has been answered: its outcome is forgotten. */
  raiseFloor(id: string, floor: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined || floor <= session.floor) return
    session.floor = floor
    this.#dirty.add(id)
    for (const number of session.outcomes.keys()) {
      if (number >= floor) continue
      session.outcomes.delete(number)
      this.#outcomes--
    }
  }

  /** Called at indexes that are the same on every replica. */
  collect(logTime: Timestamp): void {
    for (const [id, session] of this.#sessions)
      if (addMs(session.notAfterMax, this.#limits.graceMs) < logTime) this.#forget(id, session)
    const { outcomesMax, sessionsMax } = this.#limits
    if (this.#outcomes <= outcomesMax && this.#sessions.size <= sessionsMax) return
    const oldest = [...this.#sessions].sort(
      ([idA, a], [idB, b]) => a.notAfterMax - b.notAfterMax || (idA < idB ? -1 : 1),
    )
    for (const [id, session] of oldest) {
      if (this.#outcomes <= outcomesMax * 0.9 && this.#sessions.size <= sessionsMax * 0.9) break
      if (session.notAfterMax > this.floorTime) this.floorTime = session.notAfterMax
      this.#forget(id, session)
    }
  }

  /** The sessions touched since the last call, encoded; undefined: forgotten. */
  takeDirty(): readonly { readonly id: string; readonly value: Uint8Array | undefined }[] {
    const dirty = [...this.#dirty].map(id => {
      const session = this.#sessions.get(id)
      return { id, value: session === undefined ? undefined : encodeSession(session) }
    })
    this.#dirty.clear()
    return dirty
  }

  load(id: string, value: Uint8Array): void {
    const session = decodeSession(value)
    this.#sessions.set(id, session)
    this.#outcomes += session.outcomes.size
  }

  #open(id: string): Session {
    let session = this.#sessions.get(id)
    if (session === undefined) {
      session = { floor: 0, notAfterMax: timestampZero, outcomes: new Map() }
      this.#sessions.set(id, session)
    }
    return session
  }

  #forget(id: string, session: Session): void {
    this.#outcomes -= session.outcomes.size
    this.#sessions.delete(id)
    this.#dirty.add(id)
  }
}

function encodeSession(session: Session): Uint8Array {
  const head = Buffer.alloc(21)
  head[0] = formatVersion
  head.writeDoubleBE(session.floor, 1)
  head.writeDoubleBE(session.notAfterMax, 9)
  head.writeUInt32BE(session.outcomes.size, 17)
  const parts: Uint8Array[] = [head]
  for (const [number, outcome] of session.outcomes) {
    const encoded = quorate.v1.Outcome.encode(outcome).finish()
    const prefix = Buffer.alloc(12)
    prefix.writeDoubleBE(number, 0)
    prefix.writeUInt32BE(encoded.length, 8)
    parts.push(prefix, encoded)
  }
  return Buffer.concat(parts)
}

function decodeSession(value: Uint8Array): Session {
  const bytes = Buffer.from(value)
  const outcomes = new Map<number, quorate.v1.IOutcome>()
  const count = bytes.readUInt32BE(17)
  let at = 21
  for (let read = 0; read < count; read++) {
    const length = bytes.readUInt32BE(at + 8)
    outcomes.set(bytes.readDoubleBE(at), quorate.v1.Outcome.decode(bytes.subarray(at + 12, at + 12 + length)))
    at += 12 + length
  }
  return { floor: bytes.readDoubleBE(1), notAfterMax: bytes.readDoubleBE(9) as Timestamp, outcomes }
}
