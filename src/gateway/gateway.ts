// The node that took a client's request (DESIGN.md 2): checks it, routes it to its range, repeats it while that is safe,
// and turns refusals into errors. It knows no gRPC. Nothing here parses the writes of a batch: their bytes go through.

import { AnswerBudget, type AnswerRoom } from '../base/answer-budget.ts'
import { must } from '../base/assert.ts'
import { KvError } from '../base/errors.ts'
import { type NodeId, userKeyspace } from '../base/ids.ts'
import { type Prng, createPrng } from '../base/prng.ts'
import { SessionNumbers } from '../base/session-numbers.ts'
import { quorate } from '../proto/quorate.js'
import type { LocalStore } from '../range/local-store.ts'
import type { Clock } from '../time/clock.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import type { Timestamp } from '../time/timestamp.ts'
import type { ClusterView, PeerClient } from './cluster-view.ts'
import { type GatewayLimits, gatewayLimitsDefault } from './limits.ts'
import type { Logger } from '../base/logger.ts'
import { checkBounds, checkCommit, checkDeleteRange, checkGets, checkKey, checkPut } from './operation-check.ts'
import { OwnSession, type Route, ownClockRefused } from './own-session.ts'
import { type RoutedRead, type ScanPageDone, type ScanSpan, Reader, readKindFromWire } from './reader.ts'
import { errorToMessage, toKvError, tooLarge } from './refusal-error.ts'
import { type CallHeader, parseHeader, parseSession, safeInteger } from './request-header.ts'
import { Retry } from './retry.ts'
import { outlineWriteBatch } from './write-batch-outline.ts'
import { type WriteDone, WriteRouter } from './write-router.ts'

interface GatewayOptions {
  readonly store: LocalStore
  readonly peers: PeerClient
  readonly view: ClusterView
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly logger: Logger
  /** 16 random bytes, fresh for every start of the process: numbers begin at 1 again. */
  readonly sessionId: Uint8Array
  readonly limits?: Partial<GatewayLimits>
  /** For the jitter of retries. */
  readonly prng?: Prng
}

export interface BatchOptions {
  readonly signal?: AbortSignal
  /** It comes from another node's gateway, which has checked it: it may carry that gateway's own session. */
  readonly isForwarded?: boolean
  /** What answers to the same consumer may hold at a time; undefined: whatever one batch may. */
  readonly room?: AnswerRoom
}

export interface Gateway {
  /**
   * Writes, gets and scans of one request run side by side. Never rejects: what failed is in `error`, and `outcomes`, `items`
   * or `pages` are there nevertheless when that part was done. Gets and pages are answered in part where they come to too much.
   */
  batch(request: quorate.v1.IBatchRequest, options?: BatchOptions): Promise<quorate.v1.IBatchResponse>
  // The rest throw KvError.
  put(request: quorate.v1.IPutRequest): Promise<quorate.v1.IWriteResponse>
  delete(request: quorate.v1.IDeleteRequest): Promise<quorate.v1.IWriteResponse>
  deleteRange(request: quorate.v1.IDeleteRangeRequest): Promise<quorate.v1.IWriteResponse>
  commit(request: quorate.v1.ICommitRequest): Promise<quorate.v1.IWriteResponse>
  get(request: quorate.v1.IGetRequest, signal?: AbortSignal): Promise<quorate.v1.IGetResponse>
  history(request: quorate.v1.IHistoryRequest, signal?: AbortSignal): Promise<quorate.v1.IHistoryResponse>
  /** Encoded ScanResponses, pages of one instant. The deadline is that of each page: a scan may take as long as its reader does. */
  scan(request: quorate.v1.IScanRequest, signal?: AbortSignal): AsyncIterable<Buffer>
}

const emptyKey = new Uint8Array()

