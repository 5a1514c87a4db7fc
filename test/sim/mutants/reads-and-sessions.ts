// Known bugs of applying, reads, sessions and clocks (rows 38 to 52, 60, 64, 67), as edits of whatever they are in.

import { manyClients, staleLeaders } from './conditions.ts'
import type { Mutant } from './mutant.ts'

const leadership = 'src/raft/leadership.ts'
const localRequests = 'src/range/local-requests.ts'
const replica = 'src/range/replica.ts'

export const readMutants: readonly Mutant[] = [
  {
    name: 'apply-depends-on-the-replica',
    rows: [38],
    does: 'What a write comes to depends on which replica applies it.',
    edits: [
      {
        file: 'src/command/apply.ts',
        find: 'const stamp = asTimestamp(first + at)\n',
        replace:
          'const stamp = asTimestamp(first + at + (context.state.replicaId > 2 && batch.writes.length > 1 ? 1 : 0))\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'read-index-too-early',
    rows: [39],
    does: 'A new leader confirms reads before an entry of its term is committed.',
    edits: [
      { file: leadership, find: "    if (!this.#hasCommittedInTerm) return { kind: 'not-ready' }\n", replace: '' },
      { file: leadership, find: '    if (!this.#hasCommittedInTerm) return false\n', replace: '' },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'read-index-not-before-first-commit' },
  },
  {
    name: 'read-without-quorum',
    rows: [40],
    does: 'A leader confirms reads without asking anybody.',
    edits: [
      {
        file: 'src/raft/read-index.ts',
        find: 'if (isSoleVoter(state.configuration, state.id)) this.#answer(read, true)',
        replace: 'if (isSoleVoter(state.configuration, state.id) || read.index >= 0) this.#answer(read, true)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 3, kinds: staleLeaders, overrides: manyClients },
  },
  {
    name: 'read-ahead-of-its-index',
    rows: [40],
    does: 'What was read while a round was under way counts, however much that round asks to be applied.',
    edits: [
      {
        file: localRequests,
        find: 'ahead !== undefined && permitted.index <= ahead.applied',
        replace: 'ahead !== undefined',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/read-ahead.test.ts', name: 'reads again when its round asks for more' },
  },
  {
    name: 'read-ahead-of-a-lost-round',
    rows: [40],
    does: 'What was read for a round that was lost counts for the one that took its place.',
    edits: [{ file: localRequests, find: '      ahead = undefined\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/range/read-ahead.test.ts', name: 'takes the place of a lost one' },
  },
  {
    name: 'stopped-replica-answers-no-get',
    rows: [0],
    does: 'A get waits for a round of a replica that has stopped, and that nobody drives.',
    edits: [
      {
        file: localRequests,
        find: '    if (replica.stopped !== undefined) return replica.stopped\n    let ahead',
        replace: '    let ahead',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/read-ahead.test.ts', name: 'is refused at once by a replica' },
  },
  {
    name: 'read-retry-shares-its-context',
    rows: [40],
    does: 'The answer to a round that was given up counts for the round that followed it.',
    edits: [
      {
        file: 'src/range/read-queue.ts',
        find: 'if (round === undefined || round.context !== context) return',
        replace: 'if (round === undefined || round.context < context) return',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/read-queue.test.ts' },
  },
  {
    name: 'read-contexts-begin-anew',
    rows: [40],
    does: 'After a restart read contexts are used again.',
    edits: [
      {
        file: 'src/raft/core-state.ts',
        find: 'lastReadContext: options.random(2 ** 31) * 2 ** 21,',
        replace: 'lastReadContext: 0,',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'an answer to a read index asked for before' },
  },
  {
    name: 'reader-joins-a-round-under-way',
    rows: [40],
    does: 'A reader that arrives during a round is answered by it.',
    edits: [
      {
        file: 'src/range/read-queue.ts',
        find: '      this.#arrived.push({ deadlineMs, resolve, onBegun })\n',
        replace: '      ;(this.#round?.waiters ?? this.#arrived).push({ deadlineMs, resolve, onBegun })\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 4, kinds: ['slow-link', 'transfer'], overrides: manyClients },
  },
  {
    name: 'lease-outlives-a-pause',
    rows: [41],
    does: 'A leader that was answered within an election timeout, counted in its own ticks, reads without asking: it may have been paused.',
    edits: [
      {
        file: leadership,
        find: "    return { kind: 'accepted', context: this.#reads.add(this.#state.id, 0) }\n",
        replace:
          "    const isActive = (peer: ReplicaId) => peer === this.#state.id || (this.#progress.get(peer)?.recentActive ?? false)\n    const state = this.#state\n    if (voteResult(state.configuration, isActive) !== 'won')\n      return { kind: 'accepted', context: this.#reads.add(state.id, 0) }\n    const context = ++state.lastReadContext\n    state.outbox.answerRead({ context, index: state.log.commit, confirmed: true })\n    return { kind: 'accepted', context }\n",
      },
    ],
    caughtBy: { kind: 'sim', seed: 2, kinds: staleLeaders, overrides: manyClients },
  },
  {
    name: 'retry-applied-twice',
    rows: [42],
    does: 'A repeated number runs again.',
    edits: [
      {
        file: 'src/command/sessions.ts',
        find: "    if (known !== undefined) return { kind: 'known', outcome: known }\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'late-retry-applied-twice',
    rows: [42],
    does: 'A number whose outcome was forgotten runs again.',
    edits: [
      {
        file: 'src/command/sessions.ts',
        find: '    if (session !== undefined && number < session.floor) return tooLate\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/command/sessions.test.ts' },
  },
  {
    name: 'sessions-not-in-snapshots',
    rows: [42],
    does: 'The session table does not reach the engine: restarts and snapshots forget it.',
    edits: [
      {
        file: 'src/command/range-state.ts',
        find: '    for (const { id, value } of this.sessions.takeDirty())\n      operations.push({ key: versions.localKey(this.rangeId, sessionPrefix + id), value })\n',
        replace: '    void sessionPrefix\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'collected-before-the-threshold-is-kept',
    rows: [45],
    does: 'History is collected before the threshold that refuses its readers is on disk.',
    edits: [
      {
        file: 'src/range/history-collector.ts',
        find: '      await store.flush()\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/history-collector.test.ts' },
  },
  {
    name: 'collected-though-quarantined',
    rows: [0],
    does: 'History of a state that was given up while the engine was flushed is collected.',
    edits: [
      {
        file: 'src/range/history-collector.ts',
        find: '      if (replica.stopped !== undefined) continue\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/history-collector.test.ts' },
  },
  {
    name: 'collected-too-far',
    rows: [45, 60],
    does: 'History is collected past the threshold.',
    edits: [
      {
        file: 'src/mvcc/run-index.ts',
        find: 'if (bounds.lastStamp >= threshold || dropped.length >= limit)',
        replace: 'if (bounds.lastStamp >= threshold + 1e9 || dropped.length >= limit)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: manyClients },
  },
  {
    name: 'closed-too-far',
    rows: [47],
    does: 'A closed timestamp runs ahead of what may still be written.',
    edits: [
      {
        file: 'src/command/apply.ts',
        find: 'context.state.stage(header.firstTimestamp, header.closed, header.closed)',
        replace: 'context.state.stage(header.firstTimestamp, header.closed, asTimestamp(header.closed + 2_048_000))',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'instant-read-at-commit',
    rows: [49],
    does: 'A read at an instant waits for what is committed, and misses what is on its way below that instant.',
    edits: [
      {
        file: localRequests,
        find: '      const refusal = await barrier(replica, at, deadlineMs)\n      if (refusal !== undefined) return refusal\n      const closed = await replica.waitApplied(() => replica.state.closed >= at, deadlineMs)\n',
        replace:
          '      const refusal = await linearizable(replica, deadlineMs)\n      if (refusal !== undefined || barrier.length < 0) return refusal\n      const closed = true\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 7, kinds: ['slow-link', 'transfer'], overrides: manyClients },
  },
  {
    name: 'stamps-below-the-log',
    rows: [51],
    does: 'A new leader stamps without looking at the entries that it inherited.',
    edits: [
      {
        file: replica,
        find: '      mergeLogStamps(this.#host.hybridClock, this.log, this.#state.appliedIndex)\n',
        replace: '      void mergeLogStamps\n',
      },
      {
        file: replica,
        find: "    if (message.kind === 'append-entries') mergeStamps(this.#host.hybridClock, message.entries)\n",
        replace: '    void mergeStamps\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/sim/inherited-stamps.test.ts' },
  },
  {
    name: 'wiped-node-votes',
    rows: [52],
    does: 'A wiped node comes back under its old id, and votes from an empty memory.',
    edits: [
      {
        file: 'src/range/store.ts',
        find: 'if (target === undefined || this.#options.storeOf(target.node) !== target.storeId) return\n',
        replace: 'if (target === undefined) return\n',
      },
      {
        file: 'src/range/membership.ts',
        find: 'item.node === node && item.storeId !== storeId)',
        replace: "item.node === node && item.storeId === '')",
      },
      {
        file: 'src/range/membership.ts',
        find: 'if (present?.storeId === storeId) return',
        replace: 'if (present !== undefined) return',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['wipe', 'transfer', 'isolate'] },
  },
  {
    name: 'former-self-lets-in',
    rows: [52],
    does: "A wiped node counts as let in where an earlier leader's addition of its former self was applied meanwhile.",
    edits: [
      {
        file: 'src/range/membership.ts',
        find: 'if (present?.storeId === storeId) return',
        replace: 'if (present !== undefined) return',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/membership.test.ts', name: 'is not taken for the node that asks' },
  },
  {
    name: 'readers-hold-the-loop',
    rows: [0],
    does: 'What readers of old instants do together has no bound.',
    edits: [{ file: 'src/mvcc/shared-turns.ts', find: 'this.#spent >= costMax', replace: 'this.#spent < 0' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/shared-turns.test.ts', name: 'takes many turns' },
  },
  {
    name: 'batch-under-way-when-it-failed',
    rows: [0],
    does: 'A stream that breaks leaves a batch on its way, which comes after what the next one clears.',
    edits: [
      {
        file: 'src/mvcc/write-in-batches.ts',
        find: '    await writing.catch(() => {})\n  }\n',
        replace: '    void writing\n  }\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/write-in-batches.test.ts', name: 'that one has ended first' },
  },
  {
    name: 'collection-shows',
    rows: [60],
    does: 'A key that comes back goes on from its tombstone where that was not collected yet.',
    edits: [
      {
        file: 'src/mvcc/version-store.ts',
        find: 'const created = alive?.created ?? timestamp\n',
        replace: 'const created = alive?.created ?? latest?.created ?? timestamp\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/version-store.test.ts', name: 'never shows' },
  },
  {
    name: 'collector-deletes-the-living',
    rows: [60],
    does: 'The collector removes a tombstone outside of the order of flushes, and with it the cached version that came after.',
    edits: [
      {
        file: 'src/mvcc/collection.ts',
        find: 'const expired = pairs.filter(pair => decodeStored(pair.key, pair.value).timestamp < threshold)',
        replace: 'const expired = pairs.filter(pair => decodeStored(pair.key, pair.value).timestamp < threshold + 1e9)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: manyClients },
  },
  {
    name: 'evicts-what-waits',
    rows: [0],
    does: 'A row may leave memory before it is in the engine: the next write goes on from the version before.',
    edits: [
      {
        file: 'src/mvcc/row-table.ts',
        find: '(this.#order[0]?.buffer ?? 0) > this.#settled\n',
        replace: '(this.#order[0]?.buffer ?? 0) > this.#settled + 1\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/row-table.test.ts', name: 'stay as long as they wait' },
  },
  {
    name: 'memory-used-again',
    rows: [0],
    does: 'The memory of rows that have gone is used again, whoever still holds a value in it.',
    edits: [
      {
        file: 'src/mvcc/row-table.ts',
        find: '    this.#chunks[number] = undefined\n',
        replace: '    this.#chunks[number] = undefined\n    bytes.fill(0)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/row-table.test.ts', name: 'that somebody holds' },
  },
  {
    name: 'overwritten-row-kept-as-newest',
    rows: [0],
    does: 'A version that was overwritten is taken for its row’s newest when room is made.',
    edits: [
      {
        file: 'src/mvcc/row-table.ts',
        find: '      this.#chunk(before).words[before % chunkWordsMax] = outdated\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/row-table.test.ts', name: 'while others are written again' },
  },
  {
    name: 'removed-row-hides-others',
    rows: [0],
    does: 'Rows whose hashes collide with that of a removed one are not found any more.',
    edits: [
      {
        file: 'src/mvcc/place-index.ts',
        find: '      if (distance < ((at - hole) & this.#mask)) continue\n',
        replace: '      if (distance >= 0) continue\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/mvcc/place-index.test.ts', name: 'where hashes collide' },
  },
  {
    name: 'poisoned-entry-answers-nobody',
    rows: [0],
    does: 'Whoever wrote what a replica stops in the middle of waits for ever.',
    edits: [
      {
        file: 'src/range/proposals.ts',
        find: "    for (const write of this.#applying) write.answer({ kind: 'unknown-outcome' })\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/proposals.test.ts', name: 'stops in the middle of an entry' },
  },
  {
    name: 'overwrite-takes-another-row',
    rows: [0],
    does: 'A row written again in one buffer takes the place of another one there.',
    edits: [
      {
        file: 'src/mvcc/write-buffer.ts',
        find: 'isHere ? this.#table.positionOf(before) : this.#places.length',
        replace: 'isHere ? 0 : this.#places.length',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'far-future-clock-merged',
    rows: [64],
    does: 'One clock that is far ahead is merged by everybody.',
    edits: [
      {
        file: 'src/time/hybrid-clock.ts',
        find: '    if (timestamp > addMs(this.raw(), clockSkewMaxMs)) return false\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/time/hybrid-clock.test.ts' },
  },
  {
    name: 'large-entry-blocks',
    rows: [67],
    does: 'An entry larger than an append may be is never sent.',
    edits: [
      {
        file: 'src/log/replica-log.ts',
        find: 'if (bytes > bytesMax && entries.length > 0) break',
        replace: 'if (bytes > bytesMax) break',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/log/segment-log.test.ts', name: 'hands out at least one entry' },
  },
  {
    name: 'large-entry-never-fits-the-window',
    rows: [67],
    does: 'An entry larger than the in-flight window waits for room that never comes.',
    edits: [
      {
        file: 'src/raft/replication.ts',
        find: 'while (progress.next <= log.lastIndex && !progress.inflights.isFull) {',
        replace:
          'while (\n    progress.next <= log.lastIndex &&\n    !progress.inflights.isFull &&\n    inflightBytes(log.entries(progress.next, options.appendBytesMax)) <= options.inflightBytesMax\n  ) {',
      },
      {
        file: 'src/raft/replication.ts',
        find: '  const { log } = state\n  let hasSent = false',
        replace: '  const { log, options } = state\n  let hasSent = false',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'an entry larger than an append' },
  },
]
