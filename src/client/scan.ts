// Scans: pages of one instant. The first travels like gets, in a batch with others, and is all that most scans need; the rest is
// streamed. When a connection breaks in between, the scan goes on at the same instant behind the last key that arrived, so the
// caller sees each key once. Leaving the iterator cancels the call.

import { KvError } from '../base/errors.ts'
import { quorate } from '../proto/quorate.js'
import { copyBytes, keyAfter } from './bytes.ts'
import { cancelledError } from './call-errors.ts'
import { Attempts, becomeReady } from './calls.ts'
import type { Cluster } from './cluster.ts'
import { decodeCallError } from './error-decoding.ts'
import { type MethodName, type ReadOptions, checkCallOptions, isLinearizable, readOptionsMessage } from './options.ts'
import { type ReadLane, pagePatience } from './read-lane.ts'
import { type Span, type SpanOptions, parseSpan } from './span.ts'
import { type PageMessage, type ReadOptionsMessage, type ScanRequestMessage, scanMethod } from './wire.ts'

export interface ScanOptions extends ReadOptions, SpanOptions {
  /** Keys in all; absent or 0: no limit. */
  readonly limit?: number | undefined
  /** From the largest key down. */
  readonly reverse?: boolean | undefined
  /** Leave the values empty. */
  readonly keysOnly?: boolean | undefined
  /** Keys a page, a hint for the server. */
  readonly pageKeys?: number | undefined
}

/** One version of one key. Timestamps are the cluster's: see `timestampToDate`. */
export interface KeyValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** When this version was written. */
  readonly timestamp: number
  /** When the key was written first since it was last absent. */
  readonly created: number
  /** 1 for that first version. */
  readonly version: number
}

interface Position {
  span: Span
  options: ReadOptionsMessage
  /** Keys that were delivered or counted. */
  seen: number
  isDone: boolean
}

type Page = PageMessage
export type FirstPages = ReadLane<ScanRequestMessage, Page>

/**
 * A scan's `timeoutMs` bounds the wait for each page, not the whole: how long the caller takes is its own affair. The
 * options are taken now; what is wrong with them rejects the first `next`.
 */
export function scanKeys(
  cluster: Cluster,
  firstPages: FirstPages,
  method: MethodName,
  options: ScanOptions,
): AsyncGenerator<KeyValue, void, undefined> {
  let parsed: ParsedScan | undefined
  let fault: unknown
  try {
    parsed = parseScan(cluster, method, options)
  } catch (error) {
    fault = error
  }
  return scanItems(cluster, firstPages, parsed, fault)
}

async function* scanItems(
  cluster: Cluster,
  firstPages: FirstPages,
  parsed: ParsedScan | undefined,
  fault: unknown,
): AsyncGenerator<KeyValue, void, undefined> {
  if (parsed === undefined) throw fault
  for await (const page of scanPages(cluster, parsed, firstPages)) {
    for (const item of page.items) {
      yield {
        key: copyBytes(item.key ?? noKey),
        value: copyBytes(item.value ?? noKey),
        timestamp: item.timestamp ?? 0,
        created: item.created ?? 0,
        version: item.version ?? 0,
      }
    }
  }
}

const noKey = new Uint8Array(0)

export async function countKeys(cluster: Cluster, method: MethodName, options: ScanOptions): Promise<number> {
  const pages = scanPages(cluster, parseScan(cluster, method, options), undefined)
  for (;;) {
    const step = await pages.next()
    if (step.done) return step.value
  }
}

interface ParsedScan {
  readonly options: Omit<ScanOptions, keyof SpanOptions | 'at'>
  readonly readOptions: ReadOptionsMessage
  /** undefined: no key lies in it. */
  readonly span: Span | undefined
}

/** Throws KvError `invalid-argument`. */
function parseScan(cluster: Cluster, method: MethodName, options: ScanOptions): ParsedScan {
  checkCallOptions(method, options)
  return {
    options: { ...options },
    readOptions: readOptionsMessage(method, options, cluster.observed.token),
    span: parseSpan(method, options),
  }
}

/** Yields pages; returns how many keys were seen. `firstPages`: undefined: keys are only counted, which takes no pages. */
async function* scanPages(
  cluster: Cluster,
  { options, readOptions, span }: ParsedScan,
  firstPages: FirstPages | undefined,
): AsyncGenerator<Page, number, undefined> {
  if (span === undefined) return 0
  const position: Position = { span, options: readOptions, seen: 0, isDone: false }
  const limit = options.limit ?? 0
  const reverse = options.reverse ?? false
  const countOnly = firstPages === undefined
  if (firstPages !== undefined) {
    const page = await firstPageOf(firstPages, position, options)
    advance(cluster, position, page, 0, false, reverse)
    if (page.items.length > 0) yield page
    if (position.isDone || (limit > 0 && position.seen >= limit)) return position.seen
  }
  // Under way while a page is waited for, and not while the consumer takes its time.
  using operation = new Presence(cluster)
  operation.enter()
  let attempts = new Attempts(cluster, options)
  await becomeReady(cluster, attempts.deadlineMs, options.signal)
  for (;;) {
    const nowMs = cluster.clock.monotonicMs()
    const { routes } = cluster
    const address = isLinearizable(position.options) ? cluster.pickLeader(nowMs, attempts.count) : routes.pickAny(nowMs)
    const request = {
      header: cluster.header(Math.max(1, attempts.deadlineMs - nowMs)),
      start: position.span.start,
      end: position.span.end,
      options: position.options,
      limit: limit === 0 ? 0 : limit - position.seen,
      reverse,
      keysOnly: options.keysOnly ?? false,
      countOnly,
      pageKeys: options.pageKeys ?? 0,
    }
    const before = position.seen
    const stream = new PageStream(cluster, address, request, options.signal)
    try {
      while (!stream.isResting) {
        const page = await stream.next(
          Math.min(cluster.settings.attemptTimeoutMs * pagePatience, attempts.deadlineMs - cluster.clock.monotonicMs()),
        )
        if (page === undefined) return position.seen
        advance(cluster, position, page, before, countOnly, reverse)
        if (!countOnly && page.items.length > 0) {
          operation.leave()
          yield page
          operation.enter()
        }
        if (position.isDone || (limit > 0 && position.seen >= limit)) return position.seen
        attempts = new Attempts(cluster, options)
      }
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      await attempts.next(error, address)
    } finally {
      stream.cancel()
    }
  }
}