export function createGateway(options: GatewayOptions): Gateway {
  const { store, peers, view, clock, hybridClock, logger } = options
  const limits: GatewayLimits = { ...gatewayLimitsDefault, ...options.limits }
  const prng = options.prng ?? createPrng(Buffer.from(options.sessionId).readUInt32LE(0))
  const addressOf = (node: NodeId): string =>
    view.nodes().find(status => status.record?.id === node)?.record?.clientAddress ?? ''
  const router = new WriteRouter({ store, peers, view, clock, addressOf, forwardAttemptMs: limits.forwardAttemptMs })
  const reader = new Reader({ store, peers, view, clock, addressOf })
  const retryUntil = (deadlineMs: number, signal?: AbortSignal): Retry =>
    new Retry(clock, prng, limits, deadlineMs, signal)
  const own = new OwnSession({
    numbers: new SessionNumbers(options.sessionId),
    clock,
    hybridClock,
    limits,
    send: (write, deadlineMs) => router.write(write, retryUntil(deadlineMs)),
  })

  let clusterIdText: string | undefined
  let clusterIdBytes: Uint8Array | undefined
  function parse(wire: quorate.v1.IRequestHeader | null | undefined): CallHeader {
    const id = view.clusterId()
    if (id !== clusterIdText) {
      clusterIdText = id
      clusterIdBytes = id === undefined ? undefined : Buffer.from(id, 'hex')
    }
    return parseHeader(wire, clusterIdBytes)
  }

  function deadlineOf(header: CallHeader): number {
    return clock.monotonicMs() + Math.min(header.timeoutMs || limits.timeoutDefaultMs, limits.timeoutMaxMs)
  }

  function routeOf(header: CallHeader, key: Uint8Array): Route {
    if (header.rangeId !== undefined) return { rangeId: header.rangeId, generation: header.generation }
    return store.rangeOf(header.keyspace, key)
  }

  function readOf(
    header: CallHeader,
    route: Route,
    readOptions: quorate.v1.IReadOptions | null | undefined,
  ): RoutedRead {
    const kind = readKindFromWire(readOptions?.kind)
    if (kind === undefined) throw new KvError('invalid-argument', `there is no read kind ${readOptions?.kind}`)
    const at = safeInteger('at', readOptions?.at)
    if (kind === 'at' && at === 0) throw new KvError('invalid-argument', 'a read at an instant must name it')
    if ((kind === 'linearizable' || kind === 'stale') && at !== 0) {
      throw new KvError('invalid-argument', `a ${kind} read names no instant: set its kind to READ_KIND_AT`)
    }
    const { keyspace, clock: seen, hops } = header
    return { ...route, keyspace, kind, at: at as Timestamp, clock: seen, hops }
  }

  function responseHeader(route: Route, seen: Timestamp): quorate.v1.IResponseHeader {
    hybridClock.maybeMerge(seen)
    return {
      // Of the log alone: what a caller sends back no leader may refuse, however wrong this node's clock is.
      clock: seen,
      node: store.node,
      leader: store.leaderOf(route.rangeId) ?? '',
      rangeId: route.rangeId,
      generation: route.generation,
      now: hybridClock.peek(),
    }
  }

  async function batch(
    request: quorate.v1.IBatchRequest,
    { signal, isForwarded = false, room }: BatchOptions = {},
  ): Promise<quorate.v1.IBatchResponse> {
    const id = request.id ?? 0
    const budget = new AnswerBudget(limits.batchAnswerBytesMax, room)
    try {
      const header = parse(request.header)
      const gets = request.gets ?? []
      const scans = request.scans ?? []
      const deadlineMs = deadlineOf(header)
      const { history } = request
      if (history && !isForwarded)
        throw new KvError('invalid-argument', 'a batch of a client asks for no history: call History')
      const route = routeOf(header, gets[0] ?? scans[0]?.start ?? history?.key ?? emptyKey)
      const writes = request.writes
      const [written, read, scanned, past] = await Promise.all([
        writes && writes.length > 0
          ? settle(writeBatch(header, route, writes, deadlineMs, signal, isForwarded))
          : undefined,
        gets.length > 0 ? settle(getMany(header, route, request, retryUntil(deadlineMs, signal), budget)) : undefined,
        scans.length > 0 ? settle(scanMany(header, route, request, retryUntil(deadlineMs, signal), budget)) : undefined,
        history ? settle(readHistory(header, route, history, retryUntil(deadlineMs, signal))) : undefined,
      ])
      const error = written?.error ?? read?.error ?? scanned?.error ?? past?.error
      if (error?.code === 'internal') logger.error({ error, id }, 'a batch failed on a bug')
      const clocks = [written, read, scanned, past].map(part => part?.value?.clock ?? 0)
      const seen = Math.max(...clocks) as Timestamp
      return {
        id,
        header: responseHeader(route, seen),
        error: error === undefined ? null : errorToMessage(error),
        outcomes: (written?.value?.outcomes ?? []) as quorate.v1.IOutcome[],
        items: (read?.value?.items ?? []) as quorate.v1.IKeyVersion[],
        getsLeft: read?.value === undefined ? 0 : gets.length - read.value.items.length,
        pages: scanned?.value?.pages ?? [],
        history: past?.value === undefined ? null : { items: [...past.value.items], more: past.value.more },
      }
    } catch (thrown) {
      const error = toKvError(thrown)
      if (error.code === 'internal') logger.error({ error, id }, 'a batch failed on a bug')
      return { id, header: { node: store.node, now: hybridClock.peek() }, error: errorToMessage(error) }
    } finally {
      // Whoever sends the answer counts it, in the same tick.
      budget.release()
    }
  }

  async function writeBatch(
    header: CallHeader,
    route: Route,
    writes: Uint8Array,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    isForwarded: boolean,
  ): Promise<WriteDone> {
    const outline = outlineWriteBatch(writes, limits.batchKeyOperationsMax)
    if (outline === undefined) throw new KvError('invalid-argument', 'the bytes of `writes` are no WriteBatch')
    refuseSystemKeyspace(outline.keyspace)
    if (outline.isGateway && !isForwarded)
      throw new KvError('invalid-argument', 'is_gateway is for the sessions of gateways: leave it out')
    if (outline.writeCount > limits.batchOpsMax) throw tooLarge('batchOpsMax', limits.batchOpsMax, outline.writeCount)
    if (outline.keyOperations > limits.batchKeyOperationsMax)
      throw tooLarge('batchKeyOperationsMax', limits.batchKeyOperationsMax, outline.keyOperations)
    const retry = retryUntil(deadlineMs, signal)
    const { clock: seen, hops } = header
    if (outline.sessionBytes > 0) return router.write({ ...route, clock: seen, writes, hops }, retry)
    const adopted = own.adopt(decodeWriteBatch(writes), deadlineMs)
    try {
      return await router.write({ ...route, clock: seen, writes: adopted.writes, hops }, retry)
    } catch (error) {
      throw ownClockRefused(toKvError(error))
    } finally {
      adopted.settle()
    }
  }

  async function getMany(
    header: CallHeader,
    route: Route,
    request: quorate.v1.IBatchRequest,
    retry: Retry,
    budget: AnswerBudget,
  ) {
    const gets = request.gets ?? []
    checkGets(gets, limits)
    return reader.get(readOf(header, route, request.options), gets, retry, budget)
  }

  /** The first page of each; empty: the budget was spent. */
  async function scanMany(
    header: CallHeader,
    route: Route,
    request: quorate.v1.IBatchRequest,
    retry: Retry,
    budget: AnswerBudget,
  ): Promise<{ readonly pages: Buffer[]; readonly clock: number }> {
    const scans = request.scans ?? []
    if (scans.length > limits.batchScansMax) throw tooLarge('batchScansMax', limits.batchScansMax, scans.length)
    const read = readOf(header, route, request.options)
    let clock = 0
    const pages = await Promise.all(
      scans.map(async scan => {
        checkBounds(scan, limits)
        if (scan.options || scan.header) {
          throw new KvError('invalid-argument', 'a scan in a batch has the header and the options of the batch')
        }
        const limit = Math.min(pageKeysOf(scan), limitOf(scan), limits.batchPageKeysMax)
        const size = { limit, bytesMax: limits.batchPageBytesMax }
        const page = await reader.scanPage(read, spanOf(scan), size, retry, budget)
        if (page === undefined) return Buffer.alloc(0)
        clock = Math.max(clock, page.at)
        return encodePage(page, { at: page.at, count: page.count })
      }),
    )
    return { pages, clock }
  }

  function readHistory(header: CallHeader, route: Route, request: quorate.v1.IHistoryRequest, retry: Retry) {
    const key = checkKey(request.key, limits)
    const limit = Math.min(request.limit || limits.historyDefault, limits.historyMax)
    const before = safeInteger('before', request.before) as Timestamp
    const size = { limit, bytesMax: limits.historyBytesMax }
    return reader.history(readOf(header, route, undefined), key, size, before, retry)
  }

  function pageKeysOf(scan: quorate.v1.IScanRequest): number {
    return Math.min(scan.pageKeys || limits.scanPageKeysDefault, limits.scanPageKeysMax)
  }

  /** One write: in the caller's session when it names one, else with others of its tick in the gateway's own. */
  async function writeOne(
    wire: quorate.v1.IRequestHeader | null | undefined,
    write: quorate.v1.IWrite,
    key: Uint8Array,
    bytes: number,
  ): Promise<quorate.v1.IWriteResponse> {
    const header = parse(wire)
    refuseSystemKeyspace(header.keyspace)
    const session = parseSession(wire)
    const route = routeOf(header, key)
    const deadlineMs = deadlineOf(header)
    if (session === undefined) {
      const done = await own.submit(write, bytes, route, header.clock, deadlineMs)
      return { header: responseHeader(route, done.clock), outcome: done.outcome }
    }
    const { number, floor, notAfter } = session
    write.number = number
    const encoded = quorate.v1.WriteBatch.encode({
      session: session.session,
      floor,
      notAfter,
      keyspace: userKeyspace,
      writes: [write],
    }).finish()
    const { clock: seen, hops } = header
    const done = await router.write({ ...route, clock: seen, writes: encoded, hops }, retryUntil(deadlineMs))
    return { header: responseHeader(route, done.clock), outcome: done.outcomes[0] ?? null }
  }

  async function* scan(request: quorate.v1.IScanRequest, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const header = parse(request.header)
    checkBounds(request, limits)
    let span = spanOf(request)
    const limit = limitOf(request)
    // Counting sends no items, so its pages may be as large as pages get.
    const pageKeys = span.countOnly ? limits.scanPageKeysMax : pageKeysOf(request)
    const route = routeOf(header, span.start)
    let read = readOf(header, route, request.options)
    let count = 0
    for (;;) {
      const size = { limit: Math.min(pageKeys, limit - count), bytesMax: limits.scanPageBytesMax }
      const retry = retryUntil(deadlineOf(header), signal)
      const page = must(await reader.scanPage(read, span, size, retry), 'without a budget a page is read')
      count += page.count
      yield encodePage(page, { header: responseHeader(route, page.at), at: page.at, count })
      const { resume } = page
      if (resume === undefined || count >= limit) return
      retry.throwIfCancelled()
      span = span.reverse ? { ...span, end: resume } : { ...span, start: resume }
      // The first page chose the instant; all others read exactly it.
      read = { ...read, kind: 'at', at: page.at }
    }
  }

  return {
    batch,
    async put(request) {
      const op = checkPut(request.op, limits)
      return writeOne(request.header, { put: op }, op.key, op.key.length + op.value.length)
    },
    async delete(request) {
      const key = checkKey(request.op?.key, limits)
      return writeOne(request.header, { delete: { key } }, key, key.length)
    },
    async deleteRange(request) {
      const checked = checkDeleteRange(request.op, limits)
      return writeOne(request.header, { deleteRange: checked.op }, checked.key, checked.bytes)
    },
    async commit(request) {
      const checked = checkCommit(request.op, limits)
      return writeOne(request.header, { commit: checked.op }, checked.key, checked.bytes)
    },
    async get(request, signal) {
      const header = parse(request.header)
      const key = checkKey(request.key, limits)
      const route = routeOf(header, key)
      const read = readOf(header, route, request.options)
      const done = await reader.get(read, [key], retryUntil(deadlineOf(header), signal))
      return { header: responseHeader(route, done.clock), item: { ...done.items[0], key } }
    },
    async history(request, signal) {
      const header = parse(request.header)
      const key = checkKey(request.key, limits)
      const route = routeOf(header, key)
      const done = await readHistory(header, route, request, retryUntil(deadlineOf(header), signal))
      return { header: responseHeader(route, done.clock), items: [...done.items], more: done.more }
    },
    scan,
  }
}

