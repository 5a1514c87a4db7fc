// Known bugs of log replication and of membership (rows 10 to 23), as edits of the core.

import { membersAndCrashes, smallIntake, thinAppends } from './conditions.ts'
import type { Mutant } from './mutant.ts'

const follower = 'src/raft/follower.ts'
const leadership = 'src/raft/leadership.ts'
const raftLog = 'src/raft/raft-log.ts'

export const replicationMutants: readonly Mutant[] = [
  {
    name: 'empty-appends-overtake',
    rows: [76],
    does: 'Appends without entries go on another channel, overtake those with some, and are refused.',
    edits: [
      {
        file: 'src/transport/transport.ts',
        find: "message.kind === 'append-entries' ? 'append' : 'control'",
        replace: "message.kind === 'append-entries' && message.entries.length > 0 ? 'append' : 'control'",
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['thin-append'], overrides: thinAppends },
  },
  {
    name: 'large-message-taken-for-silence',
    rows: [76],
    does: 'A stream is given up while a large message is on its way over a thin link, and then sent again, for ever.',
    edits: [
      {
        file: 'src/transport/dialed-stream.ts',
        find: 'const patienceMs = silenceMs + attempt.largestBytes / bytesPerMsMin\n',
        replace: 'const patienceMs = bytesPerMsMin > 0 ? silenceMs : 0\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/transport/peer-links.test.ts', name: 'is not taken for dead' },
  },
  {
    name: 'probes-flood-a-thin-link',
    rows: [76],
    does: 'Each heartbeat that is answered sends the same entries again, for as long as they are on their way.',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'pushAppend(state, to, progress, !progress.nudge)',
        replace: 'pushAppend(state, to, progress, true)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/thin-links.test.ts' },
  },
  {
    name: 'purged-taken-for-conflict',
    rows: [10],
    does: 'An append that begins below what was truncated is taken for a conflict, and committed entries go.',
    edits: [
      {
        file: follower,
        find: 'if (previousIndex < log.commit) {',
        replace: 'if (previousIndex < log.commit && entries.length === 0) {',
      },
      {
        file: follower,
        find: 'if (!log.matches(previousIndex, previousTerm)) {',
        replace: 'if (log.term(previousIndex) !== undefined && !log.matches(previousIndex, previousTerm)) {',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'read-error-sends-nothing',
    rows: [11],
    does: 'A leader that cannot read an entry sends an append without it, as if there were none.',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'const entries = withEntries ? log.entries(progress.next, options.appendBytesMax) : noEntries\n',
        replace:
          'let entries = noEntries\n  try {\n    if (withEntries) entries = log.entries(progress.next, options.appendBytesMax)\n  } catch {\n    entries = noEntries\n  }\n',
      },
      {
        file: 'src/raft/replication.ts',
        find: 'entries.length === 0 || entries[0]?.index === progress.next',
        replace: 'true',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'read-error' },
  },
  {
    name: 'malformed-append-taken',
    rows: [11],
    does: 'A follower takes an append with a gap.',
    edits: [{ file: follower, find: '  if (!isWellFormed(message)) return\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'an append with a gap' },
  },
  {
    name: 'follower-takes-without-bound',
    rows: [],
    does: 'A follower that applies slowly takes in whatever its leader sends.',
    edits: [
      {
        file: follower,
        find: 'return isIntakeHeld || log.unappliedBytes > options.unappliedBytesMax',
        replace: 'return isIntakeHeld || log.unappliedBytes > 2 ** options.unappliedBytesMax',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['slow-engine'], overrides: smallIntake },
  },
  {
    name: 'step-down-truncates',
    rows: [12],
    does: 'Whoever campaigns first drops what it does not know to be committed, acknowledged or not.',
    edits: [
      {
        file: raftLog,
        find: '  #truncateFrom(index: Index): void {\n',
        replace:
          '  dropFrom(index: Index): void {\n    this.#truncateFrom(index)\n  }\n\n  #truncateFrom(index: Index): void {\n',
      },
      {
        file: 'src/raft/raft.ts',
        find: "    state.role = 'pre-candidate'\n",
        replace:
          "    state.role = 'pre-candidate'\n    const { commit, lastIndex } = this.#log\n    if (commit < lastIndex) this.#log.dropFrom(asIndex(commit + 1))\n",
      },
    ],
    caughtBy: { kind: 'sim', seed: 3 },
  },
  {
    name: 'next-below-match',
    rows: [13],
    does: 'A late refusal moves `next` below what the follower is known to have.',
    edits: [
      {
        file: 'src/raft/progress.ts',
        find: 'this.#nextTo(asIndex(Math.max(Math.min(rejected, hint + 1), this.#match + 1)))',
        replace: 'this.#nextTo(asIndex(Math.min(rejected, hint + 1)))',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/progress.test.ts' },
  },
  {
    name: 'heartbeat-commits-too-much',
    rows: [14],
    does: "A heartbeat carries the leader's commit index, whatever the follower has.",
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'const commit = asIndex(Math.min(progress.match, log.commit))',
        replace: 'const commit = log.commit',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'append-commits-leavings',
    rows: [14],
    does: "A follower commits up to the leader's index, beyond the last entry that the append brought.",
    edits: [
      {
        file: follower,
        find: 'log.commitTo(asIndex(Math.min(message.commit, lastNew)))',
        replace: 'log.commitTo(asIndex(Math.min(message.commit, log.lastIndex)))',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'commit never passes the last entry' },
  },
  {
    name: 'append-aba',
    rows: [15],
    does: 'The report of an overwritten write counts for the write that followed it.',
    edits: [
      {
        file: 'src/raft/unstable.ts',
        find: '    for (const write of this.#writes) if (write.first <= reached) reached = asIndex(write.first - 1)\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/unstable.test.ts' },
  },
  {
    name: 'restart-applies-all',
    rows: [16],
    does: 'A replica that restarts takes all of its log for committed.',
    edits: [
      {
        file: 'src/raft/raft.ts',
        find: 'const commit = asIndex(Math.max(hardState.commit, applied))',
        replace: 'const commit = log.lastIndex',
      },
    ],
    caughtBy: { kind: 'sim', seed: 12 },
  },
  {
    name: 'uncommitted-unbounded',
    rows: [17],
    does: 'A leader that cannot commit takes proposals without end.',
    edits: [
      {
        file: leadership,
        find: "    if (isFull) return { kind: 'overloaded', queue: 'uncommitted' }\n",
        replace: '    void isFull\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'no more is uncommitted than the limit' },
  },
  {
    name: 'change-before-own-commit',
    rows: [18],
    does: 'A new leader changes the configuration before an entry of its term is committed.',
    edits: [
      {
        file: leadership,
        find: "    if (!this.#hasCommittedInTerm) return refused('no entry of this term is committed yet')\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'configuration-rules' },
  },
  {
    name: 'transfer-past-pending-change',
    rows: [19],
    does: 'Whoever is told to campaign does so with a committed configuration change still to be applied.',
    edits: [
      {
        file: 'src/raft/raft.ts',
        find: 'message.from === state.leader && this.#canCampaign) this',
        replace: 'message.from === state.leader) this',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'transfer-with-pending-change' },
  },
  {
    name: 'joint-left-only-at-entry',
    rows: [20],
    does: 'Leaving a joint configuration is proposed once: whoever leads after a step-down stays in it.',
    edits: [
      { file: leadership, find: '    this.maybeLeaveJoint()\n    for (const', replace: '    for (const' },
      { file: 'src/raft/raft.ts', find: '    this.#leadership?.maybeLeaveJoint()\n', replace: '' },
      {
        file: leadership,
        find: '    this.#followConfiguration()\n    if (this.#transferTarget',
        replace: '    this.#followConfiguration()\n    this.maybeLeaveJoint()\n    if (this.#transferTarget',
      },
      {
        file: leadership,
        find: 'if (log.hasUnappliedConfiguration || !this.#hasCommittedInTerm || this.#transferTarget',
        replace: 'if (!this.#hasCommittedInTerm || log.lastIndex === 0 || this.#transferTarget',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'joint' },
  },
  {
    name: 'two-changes-at-once',
    rows: [21],
    does: 'A second configuration change is taken while the first is under way.',
    edits: [
      {
        file: leadership,
        find: "    if (log.hasUnappliedConfiguration) return refused('another configuration change is under way')\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'configuration-rules' },
  },
  {
    name: 'change-without-joint',
    rows: [22],
    does: 'Several members change at once without a joint configuration: old and new majorities need not meet.',
    edits: [
      {
        file: 'src/raft/configuration-change.ts',
        find: "const joint = change.steps.length > 1 || change.joint !== 'auto-if-needed'",
        replace: "const joint = change.joint !== 'auto-if-needed'",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/configuration-change.test.ts' },
  },
  {
    name: 'one-half-decides',
    rows: [22],
    does: 'In a joint configuration the new half alone commits.',
    edits: [
      {
        file: 'src/raft/quorum.ts',
        find: 'return Math.min(incoming, majorityAcked(configuration.votersOutgoing, acked))',
        replace: 'return incoming',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/quorum.test.ts' },
  },
  {
    name: 'transfer-never-ends',
    rows: [23],
    does: 'A leader whose target is dead refuses writes for ever.',
    edits: [
      {
        file: leadership,
        find: '      if (this.#transferElapsed >= options.electionTimeoutTicks) this.#transferTarget = noReplica\n',
        replace: '      void options\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'script transfer' },
  },
  {
    name: 'promotes-at-once',
    rows: [0],
    does: 'A learner is promoted at once, however far behind.',
    edits: [
      {
        file: 'src/range/change-rules.ts',
        find: "if (progress.state === 'snapshot' || progress.match === 0 || progress.match + rules.lagMax < status.commit)",
        replace: 'if (progress.match + rules.lagMax < 0)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'promotes-the-dead',
    rows: [0],
    does: 'A learner is promoted, and a voter counted on, that has not answered since the change was asked for.',
    edits: [
      {
        file: 'src/range/change-rules.ts',
        find: 'progress === undefined || progress.silentTicks >= rules.heardWithinTicks',
        replace: 'progress === undefined',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/change-rules.test.ts' },
  },
  {
    name: 'removes-without-majority',
    rows: [0],
    does: 'A member is removed although those who are left have no live majority.',
    edits: [
      {
        file: 'src/range/change-rules.ts',
        find: 'voters.length === 0 || voters.length - troubles.length >= needed',
        replace: 'voters.length - troubles.length < needed + voters.length',
      },
    ],
    caughtBy: { kind: 'sim', seed: 25, kinds: membersAndCrashes, overrides: { faultEveryMs: 400 } },
  },
  {
    name: 'removed-joins-again',
    rows: [0],
    does: 'A store that an operator removed is let in again when it asks.',
    edits: [
      {
        file: 'src/range/membership.ts',
        find: 'if (removed === undefined || removed.readmitted) return undefined',
        replace: 'if (removed?.storeId !== undefined || removed === undefined) return undefined',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['remove'] },
  },
  {
    name: 'readmitted-stays-out',
    rows: [0],
    does: 'A store is told that it was removed although an operator has let it in again.',
    edits: [
      {
        file: 'src/range/membership.ts',
        find: 'if (removed === undefined || removed.readmitted) return undefined',
        replace: 'if (removed === undefined) return undefined',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['remove'] },
  },
  {
    name: 'unknown-taken-for-removed',
    rows: [0],
    does: 'A replica with a higher id than any that is known here is taken for one that was removed.',
    edits: [{ file: 'src/range/descriptor.ts', find: 'replica < descriptor.nextReplicaId && ', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/range/descriptor.test.ts' },
  },
  {
    name: 'removal-not-written-down',
    rows: [0],
    does: 'A removal whose leader is lost at once is never written down: the store may come back.',
    edits: [
      {
        file: 'src/range/membership.ts',
        find: '(await this.#catchUp(replica)) ?? (await this.#settle(replica)) ?? (await work())',
        replace: '(await this.#catchUp(replica)) ?? (await work())',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/membership.test.ts', name: 'is written down by whoever leads next' },
  },
]
