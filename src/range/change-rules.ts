// Whether a change of members is safe to propose now. Raft itself would take any: it is committed by those who vote before it,
// and may leave a range to voters of whom no majority lives (etcd's strict reconfiguration check). Values only.
//
// A joint configuration is judged when it is entered, and not again when it is left: while it lasts both halves must agree, so
// whoever would decide after it decides already, and to stay would help nobody.

import type { ReplicaId } from '../base/ids.ts'
import { changeConfiguration } from '../raft/configuration-change.ts'
import type { ConfigurationChange, ProgressStatus, RaftStatus } from '../raft/types.ts'

export interface ChangeRules {
  /** A voter or learner counts as live if it was heard less than so many ticks ago. */
  readonly heardWithinTicks: number
  /** Entries behind what is committed, up to which it counts as caught up. */
  readonly lagMax: number
  readonly nameOf: (replica: ReplicaId) => string
}

/** Why the leader whose status this is must not propose the change now, and what to do instead. The core judges the rest. */
export function changeRefusal(status: RaftStatus, change: ConfigurationChange, rules: ChangeRules): string | undefined {
  const changed = changeConfiguration(status.configuration, change)
  if (changed.kind === 'refused') return undefined
  const { voters, votersOutgoing } = changed.configuration
  // Those who decide are the same as now, and it is they who have to commit it.
  if (votersOutgoing.length === 0 && String(voters) === String(status.configuration.voters)) return undefined
  for (const step of change.steps) {
    if (step.kind !== 'add-voter') continue
    const isQuarantined = status.progress.some(item => item.replica === step.replica && item.needsState)
    const trouble = isQuarantined ? quarantined : troubleOf(status, step.replica, rules)
    if (trouble !== undefined)
      return `${rules.nameOf(step.replica)} cannot vote yet: it ${trouble}. ${remedyFor([trouble])}, and try again`
  }
  return minorityOf(status, voters, rules) ?? minorityOf(status, votersOutgoing, rules)
}

/** What stands in the way of a majority of these voters; undefined: nothing. */
function minorityOf(status: RaftStatus, voters: readonly ReplicaId[], rules: ChangeRules): string | undefined {
  const troubles = voters.flatMap(voter => {
    const trouble = troubleOf(status, voter, rules)
    return trouble === undefined ? [] : [{ voter, trouble }]
  })
  const needed = (voters.length >> 1) + 1
  if (voters.length === 0 || voters.length - troubles.length >= needed) return undefined
  const names = voters.map(rules.nameOf).join(', ')
  const what = troubles.map(({ voter, trouble }) => `${rules.nameOf(voter)} ${trouble}`).join(', ')
  return `the range would be left without a majority: of the voters ${names} it would need ${needed}, and ${what}. ${remedyFor(troubles.map(({ trouble }) => trouble))}, or remove first who is down, and try again`
}

const isSilent = 'does not answer'
/** Its log counts towards a quorum, so it stands in nobody's way; but a voter should be able to lead. */
const quarantined = 'is quarantined, and is being rebuilt from its peers'

function troubleOf(status: RaftStatus, replica: ReplicaId, rules: ChangeRules): string | undefined {
  if (replica === status.id) return undefined
  const progress: ProgressStatus | undefined = status.progress.find(item => item.replica === replica)
  if (progress === undefined || progress.silentTicks >= rules.heardWithinTicks) return isSilent
  if (progress.state === 'snapshot' || progress.match === 0 || progress.match + rules.lagMax < status.commit)
    return `has not caught up (at entry ${progress.match} of ${status.commit}; ${rules.lagMax} behind would do)`
  return undefined
}

function remedyFor(troubles: readonly string[]): string {
  return troubles.includes(isSilent) ? 'Start it again, or mend its network' : 'Wait until it has caught up'
}
