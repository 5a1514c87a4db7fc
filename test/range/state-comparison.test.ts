import { describe, expect, it } from 'vitest'
import { type ReplicaId, asIndex, asReplicaId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import { StateComparison } from '../../src/range/state-comparison.ts'

const first = asIndex(1_024)

/** As many replicas as there are, and what passes between them unless it is lost. */
function createReplicas(count: number) {
  const ids = Array.from({ length: count }, (_, at) => asReplicaId(at + 1))
  const silent = new Set<ReplicaId>()
  const found: string[] = []
  let nowMs = 0
  let told = 0
  const comparisons = new Map<ReplicaId, StateComparison>()
  for (const self of ids)
    comparisons.set(
      self,
      new StateComparison({
        self,
        answerMs: 10_000,
        nowMs: () => nowMs,
        configuration: () => configurationOf(ids),
        nodeOf: replica => `n${replica}`,
        tell: (to, index, hash, isAnswer) => {
          told++
          if (!silent.has(self) && !silent.has(to)) comparisons.get(to)?.heard(self, index, hash, isAnswer)
        },
        onMinority: index => found.push(`${self} differs at ${index}`),
        onDisagreement: reason => found.push(`${self} ${reason === undefined ? 'goes on' : 'stops'}`),
      }),
    )
  const of = (id: number): StateComparison => comparisons.get(asReplicaId(id)) as StateComparison
  return {
    found,
    silent,
    of,
    told: () => told,
    pass: (ms: number) => {
      nowMs += ms
      for (const [id, comparison] of comparisons) if (!silent.has(id)) comparison.tick()
    },
  }
}

describe('replicas that compare their states', () => {
  it('find out who is in the minority, each for itself', () => {
    const { found, of } = createReplicas(3)
    of(1).reached(first, 'a')
    of(2).reached(first, 'b')
    expect(found).toEqual([])
    of(3).reached(first, 'a')
    expect(found).toContain('2 differs at 1024')
    expect(found.filter(text => !text.startsWith('2 '))).toEqual([])
    expect([of(1).comparedIndex, of(1).describe()]).toEqual([first, 'another state on n2'])
  })

  it('never count an answer that did not come as equal', () => {
    const { found, silent, of, pass } = createReplicas(3)
    silent.add(asReplicaId(2)).add(asReplicaId(3))
    of(1).reached(first, 'a')
    expect(of(1).describe()).toBe('being compared')
    pass(11_000)
    expect([of(1).describe(), of(1).comparedIndex]).toEqual(['could not compare: no answer from n2, n3', 0])
    silent.delete(asReplicaId(2))
    of(2).reached(first, 'a')
    pass(1_000)
    expect([of(1).describe(), of(1).comparedIndex]).toEqual(['could not compare with n3', first])
    expect(found).toEqual([])
  })

  it('ask again what was lost, for a while', () => {
    const { silent, of, pass, told } = createReplicas(3)
    silent.add(asReplicaId(3))
    for (const id of [1, 2, 3]) of(id).reached(first, 'a')
    expect(of(1).describe()).toBe('being compared')
    silent.clear()
    pass(1_500)
    expect([1, 2, 3].map(id => of(id).describe())).toEqual(['equal', 'equal', 'equal'])
    const before = told()
    for (let second = 0; second < 100; second++) pass(1_000)
    expect(told()).toBe(before)
    silent.add(asReplicaId(3))
    of(1).reached(asIndex(2_048), 'b')
    of(2).reached(asIndex(2_048), 'b')
    for (let second = 0; second < 200; second++) pass(1_000)
    expect(told() - before).toBeLessThan(150)
  })

  it('stop when most have answered and none agree, and go on once a majority does', () => {
    const { found, silent, of, pass } = createReplicas(3)
    silent.add(asReplicaId(3))
    of(1).reached(first, 'a')
    of(2).reached(first, 'b')
    // The third may still decide it.
    expect(found).toEqual([])
    pass(11_000)
    expect(found).toEqual(['1 stops', '2 stops'])
    pass(120_000)
    silent.clear()
    of(3).reached(first, 'a')
    expect(found).toContain('1 goes on')
    expect(found).toContain('2 differs at 1024')
    expect(found).not.toContain('2 goes on')
  })

  it('keep the hashes of a few indexes, whoever sends them how many', () => {
    const { of, told } = createReplicas(2)
    for (let number = 1; number <= 100; number++) of(1).heard(asReplicaId(2), asIndex(number * 1_024), 'a', false)
    of(1).reached(asIndex(50 * 1_024), 'a')
    expect(told()).toBe(0)
    of(1).reached(asIndex(100 * 1_024), 'a')
    expect(of(1).describe()).toBe('equal')
  })
})
