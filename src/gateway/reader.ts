// Reads, through the replica on this node. A replica that is no leader asks its leader for a read index by itself, so a
// read leaves the node only when there is no replica on it. Scans are pages of one instant.

import type { AnswerBudget } from '../base/answer-budget.ts'
import { type ErrorCode, KvError, isKvError } from '../base/errors.ts'
import type { Keyspace, NodeId, RangeId } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import type { GetAnswer, HistoryAnswer, LocalStore, ReadKind, Refusal, ScanPageAnswer } from '../range/local-store.ts'
import type { Clock } from '../time/clock.ts'
import { type Timestamp, timestampMax, timestampZero } from '../time/timestamp.ts'
import type { ClusterView, PeerClient } from './cluster-view.ts'
import { otherNodes } from './other-nodes.ts'
import { type AddressOf, errorFromMessage, isTransfer, refusalToError } from './refusal-error.ts'
import type { Retry } from './retry.ts'

export interface RoutedRead {
  readonly rangeId: RangeId
  readonly generation: number
  readonly keyspace: Keyspace
  readonly kind: ReadKind
  readonly at: Timestamp
  readonly clock: Timestamp
  readonly hops: number
}

export interface ScanSpan {
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly reverse: boolean
  readonly keysOnly: boolean
  readonly countOnly: boolean
}

export interface PageSize {
  readonly limit: number
  readonly bytesMax: number
}

type GetDone = Extract<GetAnswer, { kind: 'done' }>
export type ScanPageDone = Extract<ScanPageAnswer, { kind: 'done' }>
type HistoryDone = Extract<HistoryAnswer, { kind: 'done' }>

interface ReaderOptions {
  readonly store: LocalStore
  readonly peers: PeerClient
  readonly view: ClusterView
  readonly clock: Clock
  readonly addressOf: AddressOf
}

const repeatable: ReadonlySet<ErrorCode> = new Set(['not-leader', 'unavailable', 'draining', 'unknown-outcome'])

