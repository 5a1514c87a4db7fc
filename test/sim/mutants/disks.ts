// Known bugs of the log and its recovery (rows 31 to 37, 53 to 56, 68 to 71), as edits of the log, the engine and the store.

import { crashes, manyClients, shortLogs, slowDisks } from './conditions.ts'
import type { Mutant } from './mutant.ts'

const valueFiles = 'src/engine/value-files.ts'
const largeRows = 'src/engine/large-rows.ts'
const chain = 'src/log/segment-chain.ts'
const flushWriter = 'src/log/flush-writer.ts'
const replicaLog = 'src/log/replica-log.ts'
const segmentLog = 'src/log/segment-log.ts'
const nodeFiles = 'src/log/node-log-files.ts'

export const diskMutants: readonly Mutant[] = [
  {
    name: 'another-segment-under-the-old-name',
    rows: [54],
    does: 'A segment that is made of an old one gets its new head before the old name is gone for good.',
    edits: [
      {
        file: 'src/log/node-log-files.ts',
        find: '    await syncDirectory(dirname(path))\n    const file = await openFile(unfinished)\n',
        replace: '    const file = await openFile(unfinished)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-files-order.test.ts', name: 'has lost its name' },
  },
  {
    name: 'applied-index-apart',
    rows: [31],
    does: 'The applied index goes into another engine batch than the effects.',
    edits: [
      {
        file: 'src/range/store.ts',
        find: '            return replica.state.takeDirty(this.versions)\n',
        replace:
          '            void this.#options.engine.write(replica.state.takeDirty(this.versions))\n            return []\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 6 },
  },
  {
    name: 'acknowledged-before-sync',
    rows: [32, 36],
    does: 'The log answers when a flush is asked for, not when it is on disk.',
    edits: [
      {
        file: segmentLog,
        find: '    this.#writer.flush(done)\n',
        replace:
          '    this.#writer.flush(() => undefined)\n    const ceiling = this.recoveredCeiling\n    void Promise.resolve().then(() => done(ceiling))\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'leader-counts-unsynced',
    rows: [32],
    does: 'A leader counts its own entries before they are on its disk.',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: 'replica === this.#state.id ? this.#state.log.durable : (this.#progress',
        replace: 'replica === this.#state.id ? this.#state.log.lastIndex : (this.#progress',
      },
    ],
    caughtBy: { kind: 'sim', seed: 5, kinds: crashes, overrides: slowDisks },
  },
  {
    name: 'write-error-ignored',
    rows: [33],
    does: 'A failed write of the log is taken for done.',
    edits: [
      {
        file: flushWriter,
        find: '    await segment.file.write(buffer, bytes, segment.end)\n',
        replace: '    await segment.file.write(buffer, bytes, segment.end).catch(() => undefined)\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'write-error-retried',
    rows: [33],
    does: 'A failed write is tried again, and its success believed.',
    edits: [
      {
        file: flushWriter,
        find: '    await segment.file.write(buffer, bytes, segment.end)\n',
        replace:
          '    const again = () => segment.file.write(buffer, bytes, segment.end)\n    await again().catch(again)\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'directory-not-synced',
    rows: [34],
    does: 'A segment gets its name, and the directory is not synced.',
    edits: [
      {
        file: nodeFiles,
        find: '    await rename(unfinished, path)\n    await syncDirectory(dirname(path))\n',
        replace: '    await rename(unfinished, path)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-files-order.test.ts' },
  },
  {
    name: 'segment-not-synced-before-its-name',
    rows: [34],
    does: 'A segment gets its name before its header is on disk.',
    edits: [
      {
        file: nodeFiles,
        find: '      await handle.sync()\n    } finally {\n      await handle.close()\n    }\n    await rename',
        replace: '    } finally {\n      await handle.close()\n    }\n    await rename',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-files-order.test.ts' },
  },
  {
    name: 'lazy-sync',
    rows: [36],
    does: 'Writes of the log reach the page cache, and the disk some time.',
    edits: [{ file: nodeFiles, find: 'constants.O_RDWR | constants.O_DSYNC', replace: 'constants.O_RDWR' }],
    caughtBy: { kind: 'unit', test: 'test/log/log-files-order.test.ts' },
  },
  {
    name: 'engine-not-synced',
    rows: [36, 55],
    does: 'Engine batches are not synced.',
    edits: [
      {
        file: 'src/engine/leveldb-engine.ts',
        find: 'chained.write({ sync: true })',
        replace: 'chained.write({ sync: false })',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/leveldb-sync.test.ts' },
  },
  {
    name: 'batch-ends-with-its-first-slice',
    rows: [0],
    does: 'Of an engine batch only what is handed over at once is written.',
    edits: [
      {
        file: 'src/engine/leveldb-engine.ts',
        find: '      await this.#pause()\n',
        replace: '        break\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/engine-contract.test.ts', name: 'writes all of a batch' },
  },
  {
    name: 'values-not-synced',
    rows: [36],
    does: 'LevelDB refers to values in a file of their own that are not synced yet.',
    edits: [{ file: valueFiles, find: '    await active.handle.datasync()\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'are synced before' },
  },
  {
    name: 'staged-values-not-synced',
    rows: [36],
    does: 'What was written long before its batch counts as synced.',
    edits: [
      {
        file: valueFiles,
        find: '      await this.#sync()\n      return references\n',
        replace: '      return references\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'are synced before' },
  },
  {
    name: 'values-after-a-failed-sync',
    rows: [36],
    does: 'After a sync of values that failed the next one is believed.',
    edits: [
      {
        file: valueFiles,
        find: '    this.#writing = result\n',
        replace: '    this.#writing = result.catch(() => {})\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'cannot be synced' },
  },
  {
    name: 'staged-in-vain',
    rows: [0],
    does: 'Values that were written for a batch that never came keep their file.',
    edits: [
      {
        file: valueFiles,
        find: 'async () => this.release(await Promise.all(staged))',
        replace: 'async () => void (await Promise.all(staged))',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'in vain' },
  },
  {
    name: 'row-moved-over-a-newer-one',
    rows: [0],
    does: 'A large row is moved to another file by the batch that replaces it.',
    edits: [{ file: largeRows, find: '      if (rows.has(row.key)) continue\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/engine/large-rows.test.ts', name: 'agree with a map' },
  },
  {
    name: 'place-of-a-row-outlives-it',
    rows: [0],
    does: 'What a large row left behind still counts for it.',
    edits: [
      {
        file: largeRows,
        find: 'await this.#each(replaced, reference => operations',
        replace: 'await this.#each(movedFrom, reference => operations',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/large-rows.test.ts', name: 'agree with a map' },
  },
  {
    name: 'rows-never-moved',
    rows: [0],
    does: 'One large row that stays keeps its file.',
    edits: [{ file: largeRows, find: 'rows.size === 0 ? undefined', replace: 'rows.size >= 0 ? undefined' }],
    caughtBy: { kind: 'unit', test: 'test/engine/large-rows.test.ts', name: 'no file to itself' },
  },
  {
    name: 'large-row-taken-for-a-small-one',
    rows: [0],
    does: 'A large row that is replaced is never given back.',
    edits: [
      {
        file: 'src/mvcc/write-buffer.ts',
        find: "return latest.end - latest.start < apartBytesMin ? 'latest' : 'large latest'",
        replace: "return 'latest'",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/version-store-flush.test.ts', name: 'replaced, removed and put again' },
  },
  {
    name: 'value-file-gone-under-its-reader',
    rows: [0],
    does: 'A file of values is removed although a snapshot may still read it.',
    edits: [
      { file: valueFiles, find: 'filter(({ pin }) => pin < oldest)', replace: 'filter(({ pin }) => pin <= oldest)' },
    ],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'stay for a snapshot' },
  },
  {
    name: 'value-references-not-counted-at-start',
    rows: [0],
    does: 'After a start a file of values goes with the first of several that are removed.',
    edits: [{ file: valueFiles, find: '        file.references++\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'are counted again' },
  },
  {
    name: 'value-file-of-another-store',
    rows: [35],
    does: "Another database's file of values passes for the one that was referred to.",
    edits: [{ file: valueFiles, find: ' && header.readUInt32LE(magic.length) === nonce', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/engine/value-files.test.ts', name: 'are not taken from another' },
  },
  {
    name: 'damage-cut-as-torn-tail',
    rows: [35, 68],
    does: 'A flush that rotted is cut off as a torn tail, with the whole ones behind it.',
    edits: [
      {
        file: 'src/log/segment-scan.ts',
        find: 'later: findFlush(buffer, at, seed, limit) }',
        replace: 'later: limit < 0 ? findFlush(buffer, at, seed, limit) : undefined }',
      },
    ],
    caughtBy: { kind: 'sim', seed: 5, kinds: ['rot-log'], overrides: manyClients },
  },
  {
    name: 'damage-cut-as-torn-tail-in-a-matrix',
    rows: [35, 68],
    does: 'The same, for every byte of a log.',
    edits: [
      {
        file: 'src/log/segment-scan.ts',
        find: 'later: findFlush(buffer, at, seed, limit) }',
        replace: 'later: limit < 0 ? findFlush(buffer, at, seed, limit) : undefined }',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-damage.test.ts', name: 'is noticed, or did not matter' },
  },
  {
    name: 'recorded-flush-forgotten',
    rows: [35, 53],
    does: 'A log that ends before the flush that the engine has recorded is taken for whole.',
    edits: [
      {
        file: chain,
        find: '    if (recordedFlush > number) return tail.clean',
        replace: '    if (recordedFlush > number + 1e9) return tail.clean',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-damage.test.ts', name: 'is noticed in the seal, too' },
  },
  {
    name: 'never-sealed',
    rows: [53],
    does: 'An idle log is not sealed: its last flush, acknowledged long ago, rots and passes for a torn tail.',
    edits: [
      {
        file: flushWriter,
        find: 'if (this.#stopped || this.#sealed || this.#sealTimer !== undefined) return',
        replace: 'if (this.#stopped || this.#queuedCount >= 0) return',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/segment-log.test.ts' },
  },
  {
    name: 'copy-overwrites',
    rows: [54],
    does: 'Entries that were copied forward replay as an overwrite, and what came after them goes.',
    edits: [
      {
        file: 'src/log/log-replay.ts',
        find: '  if (!record.rewrite) {',
        replace: '  if (record.entries.length > 0) {',
      },
    ],
    caughtBy: { kind: 'sim', seed: 2 },
  },
  {
    name: 'copy-undoes-a-vote',
    rows: [54],
    does: 'The HardState that is copied forward is the one on disk, not the newest.',
    edits: [
      {
        file: replicaLog,
        find: '    if (content.hardState !== undefined) {\n',
        replace:
          '    if (content.hardState !== undefined) {\n      Object.assign(this, { stale: content.hardState })\n',
      },
      {
        file: replicaLog,
        find: '{ hardState: this.#hardState, rewrite: true }',
        replace: '{ hardState: (this as { stale?: HardState }).stale ?? this.#hardState, rewrite: true }',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-rewrite.test.ts', name: 'not on disk yet' },
  },
  {
    name: 'lost-batch-unnoticed',
    rows: [37, 55],
    does: 'A batch that the engine has lost from its middle is not missed.',
    edits: [
      {
        file: 'src/mvcc/marker.ts',
        find: 'numbers.length !== expected.length || numbers.some((found, position) => found !== expected[position])',
        replace: 'expected.length < 0',
      },
    ],
    caughtBy: { kind: 'sim', seed: 12 },
  },
  {
    name: 'all-flush-together',
    rows: [0],
    does: 'The replicas of a range write to their engines at the same time, and nobody is left to serve meanwhile.',
    edits: [
      {
        file: 'src/range/store.ts',
        find: '1 - this.random(this.#flushRound === 0 ? 100 : flushSpreadPercent + 1) / 100',
        replace: '1',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/engine-flush.test.ts', name: 'do not flush at the same time' },
  },
  {
    name: 'rot-unnoticed',
    rows: [37],
    does: 'A stored version is not checked when it is read.',
    edits: [
      {
        file: 'src/mvcc/version.ts',
        find: '  if (crcOf(bytes, localOffset, agreedOffset, crc) !== bytes.readUInt32LE(crcOffset)) return undefined\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'sim', seed: 8, kinds: ['rot-engine', 'kill'], overrides: manyClients },
  },
  {
    name: 'applies-before-own-disk',
    rows: [56],
    does: 'What a quorum has is applied before it is in the local log: effects reach the engine first.',
    edits: [
      {
        file: 'src/raft/raft-log.ts',
        find: 'this.#handedOut < this.#commit && this.#handedOut < this.#unstable.durable',
        replace: 'this.#handedOut < this.#commit && this.#handedOut < this.#handedOver',
      },
      {
        file: 'src/raft/raft-log.ts',
        find: 'const until = Math.min(this.#commit, this.#unstable.durable)',
        replace: 'const until = Math.min(this.#commit, this.#handedOver)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 43 },
  },
  {
    name: 'flush-number-used-again',
    rows: [69],
    does: 'After a cut the numbers of flushes that may have been written are used again.',
    edits: [
      {
        file: chain,
        find: 'const nextFlush = Math.max(tip.above, last.flush.header.number + 1, recordedFlush) + 1',
        replace: 'const nextFlush = last.flush.header.number + 1',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-damage.test.ts', name: 'uses no flush number twice' },
  },
  {
    name: 'old-segment-unread',
    rows: [70],
    does: 'An old segment that cannot be read to its end is passed over, with the newest vote of an idle range.',
    edits: [
      {
        file: chain,
        find: '      if (next !== undefined && !joins(next, scan, flush)) return this.#damagedAt(segment, scan)\n',
        replace: '',
      },
      {
        file: chain,
        find: '      if (first !== undefined && expected !== undefined && first.header.number !== expected) {',
        replace: '      if (first !== undefined && expected !== undefined && first.header.number < expected) {',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/log-damage.test.ts', name: 'has its newest vote read from the oldest' },
  },
  {
    name: 'truncates-past-the-engine',
    rows: [71],
    does: 'The log is truncated up to what is applied, whether the engine has it or not.',
    edits: [
      {
        file: 'src/range/store.ts',
        find: 'const target = replica.retention.flushed(flushed, replica.holds.needed)\n',
        replace: 'const target = flushed >= 0 ? replica.state.appliedIndex : undefined\n',
      },
      {
        file: replicaLog,
        find: 'Math.min(this.#truncationWanted, this.#settledApplied, this.lastIndex)',
        replace: 'Math.min(this.#truncationWanted, this.lastIndex)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 10, kinds: crashes, overrides: { ...shortLogs, ...slowDisks } },
  },
  {
    name: 'truncates-to-the-last-flush',
    rows: [71],
    does: 'The log is truncated up to the last engine flush, not up to the one before it.',
    edits: [
      {
        file: segmentLog,
        find: 'for (const [rangeId, index] of this.#appliedLast) this',
        replace: 'for (const [rangeId, index] of applied) this',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/segment-log.test.ts' },
  },
]
