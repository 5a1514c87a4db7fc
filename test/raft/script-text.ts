// How replicas, entries and messages are written in the scripts: short, and the same every time.

import { unreachable } from '../../src/base/assert.ts'
import { isJoint } from '../../src/raft/configuration.ts'
import { decodeConfigurationChange } from '../../src/raft/configuration-change.ts'
import type { Configuration, ConfigurationChange, Entry, Raft } from '../../src/raft/types.ts'
import type { Packet } from './host.ts'

/** `4/2 "x"`: index 4 of term 2. */
export function entryText({ index, term, kind, data }: Entry): string {
  const place = `${index}/${term}`
  if (kind === 'empty') return place
  if (kind === 'configuration') return `${place} ${changeText(decodeConfigurationChange(data))}`
  return `${place} "${Buffer.from(data).toString()}"`
}

export function changeText(change: ConfigurationChange): string {
  if (change.steps.length === 0) return 'leave'
  const steps = change.steps.map(step => `${step.kind}=${step.replica}`).join(' ')
  return change.joint === 'auto-if-needed' ? `(${steps})` : `(${steps} ${change.joint})`
}

export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  const parts = [`voters=${voters}`]
  if (isJoint(configuration)) parts[0] += ` & ${votersOutgoing}`
  if (learners.length > 0) parts.push(`learners=${learners}`)
  if (learnersNext.length > 0) parts.push(`learnersNext=${learnersNext}`)
  if (autoLeave) parts.push('autoLeave')
  return parts.join(' ')
}

export function packetText(packet: Packet): string {
  return `${packet.from}->${packet.to} t${packet.term} ${bodyText(packet)}`
}

function bodyText(packet: Packet): string {
  switch (packet.kind) {
    case 'request-vote': {
      const { preVote, lastIndex, lastTerm, transfer } = packet
      return `${preVote ? 'pre-vote?' : 'vote?'} last=${lastIndex}/${lastTerm}${transfer ? ' transfer' : ''}`
    }
    case 'request-vote-response':
      return `${packet.preVote ? 'pre-vote' : 'vote'} ${packet.granted ? 'granted' : 'refused'}`
    case 'append-entries': {
      const { previousIndex, previousTerm, commit, entries } = packet
      return `append after ${previousIndex}/${previousTerm} [${entries.map(entryText).join(', ')}] commit=${commit}`
    }
    case 'append-entries-response': {
      const { index, rejected, hintIndex, hintTerm, held } = packet
      return (rejected ? `rejected after ${index}, hint ${hintIndex}/${hintTerm}` : `matched ${index}`) + heldText(held)
    }
    case 'heartbeat':
      return `heartbeat commit=${packet.commit}${roundText(packet.context)}`
    case 'heartbeat-response':
      return `heartbeat ok${roundText(packet.context)}${heldText(packet.held)}${packet.needsState ? ', state wanted' : ''}`
    case 'timeout-now':
      return 'timeout now'
    case 'read-index-request':
      return `read index? #${packet.context}`
    case 'read-index-response':
      return `read index #${packet.context} ${packet.rejected ? 'refused' : packet.index}`
    case 'install-snapshot':
      return `snapshot wanted from ${packet.snapshot.index}`
    case 'snapshot-stream':
      return `snapshot ${packet.image.applied}/${packet.image.term} ${configurationText(packet.image.configuration)}`
    default:
      return unreachable(packet)
  }
}

function roundText(round: number): string {
  return round === 0 ? '' : ` #${round}`
}

export function statusText(raft: Raft): string {
  const { role, term, leader, vote, commit, applied, lastIndex, configuration, transferTarget, progress } =
    raft.status()
  const lines = [
    `${role} t${term} leader=${leader} vote=${vote} applied=${applied} commit=${commit} last=${lastIndex} ${configurationText(configuration)}`,
  ]
  if (transferTarget !== 0) lines.push(`  handing over to ${transferTarget}`)
  for (const { replica, match, next, state, learner } of progress) {
    lines.push(`  ${replica}: match=${match} next=${next} ${state}${learner ? ' learner' : ''}`)
  }
  return lines.join('\n')
}

function heldText(held = false): string {
  return held ? ' held' : ''
}
