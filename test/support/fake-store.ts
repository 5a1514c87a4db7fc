// A LocalStore without Raft, log or disk: one map of versions, one session table, shared by the stores of all nodes of
// a FakeState, so that gateways, services and the SDK are tested without a cluster. Leadership and refusals are set by hand.

import { type NodeId, type RangeId, asIndex, asNodeId, asRangeId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
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
} from '../../src/range/local-store.ts'
import { HybridClock, clockSkewMaxMs } from '../../src/time/hybrid-clock.ts'
import { type Timestamp, addMs, timestampMax } from '../../src/time/timestamp.ts'

const { OutcomeKind, CompareOperator } = quorate.v1
export const fakeRangeId: RangeId = asRangeId(1)
const keyBytesMax = 4096
const valueBytesMax = 1024 * 1024

interface Version {
  readonly timestamp: number
  readonly created: number
  readonly version: number
  /** undefined: a deletion. */
  readonly value: Uint8Array | undefined
}

/** What the replicas agree on. */
export class FakeState {
  readonly clock = new HybridClock(() => Date.now())
  leader: NodeId | undefined = asNodeId('n1')
  term = 1
  applied = 0
  /** Write batches evaluated, by how many commands they carried: what reached "the log". */
  readonly batchSizes: number[] = []
  /** Times a number came again and got its first outcome. */
  repeats = 0
  readonly #versions = new Map<string, Version[]>()
  readonly #outcomes = new Map<string, Map<number, quorate.v1.IOutcome>>()

  /** Keys are ordered as bytes: latin1 keeps that order in strings. */
  sortedKeys(): string[] {
    return [...this.#versions.keys()].sort((a, b) => (a < b ? -1 : 1))
  }

  versions(key: string): readonly Version[] {
    return this.#versions.get(key) ?? []
  }

  at(key: string, at: number): Version | undefined {
    return this.versions(key).findLast(version => version.timestamp <= at)
  }

  apply(batch: quorate.v1.IWriteBatch): quorate.v1.IOutcome[] {
    const session = Buffer.from(batch.session ?? []).toString('hex')
    let known = this.#outcomes.get(session)
    if (known === undefined) this.#outcomes.set(session, (known = new Map()))
    const floor = batch.floor ?? 0
    for (const number of known.keys()) if (number < floor) known.delete(number)
    this.applied++
    this.batchSizes.push(batch.writes?.length ?? 0)
    const outcomes: quorate.v1.IOutcome[] = []
    for (const write of batch.writes ?? []) {
      const number = write.number ?? 0
      const first = known.get(number)
      if (first !== undefined) {
        this.repeats++
        outcomes.push(first)
        continue
      }
      const timestamp = this.clock.now()
      const late = number < floor || ((batch.notAfter ?? 0) > 0 && timestamp > (batch.notAfter ?? 0))
      const outcome = late ? { kind: OutcomeKind.OUTCOME_KIND_TOO_LATE } : this.#evaluate(write, timestamp)
      known.set(number, outcome)
      outcomes.push(outcome)
    }
    return outcomes
  }

  #evaluate(write: quorate.v1.IWrite, timestamp: Timestamp): quorate.v1.IOutcome {
    if (write.put) return { ...done(timestamp), version: this.#put(write.put, timestamp) }
    if (write.delete) return { ...done(timestamp), deleted: this.#delete(text(write.delete.key), timestamp) }
    if (write.deleteRange) {
      const { start, end, limit } = write.deleteRange
      const live = this.span(text(start), text(end)).filter(key => this.at(key, timestamp)?.value !== undefined)
      const chosen = live.slice(0, limit || 1000)
      for (const key of chosen) this.#delete(key, timestamp)
      const next = live[chosen.length]
      return { ...done(timestamp), deleted: chosen.length, ...(next === undefined ? {} : { resume: bytes(next) }) }
    }
    if (write.commit) {
      const failed = (write.commit.compares ?? []).findIndex(compare => !this.#holds(compare)) + 1
      for (const change of (failed > 0 ? write.commit.otherwise : write.commit.then) ?? []) {
        if (change.put) this.#put(change.put, timestamp)
        if (change.delete) this.#delete(text(change.delete.key), timestamp)
      }
      const kind = failed > 0 ? OutcomeKind.OUTCOME_KIND_CONDITION_FAILED : OutcomeKind.OUTCOME_KIND_DONE
      return { kind, timestamp, failedCompare: failed }
    }
    return { kind: OutcomeKind.OUTCOME_KIND_INVALID, message: 'a write without an operation' }
  }

  span(start: string, end: string): string[] {
    return this.sortedKeys().filter(key => key >= start && (end === '' || key < end))
  }

  #put(op: quorate.v1.IPutOp, timestamp: number): number {
    const key = text(op.key)
    const before = this.at(key, timestamp)
    const alive = before?.value !== undefined
    const version = alive ? before.version + 1 : 1
    const created = alive ? before.created : timestamp
    this.#add(key, { timestamp, created, version, value: Uint8Array.from(op.value ?? []) })
    return version
  }

  #delete(key: string, timestamp: number): number {
    if (this.at(key, timestamp)?.value === undefined) return 0
    this.#add(key, { timestamp, created: 0, version: 0, value: undefined })
    return 1
  }

  #add(key: string, version: Version): void {
    const versions = this.#versions.get(key)
    if (versions === undefined) this.#versions.set(key, [version])
    else versions.push(version)
  }

