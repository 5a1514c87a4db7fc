// Two processes that speak for one store: what peers let the second one take over, and what they tell it.

import { afterEach, describe, expect, it } from 'vitest'
import { asNodeId } from '../../src/base/ids.ts'
import { until } from '../support/until.ts'
import { type GrpcNode, openGrpcNode, storeOf } from './grpc-world.ts'
import { heartbeat } from './transport-contract.ts'

const n1 = asNodeId('n1')
const opened: GrpcNode[] = []
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close()
})

async function open(...args: Parameters<typeof openGrpcNode>): Promise<GrpcNode> {
  const node = await openGrpcNode(...args)
  opened.push(node)
  return node
}

/** Whether what it says arrives. */
async function untilHeard(by: GrpcNode, speaker: GrpcNode): Promise<void> {
  const before = by.received.length
  await until('it is heard', () => {
    speaker.transport.send(n1, 'control', heartbeat(1))
    return by.received.length > before
  })
}

describe('a second process with the data of a node', () => {
  it('cuts off nothing while the first is heard, is not dialled, and is let in once that is gone', async () => {
    const heardFrom: string[] = []
    // On a busy machine the first may be silent for a while.
    const electionTimeoutMs = 10_000
    const peer = await open('n1', { electionTimeoutMs, heard: record => heardFrom.push(record.peerAddress ?? '') })
    const first = await open('n2', { record: { peerAddress: 'first:1' } })
    const second = await open('n2', { identity: { lineage: [1, 5] }, record: { peerAddress: 'second:1' } })
    first.transport.setPeers([peer.address()])
    await untilHeard(peer, first)
    second.transport.setPeers([peer.address()])
    const refusals = () => second.logger.lines.filter(({ message }) => message.includes('takes over nothing'))
    await until('the second is turned away', () => refusals().length > 0)
    await untilHeard(peer, first)
    expect([...new Set(heardFrom)]).toEqual(['first:1'])
    opened.splice(opened.indexOf(first), 1)
    await first.close()
    await untilHeard(peer, second)
    expect(heardFrom.at(-1)).toBe('second:1')
  })

  it('is told that it is superseded where another copy is recorded, and is not heard', async () => {
    const reasons: string[] = []
    const peer = await open('n1', { knownIncarnation: (_node, store) => (store === storeOf('n2') ? 7 : undefined) })
    const late = await open('n2', { identity: { lineage: [1, 5] }, superseded: reason => reasons.push(reason) })
    late.transport.setPeers([peer.address()])
    await until('it is told', () => reasons.length > 0)
    expect(reasons[0]).toMatch(/n2 .* as incarnation 5, and the cluster has recorded 7 since: .* Run that copy/)
    late.transport.send(n1, 'control', heartbeat(1))
    expect(peer.received).toEqual([])
  })
})
