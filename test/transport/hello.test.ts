import { describe, expect, it } from 'vitest'
import { type NodeId, type StoreId, asClusterId, asNodeId } from '../../src/base/ids.ts'
import type { quorate } from '../../src/proto/quorate.js'
import { createHello, idBytes, judgeHello as judge } from '../../src/transport/hello.ts'
import type { HelloPurpose } from '../../src/transport/hello.ts'
import type { Identity } from '../../src/transport/transport.ts'
import { clusterId, storeOf } from './grpc-world.ts'

const identityOf = (name: string): Identity => ({
  node: asNodeId(name),
  storeId: storeOf(name),
  clusterId,
  lineage: [1],
})
const n1 = identityOf('n1')
const n2 = identityOf('n2')
const helloOf = (identity: Identity, to: Identity | undefined = n2) =>
  createHello(
    { identity: () => identity, record: () => ({ id: identity.node, storeId: idBytes(identity.storeId) }) },
    to,
  )
const unknown = () => undefined
const judgeHello = (
  hello: quorate.v1.IHello,
  self: Identity,
  knownStore: (node: NodeId) => StoreId | undefined,
  purpose?: HelloPurpose,
) => judge(hello, { identity: () => self, knownStore }, purpose)
const otherCluster = asClusterId('d'.repeat(32))

describe('a Hello', () => {
  it('of a member to the node and store it means is welcome', () => {
    expect(judgeHello(helloOf(n1), n2, unknown)).toEqual({ kind: 'welcome', speaker: n1 })
    expect(judgeHello(helloOf(n1), n2, () => n1.storeId).kind).toBe('welcome')
  })

  it.each([
    ['another cluster', helloOf({ ...n1, clusterId: otherCluster }), 'wrong-cluster', /belongs to cluster d+/],
    ['another node', helloOf(n1, identityOf('n3')), 'wrong-cluster', /means to reach n3 here, but this is n2/],
    ['a former store', helloOf(n1, { ...n2, storeId: storeOf('old') }), 'wrong-cluster', /was wiped or moved/],
    ['no cluster', helloOf({ ...n1, clusterId: undefined }), 'not-initialised', /has to join/],
    ['our own name', helloOf({ ...n2, storeId: n1.storeId }), 'wrong-cluster', /a name of its own/],
    ['a newer protocol', { ...helloOf(n1), protocolMin: 3, protocolMax: 4 }, 'invalid-argument', /upgrade the older/],
    ['a bad name', { ...helloOf(n1), node: 'N 1' }, 'invalid-argument', /no valid node/],
    ['a short store id', { ...helloOf(n1), storeId: Uint8Array.of(1) }, 'invalid-argument', /not 16 bytes/],
    ['no incarnation', { ...helloOf(n1), lineage: [] }, 'invalid-argument', /no incarnation of its store/],
    ['nothing at all', {}, 'invalid-argument', /protocol/],
  ])('with %s is refused, with the reason', (_what, hello, code, reason) => {
    const verdict = judgeHello(hello, n2, unknown)
    expect(verdict).toMatchObject({ kind: 'refused', code, refusal: expect.stringMatching(reason) })
  })

  it('of a name that is registered with another store is refused, but for a join, or when it names our store', () => {
    const hello = { ...helloOf(n1), toStoreId: new Uint8Array(0) }
    const verdict = judgeHello(hello, n2, () => storeOf('former'))
    expect(verdict).toMatchObject({ kind: 'refused', code: 'wrong-cluster' })
    expect(judgeHello(hello, n2, () => storeOf('former'), 'join').kind).toBe('welcome')
    expect(judgeHello(helloOf(n1), n2, () => storeOf('former')).kind).toBe('welcome')
  })

  it('of an incarnation that does not descend from the recorded one is refused, but for a join and for another store', () => {
    const context = (recorded: number) => ({
      identity: () => n2,
      knownStore: unknown,
      knownIncarnation: (_node: NodeId, store: StoreId) => (store === n1.storeId ? recorded : undefined),
    })
    const moved = helloOf({ ...n1, lineage: [5, 9] })
    for (const recorded of [3, 5, 9]) expect(judge(moved, context(recorded)).kind, String(recorded)).toBe('welcome')
    for (const recorded of [6, 10])
      expect(judge(moved, context(recorded))).toMatchObject({
        code: 'superseded',
        refusal: expect.stringMatching(
          /n1 .* speaks as incarnation 9, and the cluster has recorded \d+ since.*Run that/,
        ),
      })
    expect(judge(moved, context(6), 'join').kind).toBe('welcome')
    expect(judge(helloOf({ ...n1, storeId: storeOf('new'), lineage: [1] }), context(6)).kind).toBe('welcome')
  })

  it('of a node in no cluster may ask to join, but one of another cluster may not', () => {
    expect(judgeHello(helloOf({ ...n1, clusterId: undefined }), n2, unknown, 'join').kind).toBe('welcome')
    expect(judgeHello(helloOf({ ...n1, clusterId: otherCluster }), n2, unknown, 'join').kind).toBe('refused')
  })

  it('to a node that waits to be let in must name its store', () => {
    const waiting: Identity = { ...n2, clusterId: undefined }
    expect(judgeHello(helloOf(n1), waiting, unknown).kind).toBe('welcome')
    const anybody = { ...helloOf(n1), toNode: '', toStoreId: new Uint8Array(0) }
    expect(judgeHello(anybody, waiting, unknown)).toMatchObject({ kind: 'refused', code: 'not-initialised' })
  })
})
