// A cluster as the SDK sees one: gRPC servers in this process over one shared map, with sessions that answer a known
// number with its first outcome. No consensus. Tests decide who leads, what happens to answers, and which clocks lie.

import * as grpc from '@grpc/grpc-js'
import { type ErrorCode, KvError } from '../../src/base/errors.ts'
import { deleteRangeFault } from '../../src/command/delete-range.ts'
import { quorate } from '../../src/proto/quorate.js'
import { addMs, timestampFromUnixMs } from '../../src/time/timestamp.ts'
import * as wire from '../../src/client/wire.ts'

const v1 = quorate.v1
const done = v1.OutcomeKind.OUTCOME_KIND_DONE
type BatchRequest = quorate.v1.BatchRequest
type Outcome = quorate.v1.Outcome.$Properties
type Version = { value: Uint8Array; timestamp: number; created: number; version: number; deleted: boolean }
type Codec = { encode(message: never): { finish(): Uint8Array }; decode(bytes: Uint8Array): unknown }

/** What a node does with a batch: apply and answer; apply and keep silent; neither; or refuse. */
export type Verdict = 'answer' | 'lose-answer' | 'swallow' | 'break' | 'apply-and-break' | KvError
export interface SeenBatch {
  readonly node: string
  readonly writes: Uint8Array
  readonly gets: readonly Uint8Array[]
  readonly decoded: quorate.v1.WriteBatch | undefined
}

export class FakeNode {
  readonly name: string
  address = ''
  server: grpc.Server = new grpc.Server()
  constructor(name: string) {
    this.name = name
  }
}

export class FakeKvCluster {
  readonly nodes: FakeNode[] = []
  readonly data = new Map<string, Version[]>()
  readonly batches: SeenBatch[] = []
  readonly scans: quorate.v1.ScanRequest[] = []
  readonly adminCalls: string[] = []
  /** Applied operations by `session/number`. */
  readonly outcomes = new Map<string, Outcome>()
  cancelledScans = 0
  applied = 0
  leader = 'n1'
  isInitialised = true
  /** Of n2, whenever a checksum is taken. */
  lastVerdict = 'equal'
  /** Only the leader takes batches; others refuse with its name. */
  followersRefuse = false
  pageKeys = 3
  deleteLimit = 4
  verdict: (batch: SeenBatch, count: number) => Verdict | Promise<Verdict> = () => 'answer'
  onPage: (page: number) => 'go' | 'break' = () => 'go'
  /** By how many milliseconds a node's clock is ahead of true time. Stamps are of true time. */
  readonly clockAheadMs = new Map<string, number>()
  /** How far ahead of the leader's clock a write's notAfter may lie. */
  notAfterAheadMs = 120_000
  /** Gets, and likewise pages, in one answer; the rest is said not to be read. */
  answersMax = Number.POSITIVE_INFINITY
  #now = timestampFromUnixMs(Date.now())

  get url(): string {
    return `quorate://${this.nodes.map(node => node.address).join(',')}`
  }

  node(name: string): FakeNode {
    const node = this.nodes.find(candidate => candidate.name === name)
    if (node === undefined) throw new Error(`no node ${name}`)
    return node
  }