  #holds(compare: quorate.v1.ICompare): boolean {
    const found = this.at(text(compare.key), timestampMax)
    const alive = found?.value !== undefined
    if (compare.absent !== undefined && compare.absent !== null)
      return (alive !== compare.absent) !== (compare.operator === CompareOperator.NOT_EQUAL)
    let order: number | undefined
    if (compare.value) order = alive ? Buffer.compare(found.value, compare.value) : undefined
    else if (compare.version !== undefined && compare.version !== null)
      order = (alive ? found.version : 0) - compare.version
    else order = (alive ? found.timestamp : 0) - (compare.timestamp ?? 0)
    switch (compare.operator ?? CompareOperator.EQUAL) {
      case CompareOperator.EQUAL:
        return order === 0
      case CompareOperator.NOT_EQUAL:
        return order !== 0
      case CompareOperator.LESS:
        return order !== undefined && order < 0
      default:
        return order !== undefined && order > 0
    }
  }
}

export class FakeStore implements LocalStore {
  readonly node: NodeId
  readonly state: FakeState
  ready = true
  /** Answered, one a call, before anything else is looked at. */
  readonly writeAnswers: (WriteAnswer | 'applied-then-unknown')[] = []
  readonly readRefusals: Refusal[] = []
  readonly writes: WriteRequest[] = []
  readonly reads: ReadRequest[] = []
  readonly adminCalls: unknown[] = []
  adminAnswer: AdminAnswer = { kind: 'done' }
  /** Reads and writes wait for it. */
  gate: Promise<void> | undefined
  records: quorate.v1.INodeRecord[] = []

  constructor(state: FakeState, node: NodeId = asNodeId('n1')) {
    this.state = state
    this.node = node
  }

  rangeOf(): { readonly rangeId: RangeId; readonly generation: number } {
    return { rangeId: fakeRangeId, generation: 1 }
  }

  leaderOf(): NodeId | undefined {
    return this.state.leader
  }

  async write(request: WriteRequest): Promise<WriteAnswer> {
    this.writes.push(request)
    const scripted = this.writeAnswers.shift()
    if (this.gate !== undefined) await this.gate
    if (scripted !== undefined && scripted !== 'applied-then-unknown') return scripted
    if (this.state.leader !== this.node) return { kind: 'not-leader', leader: this.state.leader }
    const refusal = this.#routed(request.rangeId, request.generation)
    if (refusal !== undefined) return refusal
    let batch: quorate.v1.WriteBatch
    try {
      batch = quorate.v1.WriteBatch.decode(request.writes)
    } catch (error) {
      return { kind: 'invalid', message: `the write batch cannot be decoded: ${String(error)}` }
    }
    const bad = validate(batch)
    if (bad !== undefined) return bad
    this.state.clock.maybeMerge(request.clock)
    const outcomes = this.state.apply(batch)
    if (scripted === 'applied-then-unknown') return { kind: 'unknown-outcome' }
    return { kind: 'done', outcomes, clock: this.state.clock.peek() }
  }

  async get(request: GetRequest): Promise<GetAnswer> {
    const at = await this.#instant(request)
    if (typeof at === 'object') return at
    const items: quorate.v1.IKeyVersion[] = []
    for (const key of request.keys) {
      if (request.budget?.isSpent === true) break
      const found = item(this.state.at(text(key), at))
      items.push(found)
      request.budget?.take(found.value?.length ?? 0)
    }
    return { kind: 'done', items, clock: this.state.clock.peek() }
  }

  async scanPage(request: ScanPageRequest): Promise<ScanPageAnswer> {
    const at = await this.#instant(request)
    if (typeof at === 'object') return at
    const keys = this.state.span(text(request.start), text(request.end))
    if (request.reverse) keys.reverse()
    const items: quorate.v1.IKeyVersion[] = []
    let count = 0
    let size = 0
    let last: string | undefined
    const page = (resume: Uint8Array | undefined): ScanPageAnswer => {
      return { kind: 'done', items: quorate.v1.ScanResponse.encode({ items }).finish(), count, at, resume }
    }
    for (const key of keys) {
      const found = this.state.at(key, at)
      if (found?.value === undefined) continue
      if (request.budget?.isSpent === true && count === 0) return { kind: 'not-read' }
      if (count >= request.limit || size >= request.bytesMax || request.budget?.isSpent === true)
        return page(bytes(request.reverse ? (last ?? '') : key))
      count++
      size += key.length + found.value.length
      request.budget?.take(key.length + found.value.length)
      last = key
      if (!request.countOnly) {
        const whole = { key: bytes(key), ...item(found) }
        items.push(request.keysOnly ? { ...whole, value: new Uint8Array() } : whole)
      }
    }
    return page(undefined)
  }

