import { describe, expect, it } from 'vitest'
import { asIndex, asNodeId, asTerm } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { WriteAnswer } from '../../src/range/local-store.ts'
import { type PendingWrite, Proposals, answerOnce } from '../../src/range/proposals.ts'

function createWrite(
  bytes: number,
  deadlineMs = 1_000,
  keyOperations = 1,
): PendingWrite & { readonly answers: WriteAnswer[] } {
  const answers: WriteAnswer[] = []
  return {
    writes: new Uint8Array(bytes),
    batch: quorate.v1.WriteBatch.create({}),
    operations: 1,
    keyOperations,
    deadlineMs,
    answer: answerOnce(answer => answers.push(answer)),
    answers,
  }
}

describe('proposals', () => {
  it('takes as many writes as fit in one entry, and at least one', () => {
    const proposals = new Proposals()
    for (const bytes of [400, 500, 300]) proposals.enqueue(createWrite(bytes))
    expect(
      proposals.takeForEntry({ entryBytes: 1_000, entryKeyOperations: 100 }).map(write => write.writes.length),
    ).toEqual([400, 500])
    expect(proposals.waitingBytes).toBe(300)
    expect(proposals.takeForEntry({ entryBytes: 1, entryKeyOperations: 100 }).length).toBe(1)
    expect(proposals.waitingBytes).toBe(0)
  })

  it('takes as many writes as touch few enough keys, and at least one', () => {
    const proposals = new Proposals()
    for (const keys of [40, 60, 1, 500]) proposals.enqueue(createWrite(10, 1_000, keys))
    expect(
      proposals.takeForEntry({ entryBytes: 1_000, entryKeyOperations: 100 }).map(write => write.keyOperations),
    ).toEqual([40, 60])
    expect(proposals.waitingBytes).toBe(20)
    expect(
      proposals.takeForEntry({ entryBytes: 1_000, entryKeyOperations: 100 }).map(write => write.keyOperations),
    ).toEqual([1])
    expect(
      proposals.takeForEntry({ entryBytes: 1_000, entryKeyOperations: 100 }).map(write => write.keyOperations),
    ).toEqual([500])
    expect(proposals.waitingBytes).toBe(0)
  })

  it('gives the writes of an entry back when it is applied in the term that proposed it', () => {
    const proposals = new Proposals()
    const write = createWrite(10)
    proposals.proposed(asIndex(7), asTerm(3), [write])
    expect(proposals.takeApplied(asIndex(6), asTerm(3), undefined)).toBeUndefined()
    expect(proposals.takeApplied(asIndex(7), asTerm(3), undefined)).toEqual([write])
    expect(proposals.isIdle).toBe(true)
  })

  it('answers not-leader when another term’s entry took the index: the write was certainly not applied', () => {
    const proposals = new Proposals()
    const write = createWrite(10)
    proposals.proposed(asIndex(7), asTerm(3), [write])
    expect(proposals.takeApplied(asIndex(7), asTerm(4), asNodeId('n2'))).toBeUndefined()
    expect(write.answers).toEqual([{ kind: 'not-leader', leader: 'n2' }])
  })

  it('a lost leadership leaves what was proposed unknown, and what only waited unapplied', () => {
    const proposals = new Proposals()
    const [proposed, waiting] = [createWrite(10), createWrite(10)]
    proposals.proposed(asIndex(7), asTerm(3), [proposed])
    proposals.enqueue(waiting)
    proposals.leadershipLost(asNodeId('n3'))
    expect(proposed.answers).toEqual([{ kind: 'unknown-outcome' }])
    expect(waiting.answers).toEqual([{ kind: 'not-leader', leader: 'n3' }])
  })

  it('a replica that stops in the middle of an entry leaves its writes unknown, once', () => {
    const proposals = new Proposals()
    const writes = [createWrite(10), createWrite(10)]
    proposals.proposed(asIndex(7), asTerm(3), writes)
    proposals.takeApplied(asIndex(7), asTerm(3), undefined)?.[0]?.answer({ kind: 'range-mismatch', generation: 2 })
    proposals.stop({ kind: 'damaged', message: 'a poison entry' })
    expect(writes.map(write => write.answers)).toEqual([
      [{ kind: 'range-mismatch', generation: 2 }],
      [{ kind: 'unknown-outcome' }],
    ])
  })

  it('a deadline passes for writes whose entry is being applied as well', () => {
    const proposals = new Proposals()
    const write = createWrite(10, 50)
    proposals.proposed(asIndex(7), asTerm(3), [write])
    proposals.takeApplied(asIndex(7), asTerm(3), undefined)
    proposals.expire(50)
    expect(write.answers).toEqual([{ kind: 'unknown-outcome' }])
  })

  it('a deadline answers once, and applying later answers nothing more', () => {
    const proposals = new Proposals()
    const write = createWrite(10, 50)
    proposals.proposed(asIndex(7), asTerm(3), [write])
    proposals.expire(49)
    expect(write.answers).toEqual([])
    proposals.expire(50)
    const writes = proposals.takeApplied(asIndex(7), asTerm(3), undefined)
    for (const applied of writes ?? []) applied.answer({ kind: 'done', outcomes: [], clock: 0 as never })
    expect(write.answers).toEqual([{ kind: 'unknown-outcome' }])
  })
})
