// Applies one entry: each operation is evaluated here, in order, the same on every replica (DESIGN.md 3, step 5). It reads
// the entry and the range's state and nothing else: no clock, no configuration, no node id.
//
// Synchronous as long as nothing must be scanned and its turn is not over, so that a common entry costs no promise. Where
// there is more, it gives way between two operations, never within one: whoever reads in between sees the state after the
// one and before the other, which is a state that the log has. The entry's stamps count only once all of it is applied, so
// reads of an instant see all of it or nothing.

import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import type { Index, Keyspace, Term } from '../base/ids.ts'
import { quorate } from '../proto/quorate.js'
import { type Timestamp, asTimestamp } from '../time/timestamp.ts'
import { applyCommit } from './commit.ts'
import { applyDeleteRange } from './delete-range.ts'
import type { ApplyContext, ApplyTurn, OperationContext } from './effect.ts'
import { type EntryHeader, decodeEntry } from './entry.ts'
import { keyOperationsOf } from '../base/key-operations.ts'
import { applyDelete, applyPut } from './put.ts'
import type { RangeState } from './range-state.ts'
import { type FullQueue, sessionName } from './sessions.ts'

export type RequestResult =
  | { readonly kind: 'done'; readonly outcomes: readonly quorate.v1.IOutcome[] }
  /** Routed by another generation; nothing of it ran, and no outcome is kept. */
  | { readonly kind: 'range-mismatch' }
  /** Its session is new and the table full, or it keeps too many outcomes. Likewise. */
  | { readonly kind: 'full'; readonly queue: FullQueue }

export interface ApplyResult {
  readonly requests: readonly RequestResult[]
}

/** `decoded`: the requests as the proposer decoded them, so that it does not do so twice. Throws on what it does not know. */
export function applyEntry(
  context: ApplyContext,
  index: Index,
  term: Term,
  data: Uint8Array,
  decoded?: readonly quorate.v1.WriteBatch[],
): ApplyResult | Promise<ApplyResult> {
  const entry = decodeEntry(data)
  const { header } = entry
  context.state.stage(header.firstTimestamp, header.closed, header.closed)
  // By the entry's own stamps, never by a clock: so every replica ends the same sessions at the same entry.
  for (const id of context.state.sessions.endPassed(header.firstTimestamp)) context.state.hashIn(crc32(id))
  const finish = (requests: readonly RequestResult[]): ApplyResult => {
    context.state.advance(index, term)
    return { requests }
  }
  if (entry.kind === 'threshold') {
    if (entry.threshold > context.state.threshold) context.state.threshold = entry.threshold
    return finish([])
  }
  if (entry.kind === 'checksum') {
    const result = finish([])
    context.onChecksum?.(index)
    return result
  }
  // Routed by another generation: what it meant for this range may be another's now (DESIGN.md 11).
  if (header.generation !== context.state.generation)
    return finish(entry.requests.map(() => ({ kind: 'range-mismatch' })))
  // Before it is decoded: that takes its part of the turn.
  context.turn.spend(0)
  const batches = decoded ?? entry.requests.map(request => quorate.v1.WriteBatch.decode(request))
  return applyBatches(context, index, header, batches, finish)
}

function applyBatches(
  context: ApplyContext,
  index: Index,
  header: EntryHeader,
  batches: readonly quorate.v1.WriteBatch[],
  finish: (requests: readonly RequestResult[]) => ApplyResult,
): ApplyResult | Promise<ApplyResult> {
  const results: RequestResult[] = []
  let stamp: number = header.firstTimestamp
  const pendingAt = (from: number): ApplyResult | Promise<ApplyResult> => {
    for (let at = from; at < batches.length; at++) {
      const batch = batches[at]!
      const first = asTimestamp(stamp)
      stamp += batch.writes.length
      const result = applyBatch(context, index, batch, first)
      if (result instanceof Promise)
        return result.then(settled => {
          results.push(settled)
          return pendingAt(at + 1)
        })
      results.push(result)
    }
    assert(stamp - header.firstTimestamp === header.operations, 'every operation of an entry has its stamp')
    return finish(results)
  }
  return pendingAt(0)
}

function applyBatch(
  context: ApplyContext,
  index: Index,
  batch: quorate.v1.WriteBatch,
  first: Timestamp,
): RequestResult | Promise<RequestResult> {
  const operation: OperationContext = { ...context, index, keyspace: batch.keyspace as Keyspace }
  const session = batch.session.length > 0 ? sessionName(batch.session) : undefined
  const { sessions } = context.state
  const queue = session === undefined ? undefined : sessions.admit(session, batch, first)
  if (queue !== undefined) {
    context.state.hashIn(refusedHash)
    return { kind: 'full', queue }
  }
  const outcomes: quorate.v1.IOutcome[] = []
  const settle = (write: quorate.v1.IWrite, outcome: quorate.v1.IOutcome): void => {
    if (session !== undefined) sessions.record(session, batch, write.number ?? 0, outcome)
    hashOutcome(context.state, outcome)
    outcomes.push(outcome)
  }
  context.versions.warm(
    operation.keyspace,
    batch.writes.flatMap(write => write.put?.key ?? []),
  )
  const { turn } = context
  const from = (start: number, hasWaited: boolean): RequestResult | Promise<RequestResult> => {
    for (let at = start; at < batch.writes.length; at++) {
      if (turn.isOver && !(hasWaited && at === start)) return inNextTurn(turn, () => from(at, true))
      const write = batch.writes[at]!
      turn.spend(keyOperationsOf(write))
      const stamp = asTimestamp(first + at)
      if (session !== undefined) {
        const verdict = sessions.judge(session, write.number ?? 0, batch.notAfter, stamp)
        if (verdict.kind !== 'run') {
          outcomes.push(
            verdict.kind === 'known' ? verdict.outcome : { kind: quorate.v1.OutcomeKind.OUTCOME_KIND_TOO_LATE },
          )
          continue
        }
      }
      const outcome = applyWrite(operation, write, stamp)
      if (outcome instanceof Promise)
        return outcome.then(settled => {
          settle(write, settled)
          return from(at + 1, false)
        })
      settle(write, outcome)
    }
    return { kind: 'done', outcomes }
  }
  return from(0, false)
}

function inNextTurn<Result>(turn: ApplyTurn, work: () => Result | Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    turn.next(() => {
      try {
        resolve(work())
      } catch (error) {
        reject(error as Error)
      }
    })
  })
}

function applyWrite(
  context: OperationContext,
  write: quorate.v1.IWrite,
  stamp: Timestamp,
): quorate.v1.IOutcome | Promise<quorate.v1.IOutcome> {
  if (write.put) return applyPut(context, write.put, stamp)
  if (write.delete) return applyDelete(context, write.delete, stamp)
  if (write.deleteRange) return applyDeleteRange(context, write.deleteRange, stamp)
  if (write.commit) return applyCommit(context, write.commit, stamp)
  assert(false, 'an operation of an unknown kind: it needs a newer program')
}

/** What no outcome comes to: those have a kind. */
const refusedHash = 0xffff_ffff

function hashOutcome(state: RangeState, outcome: quorate.v1.IOutcome): void {
  state.hashIn(((outcome.kind ?? 0) << 24) ^ (outcome.deleted ?? 0) ^ ((outcome.failedCompare ?? 0) << 16))
}
