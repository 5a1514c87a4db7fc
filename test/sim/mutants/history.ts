// Bugs of the way back through history, and of scans.

import type { Mutant } from './mutant.ts'

export const historyMutants: readonly Mutant[] = [
  {
    name: 'scan-ends-where-a-page-is-full',
    rows: [0],
    does: 'A scan takes a page that was cut by its bytes for the last one.',
    edits: [{ file: 'src/mvcc/read-view.ts', find: ' && bytesOf(page) < pageBytesMax', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/version-store.test.ts', name: 'cut by its bytes' },
  },
  {
    name: 'effect-taken-as-it-is',
    rows: [37],
    does: 'One effect of a run that was whole when it was read first is not checked when it is read again.',
    edits: [
      {
        file: 'src/mvcc/history-run.ts',
        find: 'return reader.offset === stored.length ? effect : undefined',
        replace: 'return effect',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/version-store.test.ts', name: 'whole when it was read first' },
  },
  {
    name: 'outline-taken-as-it-is',
    rows: [37],
    does: 'The outline of a run is believed whatever its checksum says.',
    edits: [
      {
        file: 'src/mvcc/run-outline.ts',
        find: '    if (crcWithId(runId, reader.bytes.subarray(countOffset)) !== reader.bytes.readUInt32LE(0)) return undefined\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/version-store.test.ts', name: 'noticed by a snapshot' },
  },
  {
    name: 'steps-over-the-instant',
    rows: [0],
    does: 'A step back through outlines goes on from the version of the very instant that is asked for.',
    edits: [{ file: 'src/mvcc/run-index.ts', find: 'next.timestamp <= at', replace: 'next.timestamp < at' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/run-outline.test.ts', name: 'a few effects are read' },
  },
  {
    name: 'skips-over-the-instant',
    rows: [0],
    does: 'A skip leads past the instant that is asked for.',
    edits: [{ file: 'src/mvcc/run-index.ts', find: 'far.timestamp > at', replace: 'far.timestamp > 0' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/run-outline.test.ts', name: 'each is found at its instants' },
  },
  {
    name: 'skips-that-lead-nowhere',
    rows: [0],
    does: 'Versions do not tell where earlier ones are: an old instant of a key that is written often is read as slowly as it has versions.',
    edits: [{ file: 'src/mvcc/version.ts', find: 'skip === 0 ? 0 : index - skip', replace: 'skip * 0' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/run-index.test.ts', name: 'few are passed' },
  },
  {
    name: 'first-of-several-taken',
    rows: [0],
    does: 'Where several effects of an entry have one hash, the first is taken for the one that is meant.',
    edits: [{ file: 'src/mvcc/run-outline.ts', find: 'found.length === 1', replace: 'found.length > 0' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/run-outline.test.ts', name: 'rows of one entry with one hash' },
  },
]
