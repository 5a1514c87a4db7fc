import { expect, test } from 'vitest'
import { asIndex, asReplicaId } from '../../src/base/ids.ts'
import { Progress } from '../../src/raft/progress.ts'
import { optionsOf } from './host.ts'

test('a refusal that comes late moves `next` no further back than what the follower is known to have', () => {
  const progress = new Progress(
    optionsOf(asReplicaId(1), () => 0),
    asIndex(10),
  )
  expect(progress.maybeRejectedTo(asIndex(9), asIndex(4))).toBe(true)
  expect(progress.next).toBe(5)
  progress.maybeMatchTo(asIndex(9))
  progress.becomeReplicate()
  progress.becomeProbe()
  progress.maybeRejectedTo(asIndex(9), asIndex(4))
  expect([progress.match, progress.next]).toEqual([9, 10])
})
