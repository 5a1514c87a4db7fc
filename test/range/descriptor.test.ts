// What a change of members leaves in the range's descriptor.

import { describe, expect, it } from 'vitest'
import { asIndex, asNodeId, asRangeId, asReplicaId, asStoreId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import {
  type RangeDescriptor,
  decodeDescriptor,
  encodeChangeContext,
  encodeDescriptor,
  isRemovedReplica,
  withConfiguration,
} from '../../src/range/descriptor.ts'

const [n1, n2, n3] = [1, 2, 3].map(number => ({
  replicaId: asReplicaId(number),
  node: asNodeId(`n${number}`),
  storeId: asStoreId(String(number).repeat(32)),
})) as [RangeDescriptor['replicas'][0], RangeDescriptor['replicas'][0], RangeDescriptor['replicas'][0]]

const three: RangeDescriptor = {
  rangeId: asRangeId(1),
  start: new Uint8Array(0),
  end: new Uint8Array(0),
  generation: 1,
  configuration: 4,
  replicas: [n1, n2, n3],
  nextReplicaId: asReplicaId(4),
}
const removal = { ...n2, atMs: 1_790_000_000_000, index: 0, readmitted: false }
const withoutN2 = withConfiguration(
  three,
  configurationOf([n1.replicaId, n3.replicaId]),
  encodeChangeContext({ removed: removal }),
  asIndex(57),
)

describe('the descriptor', () => {
  it('remembers the store that was removed last, and the entry that removed it', () => {
    expect(withoutN2.removed).toEqual({ ...removal, index: 57 })
    expect(decodeDescriptor(encodeDescriptor(withoutN2))).toEqual(withoutN2)
    const later = withConfiguration(withoutN2, configurationOf([n1.replicaId]), new Uint8Array(0), asIndex(60))
    expect(later.removed).toEqual(withoutN2.removed)
  })

  it('forgets it once the same node is back', () => {
    const incoming = { ...n2, replicaId: asReplicaId(4) }
    const configuration = configurationOf([n1.replicaId, n3.replicaId], [incoming.replicaId])
    const back = withConfiguration(withoutN2, configuration, encodeChangeContext({ incoming }), asIndex(70))
    expect(back.removed).toBeUndefined()
    expect(back.replicas).toEqual([n1, n3, incoming])
    expect(back.nextReplicaId).toBe(5)
  })

  it('tells a replica that was removed from one that it does not know yet', () => {
    expect(isRemovedReplica(withoutN2, n2.replicaId)).toBe(true)
    expect(isRemovedReplica(withoutN2, n1.replicaId)).toBe(false)
    expect(isRemovedReplica(withoutN2, asReplicaId(4))).toBe(false)
    expect(isRemovedReplica({ ...withoutN2, replicas: [], nextReplicaId: asReplicaId(1) }, n1.replicaId)).toBe(false)
  })
})
