// Every known bug of the list that applies today, as a mutant; and the rows that none can stand for, with the reason.

import { boundMutants } from './mutants/bounds.ts'
import { diskMutants } from './mutants/disks.ts'
import { electionMutants } from './mutants/elections.ts'
import { historyMutants } from './mutants/history.ts'
import { moveMutants } from './mutants/moves.ts'
import type { Mutant, Unapplied } from './mutants/mutant.ts'
import { quarantineMutants } from './mutants/quarantine.ts'
import { readMutants } from './mutants/reads-and-sessions.ts'
import { replicationMutants } from './mutants/replication.ts'
import { roomMutants } from './mutants/room.ts'
import { sessionMutants } from './mutants/sessions.ts'
import { snapshotMutants } from './mutants/snapshots.ts'

export const mutants: readonly Mutant[] = [
  ...electionMutants,
  ...replicationMutants,
  ...snapshotMutants,
  ...quarantineMutants,
  ...diskMutants,
  ...roomMutants,
  ...historyMutants,
  ...readMutants,
  ...sessionMutants,
  ...moveMutants,
  ...boundMutants,
]

export const unapplied: readonly Unapplied[] = [
  { rows: [26], why: 'one snapshot is under way at a time, into one spool: there are none to be kept or reaped' },
  { rows: [43], why: 'there are no client leases yet' },
  { rows: [44], why: 'there are no watches yet' },
  { rows: [46, 57, 58, 59, 61], why: 'ranges do not split or merge yet' },
  { rows: [48, 62, 63, 65, 66], why: 'there are no transactions, intents or locks yet' },
  { rows: [50], why: 'each range has its own heartbeats: none are shared by a pair of nodes yet' },
  { rows: [0], why: 'ranges do not fall quiet yet' },
]