export class Reader {
  readonly #options: ReaderOptions

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  /** Of the first keys, and of all unless the budget was spent. */
  get(read: RoutedRead, keys: readonly Uint8Array[], retry: Retry, budget?: AnswerBudget): Promise<GetDone> {
    const { store } = this.#options
    const request = { ...withoutRoute(read), ...callerOf(retry), keys, budget }
    return this.#ask(
      read,
      retry,
      () => store.get(request),
      target => this.#forwardGet(target, read, keys, retry),
    )
  }

  /** undefined: the budget was spent before there was anything of the page. Without one there always is a page. */
  async scanPage(
    read: RoutedRead,
    span: ScanSpan,
    size: PageSize,
    retry: Retry,
    budget?: AnswerBudget,
  ): Promise<ScanPageDone | undefined> {
    const { store } = this.#options
    const request = { ...withoutRoute(read), ...callerOf(retry), ...span, ...size, budget }
    const page = await this.#ask<ScanPageDone | { readonly kind: 'not-read' }>(
      read,
      retry,
      () => store.scanPage(request),
      target => this.#forwardScan(target, read, span, size.limit, retry, budget),
    )
    return page.kind === 'done' ? page : undefined
  }

  history(read: RoutedRead, key: Uint8Array, size: PageSize, before: Timestamp, retry: Retry): Promise<HistoryDone> {
    const { store } = this.#options
    const request = { ...withoutRoute(read), ...callerOf(retry), ...size, key, before: before || timestampMax }
    return this.#ask(
      read,
      retry,
      () => store.history(request),
      target => this.#forwardHistory(target, read, { key, limit: size.limit, before }, retry),
    )
  }

  /** Throws KvError. `elsewhere` asks another node when this one holds no replica, or one whose state is not to be trusted. */
  async #ask<Done extends { readonly kind: 'done' | 'not-read' }>(
    read: RoutedRead,
    retry: Retry,
    here: () => Promise<Done | Refusal>,
    elsewhere: (target: NodeId) => Promise<Done>,
  ): Promise<Done> {
    for (;;) {
      let error: KvError
      const answer = await here()
      if (answer.kind === 'done' || answer.kind === 'not-read') return answer as Done
      const refusal = answer as Refusal
      error = refusalToError(refusal, this.#options.addressOf)
      const mayOthers = refusal.kind === 'no-replica' || refusal.kind === 'damaged'
      if (mayOthers && read.hops === 0) {
        try {
          return await this.#askOthers(read, elsewhere)
        } catch (thrown) {
          if (!(thrown instanceof KvError)) throw thrown
          error = thrown
        }
      }
      if (read.hops > 0 || (!repeatable.has(error.code) && !isTransfer(error))) throw error
      if (!(await retry.maybeAgain())) throw new KvError('unavailable', error.message, { cause: error })
    }
  }

  /** One node after the other, as long as those asked say that their replica is damaged. */
  async #askOthers<Done>(read: RoutedRead, ask: (target: NodeId) => Promise<Done>): Promise<Done> {
    const { store, view } = this.#options
    const asked = new Set<NodeId>()
    let error = new KvError('unavailable', 'no other node with a replica of the range is known')
    for (;;) {
      const [target] = otherNodes(store, view, read.rangeId, asked)
      if (target === undefined) throw error
      asked.add(target)
      try {
        return await ask(target)
      } catch (thrown) {
        if (!isKvError(thrown, 'damaged')) throw thrown
        error = thrown
      }
    }
  }

  async #forwardGet(target: NodeId, read: RoutedRead, keys: readonly Uint8Array[], retry: Retry): Promise<GetDone> {
    const response = await this.#forward(target, read, { gets: [...keys] }, retry)
    const timestamp = (response.header?.clock ?? timestampZero) as Timestamp
    return { kind: 'done', items: response.items ?? [], clock: timestamp }
  }

  /** A page of another node's may be shorter than one of this one's: it says where to go on. */
  async #forwardScan(
    target: NodeId,
    read: RoutedRead,
    { start, end, reverse, keysOnly, countOnly }: ScanSpan,
    limit: number,
    retry: Retry,
    budget: AnswerBudget | undefined,
  ): Promise<ScanPageDone | { readonly kind: 'not-read' }> {
    if (budget?.isSpent === true) return { kind: 'not-read' }
    const scan = { start, end, reverse, keysOnly, countOnly, limit, pageKeys: Math.min(limit, 0xffff_ffff) }
    const response = await this.#forward(target, read, { scans: [scan] }, retry)
    const page = response.pages?.[0]
    // Decoded, it would be the end of the span.
    if (page === undefined || page.length === 0) throw new KvError('unavailable', `${target} read nothing of a page`)
    budget?.take(page.length)
    const { items, count, at, resume } = quorate.v1.ScanResponse.decode(page)
    return {
      kind: 'done',
      items: Buffer.from(quorate.v1.ScanResponse.encode({ items }).finish()),
      count,
      at: at as Timestamp,
      resume: resume.length === 0 ? undefined : resume,
    }
  }

  async #forwardHistory(
    target: NodeId,
    read: RoutedRead,
    history: quorate.v1.IHistoryRequest,
    retry: Retry,
  ): Promise<HistoryDone> {
    const response = await this.#forward(target, read, { history }, retry)
    const clock = (response.header?.clock ?? timestampZero) as Timestamp
    const { history: page } = response
    if (!page) throw new KvError('unavailable', `${target} read nothing of the history`)
    return { kind: 'done', items: page.items ?? [], more: page.more ?? false, clock }
  }

  async #forward(
    target: NodeId,
    read: RoutedRead,
    asked: Pick<quorate.v1.IBatchRequest, 'gets' | 'scans' | 'history'>,
    retry: Retry,
  ): Promise<quorate.v1.IBatchResponse> {
    const { peers, clock } = this.#options
    const request: quorate.v1.IBatchRequest = {
      header: {
        clock: read.clock,
        timeoutMs: Math.max(1, Math.floor(retry.remainingMs())),
        keyspace: read.keyspace,
        rangeId: read.rangeId,
        generation: read.generation,
        hops: 1,
      },
      ...asked,
      options: { kind: readKindToWire[read.kind], at: read.at },
    }
    const response = await peers.forward(target, request, clock.monotonicMs() + retry.remainingMs())
    if (response.error) throw errorFromMessage(response.error)
    return response
  }
}

function callerOf({ deadlineMs, signal }: Retry) {
  return { deadlineMs, signal }
}

function withoutRoute(read: RoutedRead) {
  const { rangeId, keyspace, kind, at, clock } = read
  return { rangeId, keyspace, kind, at, clock }
}

const { ReadKind: WireReadKind } = quorate.v1

const readKindToWire: Readonly<Record<ReadKind, quorate.v1.ReadKind>> = {
  linearizable: WireReadKind.READ_KIND_LINEARIZABLE,
  stale: WireReadKind.READ_KIND_STALE,
  at: WireReadKind.READ_KIND_AT,
  session: WireReadKind.READ_KIND_SESSION,
}

/** undefined: a kind that this version does not know. */
export function readKindFromWire(kind: quorate.v1.ReadKind | null | undefined): ReadKind | undefined {
  switch (kind ?? WireReadKind.READ_KIND_LINEARIZABLE) {
    case WireReadKind.READ_KIND_LINEARIZABLE:
      return 'linearizable'
    case WireReadKind.READ_KIND_STALE:
      return 'stale'
    case WireReadKind.READ_KIND_AT:
      return 'at'
    case WireReadKind.READ_KIND_SESSION:
      return 'session'
    default:
      return undefined
  }
}
