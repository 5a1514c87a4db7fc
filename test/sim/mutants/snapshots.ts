// Known bugs of snapshots (rows 24 to 30, 72 to 74), as edits of the core, the store and the engine's keys.

import { leftBehind, shortLogs } from './conditions.ts'
import type { Mutant } from './mutant.ts'

const store = 'src/range/store.ts'
const versionStore = 'src/mvcc/version-store.ts'

export const snapshotMutants: readonly Mutant[] = [
  {
    name: 'snapshot-keeps-conflict',
    rows: [24],
    does: 'A snapshot that conflicts with an entry here is taken for one that matches it.',
    edits: [
      {
        file: 'src/raft/follower.ts',
        find: 'if (log.matches(snapshot.index, snapshot.term)) {',
        replace: 'if (snapshot.index <= log.lastIndex) {',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'one that conflicts replaces the log' },
  },
  {
    name: 'reset-keeps-conflict',
    rows: [24],
    does: 'The durable log keeps what follows a conflicting entry when a snapshot takes its place.',
    edits: [
      {
        file: 'src/log/replica-log.ts',
        find: 'const kept = this.term(index) === term\n',
        replace: 'const kept = index <= this.lastIndex\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/segment-log.test.ts', name: 'keeps the suffix at a reset only' },
  },
  {
    name: 'silent-about-what-it-has',
    rows: [25],
    does: 'A snapshot that holds nothing new is turned away without a word to its leader, which sends it again, for ever.',
    edits: [
      {
        file: 'src/range/snapshot-intake.ts',
        find: 'if (this.#incoming !== undefined || replica.isInstalling || snapshot.term < replica.term) return false\n',
        replace:
          'if (this.#incoming !== undefined || replica.isInstalling || snapshot.term < replica.term) return false\n    if (snapshot.meta.index <= replica.state.appliedIndex) return false\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/snapshot-intake.test.ts', name: 'holds nothing new' },
  },
  {
    name: 'spool-keeps-the-last-stream',
    rows: [25],
    does: 'What a broken stream has left in the spool becomes part of the next one.',
    edits: [
      {
        file: 'src/range/snapshot-spool.ts',
        find: '    await this.clear()\n    let count = 0',
        replace: '    let count = 0',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/snapshot-spool.test.ts' },
  },
  {
    name: 'failed-snapshot-sent-at-once',
    rows: [25, 29],
    does: 'A snapshot that failed is sent again at once, and again.',
    edits: [
      {
        file: 'src/raft/progress.ts',
        find: '    this.becomeProbe()\n    this.probeSent = true\n',
        replace: '    this.becomeProbe()\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'snapshot' },
  },
  {
    name: 'install-not-done-again',
    rows: [27],
    does: 'An install that a crash has cut short is not done again at the next start.',
    edits: [
      {
        file: store,
        find: '    await intake.resume(replicaId)\n',
        replace: '',
      },
    ],
    caughtBy: {
      kind: 'unit',
      test: 'test/sim/crash-points.test.ts',
      name: 'a snapshot comes in, and its receiver crashes',
    },
  },
  {
    name: 'snapshot-in-place-not-marked',
    rows: [27],
    does: 'What a crash leaves of a snapshot that was put in place is taken for the state of its replica.',
    edits: [
      {
        file: 'src/range/snapshot-intake.ts',
        find: '    await engine.write([{ key: unfinishedPrefix + rangeId, value: Uint8Array.of(1) }])\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/crash-points.test.ts', name: 'a node joins, and crashes' },
  },
  {
    name: 'unfinished-snapshot-kept',
    rows: [27],
    does: 'A start keeps what a crash has left of a snapshot that was put in place.',
    edits: [{ file: 'src/node-core.ts', find: '  await discardUnfinished(engine)\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/sim/crash-points.test.ts', name: 'a node joins, and crashes' },
  },
  {
    name: 'broken-stream-stays-in-place',
    rows: [25],
    does: 'What a broken stream has put in place becomes part of the next one.',
    edits: [{ file: 'src/mvcc/range-import.ts', find: '    await clearRange(engine, write, rangeId)\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/range/snapshot-intake.test.ts', name: 'breaks, and another comes' },
  },
  {
    name: 'blank-state-over-snapshot',
    rows: [27, 30],
    does: 'A replica without a state stores that it has none, over the state that a snapshot puts in place.',
    edits: [
      {
        file: 'src/command/range-state.ts',
        find: '    this.#isDirty = start.appliedIndex > 0\n',
        replace: '    this.#isDirty = true\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/crash-points.test.ts', name: 'a node joins, and the leader crashes' },
  },
  {
    name: 'installed-and-not-read',
    rows: [27],
    does: 'Who the nodes are is not read from an install that a crash has cut short and the next start did again.',
    edits: [
      {
        file: store,
        find: 'async (): Promise<void> => this.#options.onSystemInstalled?.()\n',
        replace: 'async (): Promise<void> => (this.#isStarted ? this.#options.onSystemInstalled?.() : undefined)\n',
      },
    ],
    caughtBy: {
      kind: 'unit',
      test: 'test/sim/crash-points.test.ts',
      name: 'a snapshot comes in, and its receiver crashes',
    },
  },
  {
    name: 'log-not-reset-after-install',
    rows: [27],
    does: 'After a crash between the state of a snapshot and the reset of the log, the log stays as it was.',
    edits: [{ file: 'src/range/fit-log-to-state.ts', find: '    log.reset(appliedIndex, appliedTerm)\n', replace: '' }],
    caughtBy: {
      kind: 'unit',
      test: 'test/sim/crash-points.test.ts',
      name: 'a snapshot comes in, and its receiver crashes',
    },
  },
  {
    name: 'part-of-a-snapshot-installed',
    rows: [28],
    does: 'A snapshot that is cut short is installed as far as it came.',
    edits: [{ file: 'src/mvcc/range-import.ts', find: '    refusing(rangeId, () => stream.end())\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/range-stream.test.ts' },
  },
  {
    name: 'no-log-kept',
    rows: [29],
    does: 'No log is kept for followers that are slightly behind: each hiccup costs a snapshot.',
    edits: [
      {
        file: 'src/range/log-retention.ts',
        find: 'this.#appendedBytes - bytes >= this.retainedBytes',
        replace: 'this.#appendedBytes - bytes >= 0',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/log-retention.test.ts' },
  },
  {
    name: 'outruns-a-snapshot',
    rows: [25, 29],
    does: 'The log behind a snapshot is cut while it is under way: each is too old by the time it is installed.',
    edits: [
      {
        file: 'src/range/log-retention.ts',
        find: 'index <= flushed && index <= needed &&',
        replace: 'index <= flushed && needed >= 0 &&',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/slow-newcomers.test.ts' },
  },
  {
    name: 'log-held-by-time',
    rows: [25, 29],
    does: 'A follower holds the log that it needs for half a minute, whatever progress it makes.',
    edits: [
      {
        file: 'src/range/log-holds.ts',
        find: 'if (isNewChance || has >= last || holder.gainedBytes - holder.progressBytes >= Math.max(1, slowedForBytes)) {',
        replace: 'if (isNewChance || has >= last) {',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/slow-newcomers.test.ts', name: 'a quarter of an hour' },
  },
  {
    name: 'log-cut-at-its-budget',
    rows: [25, 29],
    does: 'Where followers hold more log than their budget, it is cut instead of slowing writes: the newcomer begins anew.',
    edits: [
      {
        file: 'src/range/held-log-budget.ts',
        find: '      if (waitMs > 0) {\n',
        replace: '      if (waitMs > Number.MAX_VALUE) {\n',
      },
      {
        file: 'src/range/log-holds.ts',
        find: '    this.#heldBytes = Math.max(0, lacking - this.#retention.retainedBytes)\n',
        replace:
          '    this.#heldBytes = Math.max(0, lacking - this.#retention.retainedBytes)\n    if (slowedForBytes > 0) this.#needed = asIndex(Number.MAX_SAFE_INTEGER)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/slow-newcomers.test.ts', name: 'than may be held' },
  },
  {
    name: 'snapshot-ended-by-total-time',
    rows: [25],
    does: 'A sender gives a snapshot up after a time, whatever its progress.',
    edits: [
      {
        file: 'src/transport/stall-guard.ts',
        find: '  moved(): void {\n    this.#movedMs = this.#clock.monotonicMs()\n',
        replace: '  moved(): void {\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/slow-newcomers.test.ts', name: 'a quarter of an hour' },
  },
  {
    name: 'install-ended-by-total-time',
    rows: [25],
    does: 'A receiver gives a snapshot up after a time, whatever its progress.',
    edits: [
      {
        file: 'src/range/snapshot-intake.ts',
        find: 'if (steps === this.#steps || hasStopped) return false',
        replace: 'if (steps >= 0 || hasStopped) return false',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/slow-newcomers.test.ts', name: 'a quarter of an hour' },
  },
  {
    name: 'old-state-over-snapshot',
    rows: [30],
    does: 'After a snapshot a replica goes on with the applied index from before it.',
    edits: [
      {
        file: 'src/range/replica.ts',
        find: '      this.#state = state\n',
        replace: '      if (this.#state.appliedIndex === 0) this.#state = state\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 3 },
  },
  {
    name: 'history-forgotten-at-install',
    rows: [72],
    does: 'The history that a snapshot brought is not found: versions have nothing before them.',
    edits: [
      {
        file: 'src/mvcc/range-import.ts',
        find: '          if (pair.key.startsWith(runPrefix)) await add(refusing(rangeId, () => boundsOperation(pair.key, pair.value)))\n',
        replace: '          void boundsOperation\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 5, kinds: leftBehind, overrides: shortLogs },
  },
  {
    name: 'flushed-versions-dangle',
    rows: [72],
    does: 'A version that has left the buffer has nothing before it.',
    edits: [
      {
        file: versionStore,
        find: 'before = this.#frozen?.previous(version)',
        replace: 'before = this.#frozen?.previous(version) ?? null',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'cache-outlives-install',
    rows: [73],
    does: 'The cache still answers for what a snapshot has replaced.',
    edits: [{ file: versionStore, find: '    this.#rows.clear()\n', replace: '' }],
    caughtBy: { kind: 'sim', seed: 1, kinds: leftBehind, overrides: shortLogs },
  },
  {
    name: 'buffer-outlives-install',
    rows: [73],
    does: 'The write buffer still answers for what a snapshot has replaced.',
    edits: [
      {
        file: versionStore,
        find: '    this.#live = new WriteBuffer(this.#live.number + 1, this.#rows, this.#onFullRun)\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'sim', seed: 94, kinds: leftBehind, overrides: shortLogs },
  },
  {
    name: 'snapshot-index-ahead',
    rows: [74],
    does: 'A snapshot is sent at the index that is applied when the flush has ended, not at the one that was flushed.',
    edits: [
      {
        file: store,
        find: '      () => {\n        captured = capture()\n      },\n      () => {\n',
        replace: '      () => undefined,\n      () => {\n        captured = capture()\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
]
