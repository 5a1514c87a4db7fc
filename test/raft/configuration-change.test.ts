// Configuration changes against a model of plain sets (dissertation 4.3).

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { asReplicaId } from '../../src/base/ids.ts'
import { configurationOf, emptyConfiguration, isJoint } from '../../src/raft/configuration.ts'
import {
  changeConfiguration,
  decodeConfigurationChange,
  encodeConfigurationChange,
} from '../../src/raft/configuration-change.ts'
import type { Configuration, ConfigurationChange } from '../../src/raft/types.ts'

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom('add-voter', 'add-learner', 'remove'),
    replica: fc.integer({ min: 1, max: 7 }).map(asReplicaId),
  }),
  { maxLength: 5 },
)
const changes: fc.Arbitrary<ConfigurationChange> = fc.record({
  steps,
  joint: fc.constantFrom('auto-if-needed', 'auto-leave', 'explicit-leave'),
  context: fc.uint8Array({ maxLength: 20 }),
})

/** Where each replica ends once every joint configuration has been left: the model. */
function goals(configuration: Configuration): Map<number, string> {
  const model = new Map<number, string>()
  for (const id of [...configuration.learners, ...configuration.learnersNext]) model.set(id, 'learner')
  for (const id of configuration.voters) model.set(id, 'voter')
  return model
}

function expectWellFormed(configuration: Configuration): void {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  expect(voters.length).toBeGreaterThan(0)
  for (const half of [voters, votersOutgoing, learners, learnersNext]) {
    expect(half).toEqual([...new Set(half)].sort((a, b) => a - b))
  }
  for (const id of learners) expect([...voters, ...votersOutgoing, ...learnersNext]).not.toContain(id)
  for (const id of learnersNext) {
    expect(votersOutgoing).toContain(id)
    expect(voters).not.toContain(id)
  }
  if (votersOutgoing.length === 0) expect(learnersNext.length === 0 && !autoLeave).toBe(true)
}

describe('a configuration change', () => {
  test('leads where a model of plain sets leads, through joint configurations and out of them', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), sequence => {
        let current = configurationOf([1, 2, 3].map(asReplicaId))
        for (const change of sequence) {
          const result = changeConfiguration(current, change)
          if (result.kind === 'refused') continue
          const expected = goals(current)
          for (const { kind, replica } of change.steps) {
            if (kind === 'remove') expected.delete(replica)
            else expected.set(replica, kind === 'add-voter' ? 'voter' : 'learner')
          }
          expect(goals(result.configuration)).toEqual(expected)
          expectWellFormed(result.configuration)
          // Who voted goes on voting until the joint configuration is left.
          if (isJoint(result.configuration)) expect(result.configuration.votersOutgoing).toEqual(current.voters)
          current = result.configuration
        }
      }),
    )
  })

  test('that is not joint moves at most one voter, so that old and new majorities meet', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), sequence => {
        let current = configurationOf([1, 2, 3, 4].map(asReplicaId))
        for (const change of sequence) {
          const result = changeConfiguration(current, change)
          if (result.kind === 'refused') continue
          const next = result.configuration
          if (!isJoint(current) && !isJoint(next)) {
            const gone = current.voters.filter(id => !next.voters.includes(id)).length
            const come = next.voters.filter(id => !current.voters.includes(id)).length
            expect(gone + come).toBeLessThanOrEqual(1)
          }
          current = next
        }
      }),
    )
  })

  test('of a voter to a learner leaves its vote until the joint configuration is left', () => {
    const start = configurationOf([1, 2, 3].map(asReplicaId))
    const demote = { kind: 'add-learner', replica: asReplicaId(3) } as const
    const joint = changeConfiguration(start, { steps: [demote], joint: 'explicit-leave', context: new Uint8Array(0) })
    expect(joint).toEqual({
      kind: 'changed',
      configuration: { voters: [1, 2], votersOutgoing: [1, 2, 3], learners: [], learnersNext: [3], autoLeave: false },
    })
    if (joint.kind === 'refused') return
    const left = changeConfiguration(joint.configuration, {
      steps: [],
      joint: 'auto-if-needed',
      context: new Uint8Array(0),
    })
    expect(left).toEqual({ kind: 'changed', configuration: { ...emptyConfiguration, voters: [1, 2], learners: [3] } })
  })

  test('comes back from its encoding', () => {
    fc.assert(
      fc.property(changes, change => {
        expect(decodeConfigurationChange(encodeConfigurationChange(change))).toEqual(change)
      }),
    )
  })

  test('of any bytes either decodes or fails by an assertion', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        try {
          const change = decodeConfigurationChange(bytes)
          expect(encodeConfigurationChange(change).length).toBe(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(AssertionError)
        }
      }),
    )
  })
})
