// How one configuration becomes the next (dissertation 4.3; the joint form with learners is etcd-io/raft's confchange),
// and how a change is written into an entry. Pure: refusals are values, and the same change gives the same configuration
// on every replica.
//
// Encoding, big-endian: version (1 byte, 1), joint (1 byte), number of steps (2 bytes), per step its kind (1 byte) and
// replica (8 bytes), then the context to the end.

import { assert, must, unreachable } from '../base/assert.ts'
import { asReplicaId, type ReplicaId } from '../base/ids.ts'
import { emptyConfiguration, isJoint, sortedIds } from './configuration.ts'
import type { Configuration, ConfigurationChange, ConfigurationStep } from './types.ts'

const formatVersion = 1
const headerBytes = 4
const stepBytes = 9
const jointCodes = ['auto-if-needed', 'auto-leave', 'explicit-leave'] as const
const stepCodes = ['add-voter', 'add-learner', 'remove'] as const

/** Leaves a joint configuration. */
export const leaveJointChange: ConfigurationChange = { steps: [], joint: 'auto-if-needed', context: new Uint8Array(0) }

export type ChangeResult =
  | { readonly kind: 'changed'; readonly configuration: Configuration }
  | { readonly kind: 'refused'; readonly reason: string }

export function changeConfiguration(current: Configuration, change: ConfigurationChange): ChangeResult {
  if (change.steps.length === 0) return leaveJoint(current)
  if (isJoint(current)) return refused('the configuration is joint: leave it first')
  const named = new Set<ReplicaId>()
  for (const step of change.steps) {
    if (!Number.isSafeInteger(step.replica) || step.replica <= 0) return refused('a replica id is a positive integer')
    if (named.has(step.replica)) return refused(`replica ${step.replica} is named twice`)
    named.add(step.replica)
  }
  const joint = change.steps.length > 1 || change.joint !== 'auto-if-needed'
  const outgoing = joint ? current.voters : []
  const voters = new Set(current.voters)
  const learners = new Set(current.learners)
  const learnersNext = new Set<ReplicaId>()
  for (const step of change.steps) takeStep(step, outgoing, voters, learners, learnersNext)
  if (voters.size === 0) return refused('no voter would be left')
  const configuration: Configuration = {
    voters: sortedIds(voters),
    votersOutgoing: outgoing,
    learners: sortedIds(learners),
    learnersNext: sortedIds(learnersNext),
    autoLeave: joint && change.joint !== 'explicit-leave',
  }
  if (isSame(configuration, current)) return refused('it is so already')
  return { kind: 'changed', configuration }
}

function takeStep(
  step: ConfigurationStep,
  outgoing: readonly ReplicaId[],
  voters: Set<ReplicaId>,
  learners: Set<ReplicaId>,
  learnersNext: Set<ReplicaId>,
): void {
  const { replica } = step
  switch (step.kind) {
    case 'add-voter':
      learners.delete(replica)
      voters.add(replica)
      return
    case 'add-learner':
      voters.delete(replica)
      // A voter of the outgoing half votes until the joint configuration is left: it must not be a learner as well.
      if (outgoing.includes(replica)) learnersNext.add(replica)
      else learners.add(replica)
      return
    case 'remove':
      voters.delete(replica)
      learners.delete(replica)
      return
    default:
      unreachable(step)
  }
}

function leaveJoint(current: Configuration): ChangeResult {
  if (!isJoint(current)) return refused('the configuration is not joint')
  const configuration: Configuration = {
    ...emptyConfiguration,
    voters: current.voters,
    learners: sortedIds(new Set([...current.learners, ...current.learnersNext])),
  }
  return { kind: 'changed', configuration }
}

function refused(reason: string): ChangeResult {
  return { kind: 'refused', reason }
}

function isSame(a: Configuration, b: Configuration): boolean {
  return (
    isSameIds(a.voters, b.voters) &&
    isSameIds(a.votersOutgoing, b.votersOutgoing) &&
    isSameIds(a.learners, b.learners) &&
    isSameIds(a.learnersNext, b.learnersNext)
  )
}

function isSameIds(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}

export function encodeConfigurationChange(change: ConfigurationChange): Uint8Array {
  const bytes = new Uint8Array(headerBytes + change.steps.length * stepBytes + change.context.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, formatVersion)
  view.setUint8(1, jointCodes.indexOf(change.joint))
  view.setUint16(2, change.steps.length)
  let offset = headerBytes
  for (const step of change.steps) {
    view.setUint8(offset, stepCodes.indexOf(step.kind))
    view.setBigUint64(offset + 1, BigInt(step.replica))
    offset += stepBytes
  }
  bytes.set(change.context, offset)
  return bytes
}

/** Throws AssertionError on bytes that are no change: applying such an entry stops the replica. */
export function decodeConfigurationChange(bytes: Uint8Array): ConfigurationChange {
  assert(bytes.length >= headerBytes, 'a configuration change is cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  assert(view.getUint8(0) === formatVersion, `a configuration change has unknown version ${view.getUint8(0)}`)
  const joint = must(jointCodes[view.getUint8(1)], 'a configuration change has an unknown joint form')
  const count = view.getUint16(2)
  const contextOffset = headerBytes + count * stepBytes
  assert(bytes.length >= contextOffset, 'a configuration change is cut short')
  const steps: ConfigurationStep[] = []
  for (let offset = headerBytes; offset < contextOffset; offset += stepBytes) {
    const kind = must(stepCodes[view.getUint8(offset)], 'a configuration change has an unknown step')
    steps.push({ kind, replica: asReplicaId(Number(view.getBigUint64(offset + 1))) })
  }
  return { steps, joint, context: bytes.slice(contextOffset) }
}
