import { describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { asNodeId, asStoreId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { MoveJudge, type StoreSpeaker } from '../../src/range/move-judge.ts'
import { NodeRegistry, registryKey } from '../../src/range/node-registry.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const n1 = asNodeId('n1')
const n2 = asNodeId('n2')
const storeId = asStoreId('ab'.repeat(16))
const clusterId = 'cd'.repeat(16)

const speaker = (...lineage: number[]): StoreSpeaker => ({ node: n2, storeId, clusterId, lineage })
const hello = (node: string, store: string, ...lineage: number[]): quorate.v1.IHello => ({
  node,
  storeId: Buffer.from(store, 'hex'),
  clusterId: Buffer.from(clusterId, 'hex'),
  lineage,
})
const recorded = (incarnation: number) =>
  quorate.v1.NodeRecord.encode({
    id: 'n2',
    storeId: Buffer.from(storeId, 'hex'),
    peerAddress: 'old:1',
    incarnation,
  }).finish()

interface Surroundings {
  readonly ownHello: quorate.v1.IHello
  readonly override: string
  readonly heardAs: number
}

/** Who answers where; `ownHello`: the leader's. Nobody at any other address. */
function judgeOf(
  incarnation: number | undefined,
  found: Record<string, quorate.v1.IHello> = {},
  { ownHello = hello('n1', 'ef'.repeat(16), 1), override, heardAs }: Partial<Surroundings> = {},
) {
  const registry = new NodeRegistry(() => {})
  if (incarnation !== undefined) registry.applied(registryKey(n2), recorded(incarnation))
  const asked: string[] = []
  const judge = new MoveJudge({
    clock: systemClock,
    registry,
    peers: {
      identify: async address => {
        asked.push(address)
        const answer = found[address]
        if (answer === undefined) throw new KvError('unavailable', 'nobody')
        return answer
      },
    },
    heardAs: () => heardAs,
    ownHello: () => ownHello,
    overrides: new Map(override === undefined ? [] : [[n2, override]]),
  })
  return { judge, asked }
}

describe('whether a store has moved, or runs twice', () => {
  it('is not asked where nothing is recorded, or just that', async () => {
    for (const incarnation of [undefined, 5]) {
      const { judge, asked } = judgeOf(incarnation, { 'old:1': hello('n2', storeId, 5) })
      expect((await judge.judge(speaker(5))).kind).toBe('record')
      expect(asked).toEqual([])
    }
  })

  it('is recorded when nobody answers where it was, or somebody else, or it itself', async () => {
    const others = [undefined, hello('n3', 'ee'.repeat(16), 1), hello('n2', storeId, 5, 9)]
    for (const answer of others) {
      const { judge, asked } = judgeOf(5, answer && { 'old:1': answer })
      const verdict = await judge.judge(speaker(5, 9))
      expect(verdict.kind === 'record' && Buffer.from(verdict.expected.stored ?? [])).toEqual(recorded(5))
      expect(asked).toEqual(['old:1'])
    }
  })

  it('is the twin when its store answers where it was, also where only the operator knows that', async () => {
    for (const [address, override] of [['old:1'], ['proxy:1', 'proxy:1']] as const) {
      const { judge } = judgeOf(5, { [address]: hello('n2', storeId, 5) }, override ? { override } : {})
      const verdict = await judge.judge(speaker(5, 9))
      expect(verdict).toMatchObject({ kind: 'refused', code: 'twin' })
      expect(verdict.kind === 'refused' && verdict.message).toContain(`store ${storeId} of n2 answers at ${address}`)
    }
  })

  it('is the twin of the leader itself, though nobody answers where that is', async () => {
    const { judge } = judgeOf(5, {}, { ownHello: hello('n2', storeId, 5) })
    expect(await judge.judge(speaker(5, 9))).toMatchObject({ kind: 'refused', code: 'twin' })
  })

  it('is not recorded while it is heard from where it was, though nobody answers there', async () => {
    expect((await judgeOf(5, {}, { heardAs: 5 }).judge.judge(speaker(5, 9))).kind).toBe('later')
    expect((await judgeOf(5, {}, { heardAs: 9 }).judge.judge(speaker(5, 9))).kind).toBe('record')
  })

  it('is refused when another copy of it is recorded, whoever answers', async () => {
    const { judge, asked } = judgeOf(7)
    expect(await judge.judge(speaker(5, 9))).toMatchObject({ kind: 'refused', code: 'superseded' })
    expect(asked).toEqual([])
    expect(judge.superseded({ ...speaker(5, 9), node: n1 })).toBeUndefined()
  })
})
