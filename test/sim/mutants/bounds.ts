// Known bugs of what bounds the answers to small requests.

import type { Mutant } from './mutant.ts'

const localRequests = 'src/range/local-requests.ts'
const boundedReads = 'test/range/bounded-reads.test.ts'

export const boundMutants: readonly Mutant[] = [
  {
    name: 'gets-without-a-budget',
    rows: [0],
    does: 'All keys of a batch are read before anybody looks at what they come to.',
    edits: [
      {
        file: 'src/range/get-turns.ts',
        find: 'this.items.length === this.#request.keys.length || this.#budget?.isSpent === true',
        replace: 'this.items.length === this.#request.keys.length',
      },
    ],
    caughtBy: { kind: 'unit', test: boundedReads, name: 'ends with its budget' },
  },
  {
    name: 'gets-in-one-turn',
    rows: [0],
    does: 'A batch of very many gets holds up everybody until it is read.',
    edits: [{ file: 'src/range/get-turns.ts', find: '      if (this.isTurnOver) return\n', replace: '' }],
    caughtBy: { kind: 'unit', test: boundedReads, name: 'gives way to others' },
  },
  {
    name: 'rest-of-gets-without-a-turn',
    rows: [0],
    does: 'Between two turns of a batch of gets nobody else has one.',
    edits: [
      {
        file: localRequests,
        find: '      await roomFor(request)\n      await giveWay()\n      const answer',
        replace: '      await roomFor(request)\n      const answer',
      },
    ],
    caughtBy: { kind: 'unit', test: boundedReads, name: 'gives way to others' },
  },
  {
    name: 'reads-for-whoever-reads-nothing',
    rows: [0],
    does: 'More is read for a client however little it takes of what was read before.',
    edits: [
      {
        file: 'src/base/answer-budget.ts',
        find: '    return this.#bytes === 0 && this.#room?.isFull === true\n',
        replace: '    return false\n',
      },
    ],
    caughtBy: { kind: 'unit', test: boundedReads, name: 'nothing more is read until there is room' },
  },
  {
    name: 'abandoned-read-goes-on',
    rows: [0],
    does: 'A read of an old instant goes to its end, though its caller has gone.',
    edits: [
      {
        file: 'src/mvcc/read-requests.ts',
        find: 'if (isWanted?.() === false)',
        replace: 'if (isWanted === undefined && checkWanted.length > 1)',
      },
    ],
    caughtBy: { kind: 'unit', test: boundedReads, name: 'goes no further' },
  },
  {
    name: 'answer-in-part-taken-as-whole',
    rows: [0],
    does: 'The gateway does not say that gets are left.',
    edits: [
      {
        file: 'src/gateway/gateway.ts',
        find: 'getsLeft: read?.value === undefined ? 0 : gets.length - read.value.items.length',
        replace: 'getsLeft: 0',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/gateway/partial-answers.test.ts', name: 'counts the gets that are left' },
  },
  {
    name: 'scan-orders-all-at-once',
    rows: [0],
    does: 'A scan puts all that was written since the last flush in order in one turn.',
    edits: [{ file: 'src/mvcc/row-order.ts', find: ', 0) > rowsPerTurn\n', replace: ', 0) > Infinity\n' }],
    caughtBy: { kind: 'unit', test: 'test/mvcc/row-order.test.ts', name: 'a part in each turn' },
  },
]
