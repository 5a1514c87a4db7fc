import { describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { createFakeCluster } from '../support/fake-cluster.ts'

describe('a write', () => {
  it('goes on while a leader whose state is damaged hands over, and others still name it', async () => {
    const { at, state } = createFakeCluster(['n1', 'n2', 'n3'])
    const damaged = { kind: 'damaged', message: 'quarantined' } as const
    const stillN1 = { kind: 'not-leader', leader: asNodeId('n1') } as const
    at('n1').store.writeAnswers.push(damaged, damaged)
    at('n2').store.writeAnswers.push(stillN1)
    at('n3').store.writeAnswers.push(stillN1)
    await at('n1').gateway.put({ op: { key: Buffer.from('a'), value: Buffer.from('1') } })
    expect(state.versions('a')).toHaveLength(1)
  })
})
