import fc from 'fast-check'
import { expect, test } from 'vitest'
import { asIndex } from '../../src/base/ids.ts'
import { Inflights } from '../../src/raft/inflights.ts'

test('the window holds what a plain list of what was sent would hold', () => {
  const actions = fc.array(fc.record({ isSend: fc.boolean(), amount: fc.integer({ min: 1, max: 50 }) }), {
    maxLength: 60,
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 120 }),
      actions,
      (countMax, bytesMax, sequence) => {
        const inflights = new Inflights(countMax, bytesMax)
        let model: { last: number; bytes: number }[] = []
        let sent = 0
        for (const { isSend, amount } of sequence) {
          const bytes = model.reduce((sum, item) => sum + item.bytes, 0)
          expect(inflights.isFull).toBe(model.length >= countMax || bytes >= bytesMax)
          if (isSend && !inflights.isFull) {
            sent += 1 + (amount % 3)
            inflights.add(asIndex(sent), amount)
            model.push({ last: sent, bytes: amount })
          } else {
            const acked = sent - (amount % 5)
            inflights.freeTo(asIndex(acked))
            model = model.filter(item => item.last > acked)
          }
          expect(inflights.count).toBe(model.length)
        }
      },
    ),
  )
})
