// The applied state of one replica (DESIGN.md 7): what applying so far has come to, beside the versions themselves. It is
// kept in memory and goes into the same engine batch as the effects, always.
//
// Invariants: the applied index grows by one entry at a time; stamps grow strictly; equal indexes mean equal hashes.

import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { type Index, type RangeId, type ReplicaId, type Term, asIndex, asReplicaId, asTerm } from '../base/ids.ts'
import { DamageError, type EngineBatchOperation } from '../engine/engine.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import { quorate } from '../proto/quorate.js'
import { type Timestamp, asTimestamp, timestampZero } from '../time/timestamp.ts'
import { type SessionLimits, Sessions, sessionLimits, sessionLimitNames } from './sessions.ts'

const formatVersion = 1
const stateName = 'state'
const sessionPrefix = 's/'
/** Ids, positions, stamps, counts and hash, then the limits of sessions. */
const stateNumbers = 11
const fixedBytes = 1 + 8 * (stateNumbers + sessionLimitNames.length)
const stateHashBytes = 16 + 8 * (5 + sessionLimitNames.length)

export interface RangeStateStart {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly appliedIndex: Index
  readonly appliedTerm: Term
  /** Encoded RangeDescriptor. */
  readonly descriptor: Uint8Array
  /** Encoded RaftConfiguration. */
  readonly configuration: Uint8Array
  /** Of a range that is made; others have what it was made with. */
  readonly sessionLimits?: SessionLimits
}

export class RangeState {
  readonly rangeId: RangeId
  readonly replicaId: ReplicaId
  readonly sessions: Sessions
  #appliedIndex: Index
  #appliedTerm: Term
  #descriptor: Uint8Array
  #configuration: Uint8Array
  #isDirty: boolean
  #generation: number
  lastStamp: Timestamp = timestampZero
  closed: Timestamp = timestampZero
  threshold: Timestamp = timestampZero
  keyCount = 0
  /** Of `keyCount`: the cluster's own, such as the registry of its nodes. */
  systemKeyCount = 0
  byteCount = 0
  #hashHigh = 0
  #hashLow = 0
  #pending: number[] = []
  #staged: { readonly last: Timestamp; readonly closed: Timestamp } | undefined

  constructor(start: RangeStateStart) {
    this.rangeId = start.rangeId
    this.replicaId = start.replicaId
    this.sessions = new Sessions(start.sessionLimits ?? sessionLimits)
    this.#appliedIndex = start.appliedIndex
    this.#appliedTerm = start.appliedTerm
    this.#descriptor = start.descriptor
    this.#configuration = start.configuration
    this.#generation = generationOf(start.descriptor)
    // One that has applied nothing is not stored: a snapshot may be on its way to where it would be.
    this.#isDirty = start.appliedIndex > 0
  }

