// What is durable, against a disk that is written in order (RAFT-BUGS 15).

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import { Unstable } from '../../src/raft/unstable.ts'

interface Write {
  readonly first: number
  readonly terms: readonly number[]
  readonly coreTerm: number
}

const actions = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('write'),
      back: fc.nat(3),
      count: fc.integer({ min: 1, max: 3 }),
      isNewTerm: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('flush') }),
  ),
  { maxLength: 40 },
)

test('never more is durable than the disk shares with the log, and all of it once every write is reported', () => {
  fc.assert(
    fc.property(actions, fc.boolean(), (sequence, namesEntryTerm) => {
      const unstable = new Unstable(asIndex(0))
      const log: number[] = []
      const disk: number[] = []
      const writes: Write[] = []
      let term = 1
      const flush = (): void => {
        const write = writes.shift()
        if (write === undefined) return
        disk.length = write.first - 1
        disk.push(...write.terms)
        const last = write.first + write.terms.length - 1
        const named = namesEntryTerm ? (write.terms.at(-1) ?? 0) : write.coreTerm
        unstable.durableTo(asIndex(last), asTerm(named), asIndex(log.length))
      }
      for (const action of sequence) {
        if ('back' in action) {
          if (action.isNewTerm) term++
          const first = Math.max(1, log.length + 1 - action.back)
          // Entries of this term, or, as when a leader brings old ones back, of any before it.
          const entryTerm = action.count === 2 ? Math.max(1, term - 2) : term
          const terms = Array<number>(action.count).fill(Math.max(entryTerm, log[first - 2] ?? 1))
          log.length = first - 1
          log.push(...terms)
          writes.push({ first, terms, coreTerm: term })
          unstable.handedOver(asIndex(first), asIndex(log.length), asTerm(terms.at(-1) ?? 0), asTerm(term))
        } else flush()
        let shared = 0
        while (shared < log.length && disk[shared] === log[shared]) shared++
        expect(unstable.durable).toBeLessThanOrEqual(shared)
      }
      while (writes.length > 0) flush()
      expect(unstable.durable).toBe(log.length)
      expect(unstable.hasUnreported).toBe(false)
    }),
    { numRuns: 500 },
  )
})
