import { describe, expect, it } from 'vitest'
import { asIndex, asNodeId, asRangeId, asReplicaId, asTerm } from '../../src/base/ids.ts'
import type { Replica } from '../../src/range/replica.ts'
import type { SnapshotSpool } from '../../src/range/snapshot-spool.ts'
import { receiveSnapshot } from '../../src/range/snapshot-transfer.ts'
import type { IncomingSnapshot } from '../../src/transport/transport.ts'

const none = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }

function snapshotAt(index: number, term = 7): IncomingSnapshot {
  return {
    node: asNodeId('n1'),
    rangeId: asRangeId(1),
    from: asReplicaId(1),
    to: asReplicaId(2),
    term: asTerm(term),
    meta: { index: asIndex(index), term: asTerm(7), configuration: none },
    descriptor: new Uint8Array(),
    chunks: (async function* () {})(),
  }
}

/** A replica that has applied up to 90, in term 7; what its core was told, and whether a stream was read. */
function createReceiver() {
  const told: number[] = []
  const filled: unknown[] = []
  const replica = {
    isInstalling: false,
    term: asTerm(7),
    state: { appliedIndex: asIndex(90) },
    maybeRestore: (_from: number, _term: number, { index }: { readonly index: number }) => {
      told.push(index)
      return index > 90
    },
    waitApplied: () => Promise.resolve(true),
  } as unknown as Replica
  const spool = { fill: async (chunks: unknown) => void filled.push(chunks) } as unknown as SnapshotSpool
  return { told, filled, receive: (snapshot: IncomingSnapshot) => receiveSnapshot(replica, snapshot, spool, 0) }
}

describe('a snapshot arrives', () => {
  it('is spooled, handed to the core, and installed', async () => {
    const { told, filled, receive } = createReceiver()
    expect(await receive(snapshotAt(91))).toBe(true)
    expect([told, filled.length]).toEqual([[91], 1])
  })

  it('holds nothing new: the core hears of it nevertheless, and tells a leader that lost the answer to the one before', async () => {
    const { told, filled, receive } = createReceiver()
    expect(await receive(snapshotAt(90))).toBe(false)
    expect([told, filled.length]).toEqual([[90], 0])
  })

  it('comes from a leader of the past: nothing is told', async () => {
    const { told, filled, receive } = createReceiver()
    expect(await receive(snapshotAt(91, 6))).toBe(false)
    expect([told, filled.length]).toEqual([[], 0])
  })
})
