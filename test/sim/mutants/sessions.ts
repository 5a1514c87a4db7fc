// Known bugs of the table of sessions, beside those that apply a write twice (row 42).

import type { SimOptions } from '../options.ts'
import type { Mutant } from './mutant.ts'

const sessions = 'src/command/sessions.ts'

/** A table that is full most of the time. */
const flood: Partial<SimOptions> = {
  floodEveryMs: 200,
  sessionLimits: {
    sessionsMax: 8,
    gatewaySessionsMax: 8,
    outcomesMax: 40,
    sessionOutcomesMax: 9,
    sessionOutcomesAssured: 4,
    endedPerEntryMax: 2,
  },
}

export const sessionMutants: readonly Mutant[] = [
  {
    name: 'known-sessions-evicted',
    rows: [42],
    does: 'A full table forgets the sessions that end first to take new ones.',
    edits: [
      {
        file: sessions,
        find: "    if (session === undefined) return this.#isNewRefused(batch, logTime) ? 'sessions' : undefined\n",
        replace:
          '    if (session === undefined) {\n      const { first } = this.#order\n      if (this.#isNewRefused(batch, logTime) && first !== undefined) this.#end(first)\n      return undefined\n    }\n',
      },
      {
        file: sessions,
        find: '    if (!this.#isNewRefused(batch, now) || this.#sessions.has(sessionName(session))) return undefined\n',
        replace: '    if (now >= 0) return undefined\n    void session\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: flood },
  },
  {
    name: 'session-ends-early',
    rows: [42],
    does: 'A session ends before log time has passed its last notAfter.',
    edits: [
      {
        file: sessions,
        find: 'if (first.notAfterMax >= logTime || ',
        replace: 'if (first.notAfterMax - 2_000 * logicalPerMs >= logTime || ',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: flood },
  },
  {
    name: 'not-after-unbounded',
    rows: [42],
    does: 'A session may name an end as far ahead as it likes, and is kept until then.',
    edits: [
      {
        file: 'src/command/write-batch.ts',
        find: 'if (!(batch.notAfter <= addMs(now, limits.notAfterAheadMs))) return',
        replace: 'if (!(batch.notAfter <= Number.MAX_SAFE_INTEGER)) return',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: flood },
  },
  {
    name: 'sessions-end-by-a-local-clock',
    rows: [38, 42],
    does: 'Each replica ends sessions by a clock of its own, none too early.',
    edits: [
      {
        file: 'src/command/apply.ts',
        find: 'sessions.endPassed(header.firstTimestamp)',
        replace: 'sessions.endPassed(asTimestamp(header.firstTimestamp - context.state.replicaId * 1_000_000))',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: ['transfer'], overrides: flood },
  },
  {
    name: 'full-table-stops-log-time',
    rows: [42],
    does: 'A leader refuses new sessions though others have ended: without an entry, log time never tells.',
    edits: [
      {
        file: sessions,
        find: 'first !== undefined && first.notAfterMax < now ? undefined : this.retryAfterMs(now)',
        replace: 'first === undefined ? undefined : this.retryAfterMs(now)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/command/sessions.test.ts', name: 'a leader need not take' },
  },
  {
    name: 'removed-session-comes-back',
    rows: [42],
    does: 'A session that came back before its removal was stored, and ended again, is there after a restart.',
    edits: [{ file: sessions, find: 'isStored: this.#dirty.has(id)', replace: 'isStored: false' }],
    caughtBy: { kind: 'unit', test: 'test/command/sessions.test.ts', name: 'is nothing of a session that ended' },
  },
]