function firstPageOf(
  firstPages: FirstPages,
  { span, options: readOptions }: Position,
  options: ParsedScan['options'],
): Promise<Page> {
  const { limit, reverse, keysOnly, pageKeys } = options
  const request = {
    ...span,
    limit: limit ?? 0,
    reverse: reverse ?? false,
    keysOnly: keysOnly ?? false,
    pageKeys: pageKeys ?? 0,
  }
  return firstPages.submit(request, span.start.length + span.end.length, readOptions, options, page => page)
}

function advance(
  cluster: Cluster,
  position: Position,
  page: Page,
  before: number,
  countOnly: boolean,
  reverse: boolean,
): void {
  position.seen = countOnly ? before + page.count : position.seen + page.items.length
  if (page.at > 0 && page.at !== position.options.at) {
    // From here on, whoever serves the rest serves it at this instant.
    cluster.observed.tokenTo(page.at)
    position.options = { kind: quorate.v1.ReadKind.READ_KIND_AT, at: page.at }
  }
  const last = page.items[page.items.length - 1]?.key
  const { start, end } = position.span
  if (page.resume.length > 0) {
    const resume = copyBytes(page.resume)
    position.span = reverse ? { start, end: resume } : { start: resume, end }
  } else if (last && !countOnly) {
    position.span = reverse ? { start, end: copyBytes(last) } : { start: keyAfter(last), end }
  }
  // An empty `resume` means that the span is done, but the server may still send its last, empty page.
  position.isDone = page.resume.length === 0
}

/** Whether a scan counts among the operations under way. */
class Presence implements Disposable {
  readonly #cluster: Cluster
  #isIn = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  enter(): void {
    if (!this.#isIn) this.#cluster.enter()
    this.#isIn = true
  }

  leave(): void {
    if (this.#isIn) this.#cluster.leave()
    this.#isIn = false
  }

  [Symbol.dispose](): void {
    this.leave()
  }
}

/**
 * One call; pulls page after page, so that a slow consumer slows the server by flow control. It would keep the process alive
 * as well, so it ends when the consumer is so slow that the client is idle; another call goes on where this one was.
 */
class PageStream {
  readonly #cluster: Cluster
  readonly #address: string
  readonly #call
  readonly #pages: AsyncIterator<Page>
  readonly #signal: AbortSignal | undefined
  readonly #staysAwake: () => void
  #whyCancelled: KvError | undefined
  #isResting = false

  constructor(
    cluster: Cluster,
    address: string,
    request: quorate.v1.ScanRequest.$Properties,
    signal: AbortSignal | undefined,
  ) {
    this.#cluster = cluster
    this.#address = address
    this.#signal = signal
    this.#call = cluster.scanConnection(address).serverStream(scanMethod, request)
    // Errors that nobody waits for (the caller left) must not end the process.
    this.#call.on('error', () => undefined)
    this.#pages = this.#call[Symbol.asyncIterator]() as AsyncIterator<Page>
    this.#staysAwake = cluster.whenIdle(() => {
      this.#isResting = true
      this.#call.cancel()
    })
  }

  get isResting(): boolean {
    return this.#isResting
  }

  async next(timeoutMs: number): Promise<Page | undefined> {
    const signal = this.#signal
    const onAbort = (): void => {
      if (signal !== undefined) this.#cancelBecause(cancelledError(signal))
    }
    if (signal?.aborted) throw cancelledError(signal)
    signal?.addEventListener('abort', onAbort)
    const timer = this.#cluster.clock.setTimer(Math.max(1, timeoutMs), () => {
      this.#cancelBecause(
        new KvError('unavailable', `no page from ${this.#address} within ${Math.round(timeoutMs)} ms`),
      )
    })
    try {
      const step = await this.#pages.next()
      if (step.done) return undefined
      this.#cluster.answered(this.#address, step.value.header)
      return step.value
    } catch (error) {
      throw this.#whyCancelled ?? decodeCallError(error, this.#address)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #cancelBecause(error: KvError): void {
    this.#whyCancelled ??= error
    this.#call.cancel()
  }

  cancel(): void {
    this.#staysAwake()
    this.#call.cancel()
  }
}
