import { describe, expect, it } from 'vitest'
import { type NodeId, asIndex, asNodeId, asReplicaId } from '../../src/base/ids.ts'
import type { quorate } from '../../src/proto/quorate.js'
import { configurationOf } from '../../src/raft/configuration.ts'
import type { ProgressStatus, RaftStatus } from '../../src/raft/types.ts'
import { diskRefusal, successorWithRoom } from '../../src/range/disk-refusal.ts'
import type { DiskBand } from '../../src/transport/transport.ts'

const key = Buffer.from('k')
const put: quorate.v1.IWrite = { put: { key } }
const remove: quorate.v1.IWrite = { delete: { key } }
const swap: quorate.v1.IWrite = { commit: { compares: [], then: [{ delete: { key } }], otherwise: [{ put: { key } }] } }
const clear: quorate.v1.IWrite = { commit: { then: [{ delete: { key } }] } }

/** Replica 1 asks; `bands`: of the nodes of replicas 1, 2, … */
function ask(bands: readonly DiskBand[], changes: Partial<ProgressStatus> = {}, learners: readonly number[] = []) {
  const replicas = bands.map((_, at) => at + 1)
  const voters = replicas.filter(replica => !learners.includes(replica)).map(asReplicaId)
  const progress = replicas.map(replica => ({
    replica: asReplicaId(replica),
    match: asIndex(10 + replica),
    next: asIndex(20),
    state: 'replicate' as const,
    recentActive: true,
    silentTicks: 0,
    learner: learners.includes(replica),
    held: false,
    needsState: false,
    ...changes,
  }))
  const status: Partial<RaftStatus> = {
    id: asReplicaId(1),
    configuration: configurationOf(voters, learners.map(asReplicaId)),
    progress,
  }
  const of = (node: NodeId): DiskBand => bands[Number(node.slice(1)) - 1] ?? 'ok'
  const disks = { own: bands[0] ?? 'ok', isShort: bands.some(band => band !== 'ok'), of }
  const nodeOf = (replica: number): NodeId => asNodeId(`n${replica}`)
  const replica = { status: () => status as RaftStatus, nodeOf }
  return {
    kinds: (...writes: readonly quorate.v1.IWrite[]) =>
      writes.map(write => diskRefusal(disks, replica, { writes: [write] }, false)?.kind ?? 'taken'),
    refusal: (write: quorate.v1.IWrite, isInternal = false) =>
      diskRefusal(disks, replica, { writes: [write] }, isInternal),
    empty: () => diskRefusal(disks, replica, { writes: [] }, false)?.kind ?? 'taken',
    successor: () => successorWithRoom(disks, status as RaftStatus, nodeOf),
  }
}

describe('a write', () => {
  it('is taken while there is room', () => {
    expect(ask(['ok', 'ok', 'ok']).kinds(put, remove, swap)).toEqual(['taken', 'taken', 'taken'])
  })

  it('that adds data is refused where the only disk is nearly full; deletions are taken until it is full', () => {
    const low = ask(['low'])
    expect(low.kinds(put, swap, remove, clear)).toEqual(['disk-full', 'disk-full', 'taken', 'taken'])
    expect(low.refusal(put, true)).toBeUndefined()
    const full = ask(['full'])
    expect(full.kinds(put, remove)).toEqual(['disk-full', 'disk-full'])
    expect(full.refusal(put, true)?.kind).toBe('disk-full')
  })

  it('is refused rather than left hanging where no quorum has room for it', () => {
    const low = ask(['ok', 'low', 'full'])
    expect(low.kinds(put, remove)).toEqual(['disk-full', 'taken'])
    expect(ask(['ok', 'full', 'full']).kinds(put, remove)).toEqual(['disk-full', 'disk-full'])
    expect(ask(['ok', 'full', 'ok']).kinds(put, remove)).toEqual(['taken', 'taken'])
    // A learner has no part in it.
    expect(ask(['ok', 'ok', 'full', 'full'], {}, [3, 4]).kinds(put)).toEqual(['taken'])
  })

  it('waits for the leader to hand over where another voter has room', () => {
    expect(ask(['low', 'ok', 'ok']).refusal(put)).toMatchObject({ kind: 'overloaded', queue: 'transfer' })
    expect(ask(['full', 'ok', 'ok'], { recentActive: false }).refusal(put)?.kind).toBe('disk-full')
    expect(ask(['full', 'ok', 'ok'], { held: true }).refusal(put)?.kind).toBe('disk-full')
  })

  it('without operations, by which a read closes an instant, is taken by a leader with a full disk', () => {
    expect(ask(['full', 'ok', 'ok'], { recentActive: false }).empty()).toBe('taken')
    expect(ask(['full', 'full', 'ok']).empty()).toBe('disk-full')
  })

  it('is told which disks, and what goes on', () => {
    expect(ask(['low']).refusal(put)).toMatchObject({
      message: expect.stringMatching(/of the leader.*deletions go on.*reads/),
    })
    expect(ask(['ok', 'low', 'low']).refusal(put)).toMatchObject({ message: expect.stringMatching(/of a majority/) })
  })
})

describe('the successor of a leader without room', () => {
  it('is the voter with room that has most of the log', () => {
    expect(ask(['low', 'ok', 'ok', 'full']).successor()).toBe(3)
    expect(ask(['low', 'ok', 'ok', 'ok'], {}, [4]).successor()).toBe(3)
    expect(ask(['low', 'low', 'full']).successor()).toBeUndefined()
    expect(ask(['low', 'ok'], { state: 'snapshot' }).successor()).toBeUndefined()
  })
})