  async listen(node: FakeNode, address = '127.0.0.1:0'): Promise<void> {
    node.server = new grpc.Server()
    this.#register(node)
    const port = await new Promise<number>((resolve, reject) => {
      node.server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      )
    })
    node.address = `127.0.0.1:${port}`
  }

  kill(name: string): void {
    this.node(name).server.forceShutdown()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) node.server.forceShutdown()
  }

  #header(node: FakeNode): quorate.v1.ResponseHeader.$Properties {
    return { clock: this.#now, node: node.name, leader: this.leader, now: this.#clockOf(node.name) }
  }

  #clockOf(name: string): number {
    return addMs(this.#now, this.clockAheadMs.get(name) ?? 0)
  }

  /** As a leader judges the instants of a request; every node passes writes on to it. */
  #judgeInstants(clock: number, notAfter: number): void {
    if (clock > this.#now) throw new KvError('future-instant', 'a clock that is no stamp of the log was sent back')
    const now = addMs(this.#now, this.clockAheadMs.get(this.leader) ?? 0)
    const { notAfterAheadMs } = this
    if (notAfter <= addMs(now, notAfterAheadMs)) return
    const details = { limit: 'notAfterAheadMs', limitValue: `${notAfterAheadMs}`, now: `${now}`, node: this.leader }
    throw new KvError('invalid-argument', 'notAfter lies too far ahead', { details })
  }

  #register(node: FakeNode): void {
    const definitions: Record<string, unknown> = {}
    const handlers: Record<string, unknown> = {}
    const unary = (
      name: string,
      method: { path: string },
      request: Codec,
      response: Codec,
      run: (r: never) => object,
    ) => {
      definitions[name] = definition(method.path, request, response, false, false)
      handlers[name] = (call: { request: never }, answer: (error: unknown, response?: object) => void) => {
        if (method.path.includes('Admin')) this.adminCalls.push(`${node.name} ${name}`)
        try {
          answer(null, run(call.request))
        } catch (error) {
          answer(trailersOf(error as KvError))
        }
      }
    }
    unary('nodes', wire.nodesMethod, v1.NodesRequest, v1.NodesResponse, () => this.#nodesResponse(node))
    unary('status', wire.statusMethod, v1.StatusRequest, v1.StatusResponse, () => this.#status(node))
    unary('init', wire.initMethod, v1.InitRequest, v1.InitResponse, () => {
      if (this.isInitialised) throw new KvError('already-initialised', 'there is a cluster already')
      this.isInitialised = true
      return { clusterId: Buffer.alloc(16, 7), node: node.name }
    })
    for (const [name, method] of Object.entries({
      memberAdd: wire.memberAddMethod,
      memberPromote: wire.memberPromoteMethod,
      memberRemove: wire.memberRemoveMethod,
    })) {
      unary(name, method, v1.MemberRequest, v1.MemberResponse, (request: quorate.v1.MemberRequest) => {
        this.#mustLead(node)
        if (request.node === 'n9') throw new KvError('not-found', 'no node n9')
        return { replicas: [{ node: request.node, role: 2, applied: 1, hash: 'aa', reachable: true }] }
      })
    }
    unary(
      'transfer',
      wire.transferLeaderMethod,
      v1.TransferLeaderRequest,
      v1.TransferLeaderResponse,
      (request: quorate.v1.TransferLeaderRequest) => {
        this.#mustLead(node)
        this.leader = request.node || 'n2'
        return { leader: this.leader }
      },
    )
    unary(
      'checksum',
      wire.checksumMethod,
      v1.ChecksumRequest,
      v1.ChecksumResponse,
      ({ index }: quorate.v1.ChecksumRequest) => {
        this.#mustLead(node)
        // The first call begins it, and nobody has answered by then.
        const isAnswered = index > 0
        const verdict = isAnswered ? this.lastVerdict : 'could not compare: no checksum has come from it'
        const replicas = [
          { node: 'n1', replicaId: 1, equal: true, verdict: 'equal' },
          { node: 'n2', replicaId: 2, equal: verdict === 'equal', verdict },
        ]
        return { index: 77, complete: isAnswered, replicas }
      },
    )
    unary(
      'history',
      wire.historyMethod,
      v1.HistoryRequest,
      v1.HistoryResponse,
      (request: quorate.v1.HistoryRequest) => {
        const versions = [...(this.data.get(nameOf(request.key)) ?? [])].reverse()
        const older = versions.filter(version => request.before === 0 || version.timestamp < request.before)
        const limit = request.limit || 100
        return { header: this.#header(node), items: older.slice(0, limit), more: older.length > limit }
      },
    )
    definitions['scan'] = definition(wire.scanMethod.path, v1.ScanRequest, v1.ScanResponse, false, true)
    handlers['scan'] = (call: grpc.ServerWritableStream<quorate.v1.ScanRequest, object>) => void this.#scan(node, call)
    definitions['batch'] = definition(wire.batchMethod.path, v1.BatchRequest, v1.BatchResponse, true, true)
    handlers['batch'] = (call: grpc.ServerDuplexStream<BatchRequest, object>) => {
      call.on('error', () => undefined)
      call.on('end', () => call.end())
      call.on('data', (request: BatchRequest) => void this.#batch(node, call, request))
    }
    node.server.addService(definitions as never, handlers as never)
  }

  #mustLead(node: FakeNode): void {
    if (node.name === this.leader) return
    throw new KvError('not-leader', `${node.name} does not lead`, {
      leader: this.leader,
      leaderAddress: this.node(this.leader).address,
    })
  }

  #nodeStatuses(): object[] {
    return this.nodes.map(node => ({ record: { id: node.name, clientAddress: node.address }, live: true }))
  }

  #nodesResponse(node: FakeNode): object {
    const clusterId = this.isInitialised ? Buffer.alloc(16, 7) : Buffer.alloc(0)
    return { header: this.#header(node), clusterId, nodes: this.#nodeStatuses() }
  }

  #status(node: FakeNode): object {
    if (!this.isInitialised) throw new KvError('not-initialised', 'no cluster yet: quorate init')
    const replicas = this.nodes.map(each => ({ node: each.name, role: 1, applied: 12, hash: 'ab', reachable: true }))
    const range = {
      id: 1,
      leader: this.leader,
      term: 3,
      commit: 12,
      replicas,
      keyCount: this.data.size + 2,
      systemKeyCount: 2,
    }
    return { header: this.#header(node), clusterId: Buffer.alloc(16, 7), nodes: this.#nodeStatuses(), ranges: [range] }
  }

  async #batch(
    node: FakeNode,
    call: grpc.ServerDuplexStream<BatchRequest, object>,
    request: BatchRequest,
  ): Promise<void> {
    const decoded = request.writes.length > 0 ? v1.WriteBatch.decode(request.writes) : undefined
    const gets = request.gets.map(key => Buffer.from(key))
    const batch: SeenBatch = { node: node.name, writes: Buffer.from(request.writes), gets, decoded }
    this.batches.push(batch)
    const header = this.#header(node)
    try {
      if (!this.isInitialised) throw new KvError('not-initialised', 'no cluster yet: quorate init')
      if (this.followersRefuse) this.#mustLead(node)
      this.#judgeInstants(request.header?.clock ?? 0, decoded?.notAfter ?? 0)
      const verdict = await this.verdict(batch, this.batches.length)
      if (verdict instanceof KvError) throw verdict
      if (verdict === 'break') {
        call.emit('error', broken)
        return
      }
      if (verdict === 'swallow') return
      for (const write of decoded?.writes ?? []) {
        const fault = write.deleteRange ? deleteRangeFault(write.deleteRange) : undefined
        if (fault !== undefined) throw new KvError('invalid-argument', fault)
      }
      const outcomes = (decoded?.writes ?? []).map(write => this.#apply(decoded as quorate.v1.WriteBatch, write))
      const items = gets.slice(0, this.answersMax).map(key => this.#read(key, request.options ?? {}))
      const getsLeft = gets.length - items.length
      const pages = request.scans.map((scan, at) =>
        // Which of them is left to chance: they are read side by side.
        at % 3 < this.answersMax ? v1.ScanResponse.encode(this.#page(scan, 0)).finish() : noBytes,
      )
      if (verdict === 'apply-and-break') {
        call.emit('error', broken)
        return
      }
      if (verdict === 'answer') call.write({ id: request.id, header, outcomes, items, getsLeft, pages })
    } catch (error) {
      call.write({ id: request.id, header, error: errorMessage(error as KvError) })
    }
  }

  #read(key: Uint8Array, options: quorate.v1.ReadOptions.$Properties): object {
    const at = options.kind === v1.ReadKind.READ_KIND_AT ? (options.at ?? 0) : Number.MAX_SAFE_INTEGER
    const version = this.data.get(nameOf(key))?.findLast(candidate => candidate.timestamp <= at)
    return version === undefined || version.deleted ? {} : version
  }

  #apply(batch: quorate.v1.WriteBatch, write: quorate.v1.Write.$Properties): Outcome {
    const id = `${Buffer.from(batch.session).toString('hex')}/${write.number}`
    const known = this.outcomes.get(id)
    if (known !== undefined) return known
    if (batch.notAfter < this.#now || (write.number ?? 0) < batch.floor) {
      return { kind: v1.OutcomeKind.OUTCOME_KIND_TOO_LATE }
    }
    this.applied++
    const timestamp = ++this.#now
    const outcome = { kind: done, timestamp, ...this.#evaluate(write, timestamp) }
    this.outcomes.set(id, outcome)
    return outcome
  }

  #evaluate(write: quorate.v1.Write.$Properties, timestamp: number): Outcome {
    if (write.put) return { version: this.#put(write.put, timestamp) }
    if (write.delete) return { deleted: this.#delete(write.delete.key ?? noBytes, timestamp) }
    if (write.deleteRange) {
      const { start, end, limit } = write.deleteRange
      const keys = this.#keys(start ?? noBytes, end ?? noBytes)
      const count = Math.min(limit || this.deleteLimit, this.deleteLimit)
      for (const key of keys.slice(0, count)) this.#delete(bytesOf(key), timestamp)
      return { deleted: Math.min(count, keys.length), resume: bytesOf(keys[count] ?? '') }
    }
    const commit = write.commit ?? {}
    const failed = (commit.compares ?? []).findIndex(compare => !this.#holds(compare))
    for (const change of (failed === -1 ? commit.then : commit.otherwise) ?? []) {
      if (change.put) this.#put(change.put, timestamp)
      if (change.delete) this.#delete(change.delete.key ?? noBytes, timestamp)
    }
    return failed === -1 ? {} : { kind: v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED, failedCompare: failed + 1 }
  }

  #holds(compare: quorate.v1.Compare.$Properties): boolean {
    const item = this.#read(compare.key ?? noBytes, {}) as Partial<Version>
    if (compare.absent != null) {
      const isTurned = compare.operator === v1.CompareOperator.NOT_EQUAL
      return (compare.absent === (item.timestamp === undefined)) !== isTurned
    }
    if (compare.version != null) {
      const version = item.version ?? 0
      return compare.operator === v1.CompareOperator.GREATER ? version > compare.version : version === compare.version
    }
    return item.value !== undefined && Buffer.compare(item.value, compare.value ?? noBytes) === 0
  }

  #put(put: quorate.v1.PutOp.$Properties, timestamp: number): number {
    const name = nameOf(put.key ?? noBytes)
    const versions = this.data.get(name) ?? []
    const last = versions.at(-1)
    const live = last !== undefined && !last.deleted ? last : undefined
    const version = (live?.version ?? 0) + 1
    const created = live?.created ?? timestamp
    versions.push({ value: Buffer.from(put.value ?? noBytes), timestamp, created, version, deleted: false })
    this.data.set(name, versions)
    return version
  }

  #delete(key: Uint8Array, timestamp: number): number {
    const versions = this.data.get(nameOf(key))
    if (versions === undefined || versions.at(-1)?.deleted !== false) return 0
    versions.push({ value: noBytes, timestamp, created: 0, version: 0, deleted: true })
    return 1
  }

  #keys(start: Uint8Array, end: Uint8Array): string[] {
    const [from, to] = [nameOf(start), nameOf(end)]
    const keys = [...this.data].filter(([, versions]) => versions.at(-1)?.deleted === false).map(([key]) => key)
    return keys.filter(key => key >= from && (to === '' || key < to)).sort()
  }

  async #scan(node: FakeNode, call: grpc.ServerWritableStream<quorate.v1.ScanRequest, object>): Promise<void> {
    const { request } = call
    this.scans.push(request)
    call.on('cancelled', () => this.cancelledScans++)
    call.on('error', () => undefined)
    for (let count = 0; ; ) {
      if (this.onPage(Math.floor(count / this.pageKeys)) === 'break') {
        call.emit('error', broken)
        return
      }
      const page = this.#page(request, count)
      count = page.count
      if (!call.write({ header: this.#header(node), ...page }))
        await new Promise(resolve => call.once('drain', resolve))
      const isWhole = page.resume.length === 0 || (request.limit > 0 && count >= request.limit)
      if (isWhole || call.cancelled) break
    }
    call.end()
  }

  /** Of a scan, behind the first `seen` keys. */
  #page(scan: quorate.v1.ScanRequest.$Properties, seen: number) {
    const { limit, reverse, keysOnly, countOnly } = scan
    const keys = this.#keys(scan.start ?? noBytes, scan.end ?? noBytes)
    if (reverse) keys.reverse()
    const page = keys.slice(seen, Math.min(seen + this.pageKeys, limit || Number.POSITIVE_INFINITY))
    const count = seen + page.length
    const next = reverse ? page.at(-1) : keys[count]
    const items = page.map(key => ({
      key: bytesOf(key),
      ...this.#read(bytesOf(key), {}),
      ...(keysOnly ? { value: noBytes } : {}),
    }))
    const resume = bytesOf(count < keys.length ? (next ?? '') : '')
    return { items: countOnly ? [] : items, at: this.#now, count, resume }
  }
}

const broken = { code: grpc.status.INTERNAL, details: 'broken on purpose' }
const noBytes: Uint8Array = new Uint8Array(0)

/** What the map calls a key: latin1 keeps every byte, and their order. */
const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
const bytesOf = (name: string): Buffer => Buffer.from(name, 'latin1')

function definition(
  path: string,
  request: Codec,
  response: Codec,
  requestStream: boolean,
  responseStream: boolean,
): object {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: (message: never) => request.encode(message).finish(),
    requestDeserialize: (bytes: Uint8Array) => request.decode(bytes),
    responseSerialize: (message: never) => response.encode(message).finish(),
    responseDeserialize: (bytes: Uint8Array) => response.decode(bytes),
  }
}

function errorMessage(error: KvError): quorate.v1.Error.$Properties {
  const { code, message, retryable, retryAfterMs, leader, leaderAddress, details } = error
  return {
    code: code satisfies ErrorCode,
    message,
    retryable,
    retryAfterMs,
    leader: leader ?? '',
    leaderAddress: leaderAddress ?? '',
    details: { ...details },
  }
}

function trailersOf(error: KvError): Partial<grpc.ServiceError> {
  const metadata = new grpc.Metadata()
  metadata.set('quorate-error-bin', Buffer.from(v1.Error.encode(errorMessage(error)).finish()))
  return { code: grpc.status.FAILED_PRECONDITION, details: error.message, metadata }
}

/** `count` nodes named n1, n2, …; n1 leads. */
export async function startFakeKvCluster(count = 3): Promise<FakeKvCluster> {
  const cluster = new FakeKvCluster()
  for (let i = 1; i <= count; i++) {
    const node = new FakeNode(`n${i}`)
    await cluster.listen(node)
    cluster.nodes.push(node)
  }
  return cluster
}
