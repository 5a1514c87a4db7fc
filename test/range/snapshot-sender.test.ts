import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { asIndex, asNodeId, asRangeId, asReplicaId, asStoreId, asTerm } from '../../src/base/ids.ts'
import type { Replica } from '../../src/range/replica.ts'
import { blankState } from '../../src/range/blank-state.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { LogHolds } from '../../src/range/log-holds.ts'
import { LogRetention } from '../../src/range/log-retention.ts'
import { SnapshotSender } from '../../src/range/snapshot-sender.ts'
import type { OutgoingSnapshot, Transport } from '../../src/transport/transport.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'

const replicaStore = asStoreId('b'.repeat(32))

function createSender(
  whileFlushing: (replica: { isLeader: boolean; term: number }) => void,
  dialledStore = replicaStore,
) {
  const sent: OutgoingSnapshot[] = []
  const reports: boolean[] = []
  const replica = {
    rangeId: asRangeId(1),
    replicaId: asReplicaId(1),
    state: blankState({ rangeId: asRangeId(1), replicaId: asReplicaId(1) }),
    isLeader: true,
    term: asTerm(7),
    memberOf: () => ({ replicaId: asReplicaId(2), node: asNodeId('n2'), storeId: replicaStore }),
    holds: new LogHolds(new LogRetention(1), 1),
    snapshotReported: (_to: number, _index: number, installed: boolean) => reports.push(installed),
  }
  const transport: Pick<Transport, 'sendSnapshot'> = {
    sendSnapshot: async (_to, snapshot) => {
      sent.push(snapshot)
      return true
    },
  }
  const sender = new SnapshotSender({
    logger: pino({ level: 'silent' }),
    limits: defaultLimits,
    transport: transport as Transport,
    storeOf: () => dialledStore,
    onDamaged: () => {},
    flushAndView: async capture => {
      await Promise.resolve()
      whileFlushing(replica)
      return { captured: capture(), view: createMemoryEngine().snapshot() }
    },
  })
  return { sent, reports, send: () => sender.send(replica as unknown as Replica, asReplicaId(2), asTerm(7)) }
}

describe('a snapshot speaks for the leadership that asked for it', () => {
  it('in the term in which it was asked for', async () => {
    const { sent, reports, send } = createSender(() => {})
    await send()
    expect(sent.map(snapshot => [snapshot.term, snapshot.meta.index])).toEqual([[7, asIndex(0)]])
    expect(reports).toEqual([true])
  })

  it('and is not sent once that is lost: nobody may take the sender for the leader of a term that it does not lead', async () => {
    const { sent, reports, send } = createSender(replica => {
      replica.isLeader = false
      replica.term = 8
    })
    await send()
    expect(sent).toEqual([])
    expect(reports).toEqual([false])
  })

  it('and never goes to a store that has taken the name of the one that is meant', async () => {
    const { sent, reports, send } = createSender(() => {}, asStoreId('c'.repeat(32)))
    await send()
    expect(sent).toEqual([])
    expect(reports).toEqual([false])
  })
})