  async history(request: HistoryRequest): Promise<HistoryAnswer> {
    const at = await this.#instant(request)
    if (typeof at === 'object') return at
    const versions = this.state.versions(text(request.key)).filter(version => version.timestamp < request.before)
    const newest = versions.toReversed()
    const items = newest.slice(0, request.limit).map(version => {
      if (version.value !== undefined) return item(version)
      return { timestamp: version.timestamp, deleted: true, version: 0, created: 0, value: new Uint8Array() }
    })
    return { kind: 'done', items, more: newest.length > request.limit, clock: this.state.clock.peek() }
  }

  status(): readonly quorate.v1.IRangeStatus[] {
    const { applied, term, leader } = this.state
    const nodes = this.records.length > 0 ? this.records.map(record => record.id ?? '') : [this.node]
    const replicas = nodes.map((node, i) => ({
      node,
      replicaId: i + 1,
      role: quorate.v1.ReplicaRole.REPLICA_ROLE_VOTER,
      match: applied,
    }))
    const hash = applied.toString(16)
    return [
      {
        id: 1,
        generation: 1,
        leader: leader ?? '',
        term,
        commit: applied,
        lastIndex: applied,
        applied,
        hash,
        replicas,
      },
    ]
  }

  addMember(record: quorate.v1.INodeRecord): Promise<AdminAnswer> {
    return this.#admin({ add: record })
  }
  /** None was ever removed here. */
  async readmitMember(node: NodeId): Promise<AdminAnswer> {
    if (this.state.leader !== this.node) return { kind: 'not-leader', leader: this.state.leader }
    return { kind: 'not-found', message: `no store of ${node} was removed` }
  }
  promoteMember(node: NodeId): Promise<AdminAnswer> {
    return this.#admin({ promote: node })
  }
  removeMember(node: NodeId): Promise<AdminAnswer> {
    return this.#admin({ remove: node })
  }
  checksumAnswer: ChecksumAnswer = { kind: 'done', index: asIndex(7), isComplete: true, replicas: [] }

  checksum(rangeId: RangeId, index: number | undefined): Promise<ChecksumAnswer> {
    this.adminCalls.push(['checksum', rangeId, index])
    return Promise.resolve(this.checksumAnswer)
  }

  transferLeader(rangeId: RangeId, node: NodeId | undefined): Promise<AdminAnswer> {
    return this.#admin({ transfer: rangeId, node })
  }

  nodes(): readonly quorate.v1.INodeRecord[] {
    return this.records
  }

  async #admin(call: unknown): Promise<AdminAnswer> {
    this.adminCalls.push(call)
    if (this.state.leader !== this.node) return { kind: 'not-leader', leader: this.state.leader }
    return this.adminAnswer
  }

  #routed(rangeId: RangeId, generation: number): Refusal | undefined {
    if (rangeId !== fakeRangeId) return { kind: 'no-replica' }
    return generation > 1 ? { kind: 'range-mismatch', generation: 1 } : undefined
  }

  async #instant(request: ReadRequest): Promise<Refusal | Timestamp> {
    this.reads.push(request)
    const refusal = this.readRefusals.shift() ?? this.#routed(request.rangeId, 0)
    if (this.gate !== undefined) await this.gate
    if (refusal !== undefined) return refusal
    const { clock } = this.state
    if (request.kind !== 'at' && request.kind !== 'session') return clock.now()
    if (request.at > addMs(clock.raw(), clockSkewMaxMs)) return { kind: 'future-instant' }
    return request.kind === 'at' ? request.at : clock.now()
  }
}

function validate(batch: quorate.v1.IWriteBatch): Refusal | undefined {
  if (batch.session?.length !== 16) return { kind: 'invalid', message: 'a session has 16 bytes' }
  for (const write of batch.writes ?? []) {
    if (!write.number) return { kind: 'invalid', message: 'a write without a number' }
    const key = write.put?.key ?? write.delete?.key
    if (key && key.length > keyBytesMax) return tooLarge('keyBytesMax', keyBytesMax, key.length)
    const value = write.put?.value
    if (value && value.length > valueBytesMax) return tooLarge('valueBytesMax', valueBytesMax, value.length)
  }
  return undefined
}

const tooLarge = (limit: string, limitBytes: number, value: number): Refusal => ({
  kind: 'too-large',
  limit,
  limitBytes,
  value,
})
const done = (timestamp: number) => ({ kind: OutcomeKind.OUTCOME_KIND_DONE, timestamp })
const text = (key: Uint8Array | null | undefined): string => Buffer.from(key ?? []).toString('latin1')
const bytes = (key: string): Uint8Array => Buffer.from(key, 'latin1')

function item(version: Version | undefined): quorate.v1.IKeyVersion {
  if (version?.value === undefined) return { value: new Uint8Array(), timestamp: 0, created: 0, version: 0 }
  const { value, timestamp, created, version: count } = version
  return { value, timestamp, created, version: count }
}
