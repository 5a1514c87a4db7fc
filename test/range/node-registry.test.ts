import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { asNodeId } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { NodeRegistry, registryKey } from '../../src/range/node-registry.ts'

const n1 = asNodeId('n1')
const n2 = asNodeId('n2')
const record = (id: string, peerAddress: string): quorate.v1.INodeRecord => ({ id, peerAddress })
const encoded = (id: string, peerAddress: string): Uint8Array =>
  quorate.v1.NodeRecord.encode(record(id, peerAddress)).finish()

describe('the registry of nodes', () => {
  it('takes what a joining node is told, until it has applied better', () => {
    const registry = new NodeRegistry(() => {})
    registry.seed([record('n1', 'told:1')])
    expect(registry.record(n1)?.peerAddress).toBe('told:1')
    registry.applied(registryKey(n1), encoded('n1', 'applied:1'))
    registry.seed([record('n1', 'told:2'), record('n2', 'told:2')])
    expect(registry.record(n1)?.peerAddress).toBe('applied:1')
    expect(registry.record(n2)?.peerAddress).toBe('told:2')
  })

  it('does not bring back by hearsay a node whose removal was applied', () => {
    const registry = new NodeRegistry(() => {})
    registry.applied(registryKey(n1), encoded('n1', 'applied:1'))
    registry.applied(registryKey(n1), undefined)
    registry.seed([record('n1', 'told:1')])
    expect(registry.record(n1)).toBeUndefined()
  })

  const stored = (id: string, store: string): quorate.v1.INodeRecord => ({
    ...record(id, `${store}:1`),
    storeId: Buffer.from(store.repeat(16).slice(0, 16)),
  })
  const dialled = (registry: NodeRegistry): string[] => registry.addresses().map(({ peerAddress }) => peerAddress)

  it('dials a node that joined anew as it introduces itself, until its own record is applied', () => {
    const registry = new NodeRegistry(() => {})
    registry.applied(registryKey(n1), quorate.v1.NodeRecord.encode(stored('n1', 'a')).finish())
    registry.heard(stored('n1', 'b'), [1])
    expect(dialled(registry)).toEqual(['b:1'])
    expect(registry.record(n1)?.peerAddress).toBe('a:1')
    registry.applied(registryKey(n1), quorate.v1.NodeRecord.encode(stored('n1', 'b')).finish())
    registry.heard(stored('n1', 'a'), [1])
    expect(dialled(registry)).toEqual(['b:1'])
  })

  const moved = (incarnation: number, peerAddress: string): quorate.v1.INodeRecord => ({
    ...stored('n1', 'a'),
    incarnation,
    peerAddress,
  })
  const apply = (registry: NodeRegistry, incarnation: number, peerAddress: string): void =>
    registry.applied(registryKey(n1), quorate.v1.NodeRecord.encode(moved(incarnation, peerAddress)).finish())

  it('dials a node that has moved where it says, until its move is recorded, or that of another copy', () => {
    for (const recorded of [9, 7]) {
      const registry = new NodeRegistry(() => {})
      apply(registry, 5, 'old:1')
      registry.heard(moved(9, 'new:1'), [5, 9])
      expect(dialled(registry)).toEqual(['new:1'])
      expect(registry.incarnation(n1, must(registry.storeId(n1)))).toBe(5)
      apply(registry, recorded, 'recorded:1')
      expect(dialled(registry)).toEqual(['recorded:1'])
    }
  })

  it('keeps to what a node says of itself while older moves of it are applied', () => {
    const registry = new NodeRegistry(() => {})
    apply(registry, 5, 'old:1')
    registry.heard(moved(12, 'newest:1'), [9, 12])
    apply(registry, 7, 'older:1')
    apply(registry, 9, 'newer:1')
    expect(dialled(registry)).toEqual(['newest:1'])
  })

  it('does not go back to a place that a node has left, nor to that of a copy', () => {
    const registry = new NodeRegistry(() => {})
    apply(registry, 9, 'new:1')
    registry.heard(moved(5, 'old:1'), [5])
    registry.heard(moved(8, 'copy:1'), [5, 8])
    expect(dialled(registry)).toEqual(['new:1'])
  })

  it('knows whom to answer before anything is applied, and forgets who was removed', () => {
    const registry = new NodeRegistry(() => {})
    registry.heard(stored('n2', 'c'), [1])
    expect(dialled(registry)).toEqual(['c:1'])
    registry.applied(registryKey(n2), quorate.v1.NodeRecord.encode(stored('n2', 'c')).finish())
    registry.applied(registryKey(n2), undefined)
    registry.heard(stored('n2', 'c'), [1])
    expect(dialled(registry)).toEqual([])
  })
})
