// Bugs of replicas whose state is not to be trusted (DESIGN.md 7 and 15, RANGES.md trap 6), as edits of the core and the store.

import type { Mutant } from './mutant.ts'

const raft = 'src/raft/raft.ts'
const leadership = 'src/raft/leadership.ts'
const quarantine = 'src/range/quarantine.ts'
const store = 'src/range/store.ts'
const coreTest = 'test/raft/lost-state.test.ts'
const simTest = 'test/sim/quarantine.test.ts'
const comparisonTest = 'test/sim/state-comparison.test.ts'

export const quarantineMutants: readonly Mutant[] = [
  {
    name: 'quarantined-campaigns',
    rows: [],
    does: 'A replica that has lost its state campaigns like any other.',
    edits: [{ file: raft, find: '    if (this.#state.isStateLost) return false\n', replace: '' }],
    caughtBy: { kind: 'unit', test: coreTest, name: 'never campaigns' },
  },
  {
    name: 'quarantined-leader-stays',
    rows: [],
    does: 'A leader that has lost its state goes on leading.',
    edits: [
      {
        file: raft,
        find: '    if (this.#leadership !== undefined) this.#maybeHandOver(this.#leadership)\n    else if',
        replace: '    if',
      },
      { file: raft, find: '        if (this.#state.isStateLost) this.#maybeHandOver(this.#leadership)\n', replace: '' },
      {
        file: raft,
        find: "if (state.role !== 'follower') this.#becomeFollower",
        replace: "if (state.role === 'candidate') this.#becomeFollower",
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'hands over before it stops' },
  },
  {
    name: 'handed-over-to-quarantined',
    rows: [],
    does: 'A leader hands over to a replica that has lost its state.',
    edits: [
      {
        file: leadership,
        find: '.filter(([replica, { needsState }]) => !needsState && isVoter(',
        replace: '.filter(([replica]) => isVoter(',
      },
      {
        file: leadership,
        find: '    if (progress.needsState) return refused(`replica ${to} is quarantined`)\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: coreTest, name: 'is no successor' },
  },
  {
    name: 'quarantined-applies-on',
    rows: [],
    does: 'A replica that has lost its state hands out entries to be applied to it.',
    edits: [
      {
        file: raft,
        find: 'const committed = state.isStateLost ? [] : log.nextCommitted()',
        replace: 'const committed = log.nextCommitted()',
      },
    ],
    caughtBy: { kind: 'unit', test: coreTest, name: 'hands out nothing' },
  },
  {
    name: 'quarantined-names-itself-leader',
    rows: [],
    does: 'A replica that serves nothing names the leader that it was.',
    edits: [
      {
        file: 'src/range/replica.ts',
        find: '    if (this.#stopped !== undefined) return undefined\n    return',
        replace: '    return',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'hands over before it stops' },
  },
  {
    name: 'quarantined-is-silent',
    rows: [],
    does: 'A quarantined replica neither votes nor appends: with one more dead there is no quorum.',
    edits: [
      {
        file: 'src/range/replica.ts',
        find: '    this.#isQuarantined = true\n',
        replace: '    this.#isQuarantined = true\n    this.#isSilent = true\n',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'votes and appends' },
  },
  {
    name: 'quarantine-not-marked',
    rows: [],
    does: 'A quarantine is forgotten by a restart.',
    edits: [
      {
        file: store,
        find: 'return marked.includes(replica) ? [this.#quarantines.marker(replica)] : []',
        replace: 'return []',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'is still so after a restart' },
  },
  {
    name: 'quarantine-marked-for-ever',
    rows: [],
    does: 'The marker of a quarantine outlives the state that it was about.',
    edits: [
      {
        file: 'src/range/snapshot-spool.ts',
        find: 'this.installed(index), endOfQuarantine(this.#rangeId)])',
        replace: 'this.installed(index)])',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'is still so after a restart' },
  },
  {
    name: 'half-entry-flushed',
    rows: [],
    does: 'What an entry has put into the write buffer before it failed goes to the engine.',
    edits: [
      {
        file: store,
        find: '          if (marked.length > 0) this.versions.discardBuffer()\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'stops its replica alone' },
  },
  {
    name: 'rebuild-resets-a-longer-log',
    rows: [],
    does: 'A replica that begins anew from a snapshot throws away what its log holds behind it, and has acknowledged.',
    edits: [
      {
        file: quarantine,
        find: '    log.reset(meta.index, meta.term)\n',
        replace: '    log.reset(log.lastIndex, 0 as typeof meta.term)\n    log.reset(meta.index, meta.term)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'its own log behind it' },
  },
  {
    name: 'rebuild-leaves-a-gap',
    rows: [],
    does: 'A replica begins anew from a snapshot older than where its log begins.',
    edits: [
      {
        file: 'src/raft/follower.ts',
        find: '  if (index < log.truncatedIndex) return false\n  return log.matches',
        replace: '  return index <= log.truncatedIndex || log.matches',
      },
    ],
    caughtBy: { kind: 'unit', test: coreTest, name: 'begins anew only from' },
  },
  {
    name: 'rebuild-at-once-for-ever',
    rows: [],
    does: 'A replica that is quarantined again at once asks at once for the next snapshot, and the next.',
    edits: [
      {
        file: quarantine,
        find: 'const isPaused = nowMs < watch.asksAtMs',
        replace: 'const isPaused = nowMs < 0',
      },
    ],
    caughtBy: { kind: 'unit', test: simTest, name: 'asks again only after a while' },
  },
  {
    name: 'rebuild-never-asked-for',
    rows: [],
    does: 'A quarantined replica waits for a snapshot that nobody knows it needs.',
    edits: [
      {
        file: quarantine,
        find: 'replica.askForState(!isPaused && !this.#unmarked.has(replica))',
        replace: 'replica.askForState(false)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['rot-rows', 'kill'] },
  },
  {
    name: 'missing-counts-as-equal',
    rows: [75],
    does: 'A majority of those that have answered decides whose state is right.',
    edits: [
      {
        file: 'src/range/state-verdict.ts',
        find: 'halves.every(half => half.filter(isCounted).length * 2 > half.length)',
        replace:
          'halves.every(half => half.filter(isCounted).length * 2 > half.filter(voter => answers.has(voter)).length)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/state-verdict.test.ts', name: 'by a majority of all voters' },
  },
  {
    name: 'silence-is-agreement',
    rows: [75],
    does: 'A replica that does not answer is taken to be equal.',
    edits: [
      {
        file: 'src/range/state-comparison.ts',
        find: "verdict.missing.length > 0 ? `could not compare with ${this.#names(verdict.missing)}` : '',",
        replace: "'',",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/state-comparison.test.ts', name: 'never count an answer' },
  },
  {
    name: 'minority-goes-on',
    rows: [75],
    does: 'A replica whose state is another than that of most goes on serving.',
    edits: [
      {
        file: 'src/range/state-comparison.ts',
        find: '          onMinority(point.index)\n          return\n',
        replace: '          return\n',
      },
    ],
    caughtBy: { kind: 'unit', test: comparisonTest, name: 'is quarantined, and rebuilt' },
  },
  {
    name: 'disagreement-goes-on',
    rows: [75],
    does: 'A range of whose replicas no majority agrees goes on serving.',
    edits: [
      {
        file: 'src/range/replica.ts',
        find: 'return this.#stopped ?? this.#suspended',
        replace: 'return this.#stopped',
      },
    ],
    caughtBy: { kind: 'unit', test: comparisonTest, name: 'no majority agrees stops the range' },
  },
  {
    name: 'sessions-not-compared',
    rows: [75],
    does: 'The table of sessions is no part of what replicas compare.',
    edits: [
      {
        file: 'src/command/range-state.ts',
        find: 'byteCount, sessions.digest(), ...limits',
        replace: 'byteCount, 0, ...limits',
      },
    ],
    caughtBy: { kind: 'unit', test: comparisonTest, name: 'sessions that ended early' },
  },
  {
    name: 'threshold-not-compared',
    rows: [75],
    does: 'The threshold of collection is no part of what replicas compare.',
    edits: [
      {
        file: 'src/command/range-state.ts',
        find: '[lastStamp, threshold, keyCount',
        replace: '[lastStamp, 0, keyCount',
      },
    ],
    caughtBy: { kind: 'unit', test: comparisonTest, name: 'the threshold of collection' },
  },
  {
    name: 'sessions-end-when-they-like',
    rows: [75],
    does: 'Each replica ends sessions at other entries, by its own id, and says nothing of it in its hash.',
    edits: [
      {
        file: 'src/command/apply.ts',
        find: '  for (const id of context.state.sessions.endPassed(header.firstTimestamp)) context.state.hashIn(crc32(id))\n',
        replace:
          '  if (index % (context.state.replicaId + 1) === 0) context.state.sessions.endPassed(header.firstTimestamp)\n  void crc32\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'threshold-differs',
    rows: [75],
    does: 'Each replica keeps history from a threshold of its own.',
    edits: [
      {
        file: 'src/command/apply.ts',
        find: 'if (entry.threshold > context.state.threshold) context.state.threshold = entry.threshold',
        replace:
          'if (entry.threshold > context.state.threshold)\n      context.state.threshold = (entry.threshold - context.state.replicaId) as typeof entry.threshold',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'checksum-of-what-is-collected',
    rows: [],
    does: 'Tombstones that each replica collects when it likes are part of the checksum of all rows.',
    edits: [
      {
        file: 'src/mvcc/row-digest.ts',
        find: 'if (!version.deleted || version.timestamp >= threshold) bytes += add(version)',
        replace: 'bytes += add(version)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/row-digest.test.ts', name: 'leaves out the tombstones' },
  },
]
