import { describe, expect, it } from 'vitest'
import { asNodeId, noReplica } from '../../src/base/ids.ts'
import { proposalBytesMax, proposalRefusal } from '../../src/range/proposal-refusal.ts'

const limits = { entryBytes: 100, parse: { requestBytes: 1_000 } }
const n1 = asNodeId('n1')

describe('a proposal that the core refuses', () => {
  it('during a transfer is not sent to the leader that refused it', () => {
    expect(proposalRefusal({ kind: 'transferring' }, 10, limits, n1)).toEqual({
      kind: 'overloaded',
      queue: 'transfer',
      retryAfterMs: 20,
    })
  })

  it('for its size is told the limit by name', () => {
    expect(proposalRefusal({ kind: 'too-large' }, 9_000, limits, n1)).toEqual({
      kind: 'too-large',
      limit: 'entryBytes',
      limitBytes: proposalBytesMax(limits),
      value: 9_000,
    })
  })

  it('for not leading is sent to the leader', () => {
    const refusal = proposalRefusal({ kind: 'not-leader', leader: noReplica }, 10, limits, n1)
    expect(refusal).toEqual({ kind: 'not-leader', leader: 'n1' })
  })
})