  get appliedIndex(): Index {
    return this.#appliedIndex
  }
  get appliedTerm(): Term {
    return this.#appliedTerm
  }
  get descriptor(): Uint8Array {
    return this.#descriptor
  }
  get configuration(): Uint8Array {
    return this.#configuration
  }
  /** Of the descriptor: an entry routed by another one does nothing. */
  get generation(): number {
    return this.#generation
  }
  get isDirty(): boolean {
    return this.#isDirty
  }
  /** 16 hex digits over what every entry did; equal on all replicas at the same applied index, in the middle of an entry, too. */
  get stateHash(): string {
    return hex(this.#hashHigh) + hex(this.#hashLow)
  }
  /** What is here is as of the applied index: no entry is half applied. */
  get isBetweenEntries(): boolean {
    return this.#staged === undefined
  }

  /**
   * 16 hex digits over the whole replicated state: what every entry did, and what applying has come to. Equal on all replicas
   * at the same applied index; so nothing may enter that is this replica's alone, as its id, places, runs and floors are.
   * Between entries alone, and not cheap where there are many sessions.
   */
  wholeHash(): string {
    assert(this.isBetweenEntries, 'a state is compared between two entries')
    const words = Buffer.alloc(stateHashBytes)
    words.writeUInt32BE(this.#hashHigh, 0)
    words.writeUInt32BE(this.#hashLow, 4)
    words.writeUInt32BE(crc32(this.#descriptor), 8)
    words.writeUInt32BE(crc32(this.#configuration), 12)
    const { lastStamp, threshold, keyCount, byteCount, sessions } = this
    const limits = sessionLimitNames.map(name => sessions.limits[name])
    const numbers = [lastStamp, threshold, keyCount, byteCount, sessions.digest(), ...limits]
    numbers.forEach((number, at) => words.writeDoubleBE(number, 16 + at * 8))
    const high = crc32(words, this.#hashLow)
    return hex(high) + hex(crc32(words, (high ^ 0x9e3779b9) >>> 0))
  }

  /** Part of what the current entry did; folded into the hash when it is applied. */
  hashIn(number: number): void {
    this.#pending.push(number >>> 0)
  }

  /** The current entry's stamps; they count once all of it is applied, or a read could see half of it as closed. */
  stage(first: Timestamp, last: Timestamp, closed: Timestamp): void {
    assert(first > this.lastStamp, 'stamps grow strictly along the log')
    this.#staged = { last, closed }
  }

  /** Nothing that can be read is stamped above it, in the middle of an entry either. */
  get readStamp(): Timestamp {
    return this.#staged?.last ?? this.lastStamp
  }

  /** The entry at `index` is applied. */
  advance(index: Index, term: Term): void {
    assert(index === this.#appliedIndex + 1, 'entries are applied once each, in order')
    this.#appliedIndex = index
    this.#appliedTerm = term
    if (this.#staged !== undefined) {
      this.lastStamp = this.#staged.last
      if (this.#staged.closed > this.closed) this.closed = this.#staged.closed
      this.#staged = undefined
    }
    const words = new Uint32Array(this.#pending.length + 3)
    words.set(this.#pending)
    words[this.#pending.length] = index >>> 0
    words[this.#pending.length + 1] = term >>> 0
    words[this.#pending.length + 2] = this.#hashHigh
    this.#pending.length = 0
    const bytes = new Uint8Array(words.buffer)
    this.#hashHigh = crc32(bytes, this.#hashLow)
    this.#hashLow = crc32(bytes, (this.#hashHigh ^ 0x9e3779b9) >>> 0)
    this.#isDirty = true
  }

  setConfiguration(index: Index, term: Term, descriptor: Uint8Array, configuration: Uint8Array): void {
    this.#descriptor = descriptor
    this.#configuration = configuration
    this.#generation = generationOf(descriptor)
    this.hashIn(crc32(configuration))
    this.advance(index, term)
  }

  /** What goes into the engine batch that carries the effects. */
  takeDirty(versions: VersionStore): readonly EngineBatchOperation[] {
    if (!this.#isDirty) return []
    this.#isDirty = false
    const operations: EngineBatchOperation[] = [
      { key: RangeState.keyOf(versions, this.rangeId), value: this.#encode() },
    ]
    for (const { id, value } of this.sessions.takeDirty())
      operations.push({ key: versions.localKey(this.rangeId, sessionPrefix + id), value })
    return operations
  }

  static keyOf(versions: VersionStore, rangeId: RangeId): string {
    return versions.localKey(rangeId, stateName)
  }

  /** `as`: a snapshot brought another replica's record; it is this one's from now on. */
  static async load(versions: VersionStore, rangeId: RangeId, as?: ReplicaId): Promise<RangeState | undefined> {
    const value = versions.readLocal(rangeId, stateName)
    if (value === undefined) return undefined
    const state = decode(rangeId, value, as)
    for (const { name, value: session } of await versions.listLocal(rangeId, sessionPrefix))
      state.sessions.load(name.slice(sessionPrefix.length), session)
    return state
  }

  #encode(): Uint8Array {
    const bytes = Buffer.alloc(fixedBytes + 8 + this.#descriptor.length + this.#configuration.length + 4)
    bytes[0] = formatVersion
    const numbers = [
      this.replicaId,
      this.#appliedIndex,
      this.#appliedTerm,
      this.lastStamp,
      this.closed,
      this.threshold,
      this.keyCount,
      this.byteCount,
      this.#hashHigh,
      this.#hashLow,
      this.systemKeyCount,
      ...sessionLimitNames.map(name => this.sessions.limits[name]),
    ]
    numbers.forEach((number, at) => bytes.writeDoubleBE(number, 1 + at * 8))
    bytes.writeUInt32BE(this.#descriptor.length, fixedBytes)
    bytes.writeUInt32BE(this.#configuration.length, fixedBytes + 4)
    bytes.set(this.#descriptor, fixedBytes + 8)
    bytes.set(this.#configuration, fixedBytes + 8 + this.#descriptor.length)
    bytes.writeUInt32BE(crc32(bytes.subarray(0, bytes.length - 4)), bytes.length - 4)
    return bytes
  }

  /** The hash as it was read back. */
  restoreHash(hashHigh: number, hashLow: number): void {
    this.#hashHigh = hashHigh
    this.#hashLow = hashLow
    this.#isDirty = true
  }
}

function decode(rangeId: RangeId, value: Uint8Array, as?: ReplicaId): RangeState {
  const bytes = Buffer.from(value)
  const isWhole = bytes.length > fixedBytes && bytes.readUInt32BE(bytes.length - 4) === crc32(bytes.subarray(0, -4))
  if (!isWhole) throw new DamageError(stateName, 'the checksum of the applied state does not hold')
  assert(bytes[0] === formatVersion, `applied state of format ${bytes[0]} is not known here`)
  const number = (at: number): number => bytes.readDoubleBE(1 + at * 8)
  const descriptorBytes = bytes.readUInt32BE(fixedBytes)
  const configurationBytes = bytes.readUInt32BE(fixedBytes + 4)
  const descriptorAt = fixedBytes + 8
  const limits = sessionLimitNames.map((name, at) => [name, number(stateNumbers + at)])
  const state = new RangeState({
    rangeId,
    replicaId: as ?? asReplicaId(number(0)),
    appliedIndex: asIndex(number(1)),
    appliedTerm: asTerm(number(2)),
    descriptor: bytes.subarray(descriptorAt, descriptorAt + descriptorBytes),
    configuration: bytes.subarray(descriptorAt + descriptorBytes, descriptorAt + descriptorBytes + configurationBytes),
    sessionLimits: Object.fromEntries(limits) as SessionLimits,
  })
  state.lastStamp = asTimestamp(number(3))
  state.closed = asTimestamp(number(4))
  state.threshold = asTimestamp(number(5))
  state.keyCount = number(6)
  state.byteCount = number(7)
  state.restoreHash(number(8), number(9))
  state.systemKeyCount = number(10)
  return state
}

function generationOf(descriptor: Uint8Array): number {
  return quorate.v1.RangeDescriptor.decode(descriptor).generation
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}