interface Settled<T> {
  readonly value: T | undefined
  readonly error: KvError | undefined
}

function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  return promise.then(
    value => ({ value, error: undefined }),
    (error: unknown) => ({ value: undefined, error: toKvError(error) }),
  )
}

function spanOf(scan: quorate.v1.IScanRequest): ScanSpan {
  return {
    start: scan.start ?? emptyKey,
    end: scan.end ?? emptyKey,
    reverse: scan.reverse ?? false,
    keysOnly: scan.keysOnly ?? false,
    countOnly: scan.countOnly ?? false,
  }
}

/** Of keys in all. */
function limitOf(scan: quorate.v1.IScanRequest): number {
  return safeInteger('limit', scan.limit) || Number.MAX_SAFE_INTEGER
}

/** An encoded ScanResponse. */
function encodePage({ items, resume }: ScanPageDone, rest: quorate.v1.IScanResponse): Buffer {
  // One message: encodings that stand behind each other are merged.
  return Buffer.concat([quorate.v1.ScanResponse.encode({ ...rest, resume: resume ?? emptyKey }).finish(), items])
}

function refuseSystemKeyspace(keyspace: number): void {
  if (keyspace === userKeyspace) return
  throw new KvError('invalid-argument', `clients may not write to keyspace ${keyspace}, only to 0`)
}

function decodeWriteBatch(bytes: Uint8Array): quorate.v1.WriteBatch {
  try {
    return quorate.v1.WriteBatch.decode(bytes)
  } catch (error) {
    throw new KvError('invalid-argument', 'the bytes of `writes` are no WriteBatch', { cause: error })
  }
}
