// What goes wrong where disks run full, as edits.

import { manyClients } from './conditions.ts'
import type { Mutant } from './mutant.ts'

export const roomMutants: readonly Mutant[] = [
  {
    name: 'full-follower-takes-entries',
    rows: [],
    does: 'A follower takes entries, however full its disk is.',
    edits: [
      {
        file: 'src/raft/follower.ts',
        find: 'return isIntakeHeld || log.unappliedBytes >',
        replace: 'return (isIntakeHeld && log.lastIndex < 0) || log.unappliedBytes >',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['disk-fills'], overrides: manyClients },
  },
  {
    name: 'disk-full-for-ever',
    rows: [],
    does: 'A node whose disk was full once refuses everything until it is restarted.',
    edits: [
      {
        file: 'src/range/disk-room.ts',
        find: 'if (isAbove(hard + reserve, before !==',
        replace: "if (before === 'full') return before\n  if (isAbove(hard + reserve, before !==",
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['disk-fills'], overrides: manyClients },
  },
  {
    name: 'puts-below-the-reserve',
    rows: [],
    does: 'A leader takes what adds data as long as deletions are taken.',
    edits: [
      {
        file: 'src/range/disk-refusal.ts',
        find: "band === 'ok' || (band === 'low' && need !== 'data')",
        replace: "band === 'ok' || (band === 'low' && need !== undefined)",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/disk-refusal.test.ts' },
  },
  {
    name: 'full-quorum-hangs',
    rows: [],
    does: 'A leader that has room takes writes that no quorum has room for.',
    edits: [
      {
        file: 'src/range/disk-refusal.ts',
        find: 'if (!isQuorum(status.configuration,',
        replace: 'if (need === undefined && !isQuorum(status.configuration,',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/disk-refusal.test.ts' },
  },
]
