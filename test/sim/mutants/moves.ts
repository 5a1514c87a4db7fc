// Bugs of nodes that move, and of copies of their data directories.

import type { Mutant } from './mutant.ts'

const cluster = 'src/cluster-membership.ts'
const judge = 'src/range/move-judge.ts'
const registry = 'src/range/node-registry.ts'
const youngTest = 'test/sim/young-movers.test.ts'

export const moveMutants: readonly Mutant[] = [
  {
    name: 'moves-untold',
    rows: [],
    does: 'A member that was given no address to ask does not tell its cluster that it has moved.',
    edits: [
      {
        file: cluster,
        find: 'if (config.join.length > 0 || this.clusterId() !== undefined) this.#joiner.start()',
        replace: 'if (config.join.length > 0) this.#joiner.start()',
      },
      {
        file: cluster,
        find: 'if (this.clusterId() !== undefined && this.#hasToAsk()) this.#joiner?.start()',
        replace: 'if (this.#options.config.join.length > 0 && this.#hasToAsk()) this.#joiner?.start()',
      },
    ],
    caughtBy: { kind: 'sim', seed: 3, kinds: ['move'] },
  },
  {
    name: 'joined-forgets-peers',
    rows: [],
    does: 'What a node was told of its peers when it joined is forgotten with its process.',
    edits: [
      {
        file: cluster,
        find: 'return [...known, ...given, ...Object.values(directory.peers)]',
        replace: 'return [...known, ...given, ...Object.values(directory.peers).slice(99)]',
      },
    ],
    caughtBy: { kind: 'unit', test: youngTest, name: 'who was told of its peers when it joined' },
  },
  {
    name: 'empty-registry-forgets-peers',
    rows: [],
    does: 'A registry that is not here yet passes for one without peers, and those known before are forgotten.',
    edits: [
      {
        file: 'src/node-core.ts',
        find: 'isWhole ? known : { ...directory.peers, ...known }',
        replace: 'isWhole ? known : { ...known }',
      },
    ],
    caughtBy: { kind: 'unit', test: youngTest, name: 'read back an empty registry' },
  },
  {
    name: 'late-removal-by-name',
    rows: [],
    does: 'A removal that waited for its turn removes whoever has joined under the name meanwhile.',
    edits: [
      {
        file: 'src/range/membership.ts',
        find: 'if (target !== undefined && target.replicaId !== meant?.replicaId) return joinedMeanwhile(node)',
        replace: 'if (target !== undefined && meant === null) return joinedMeanwhile(node)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/membership.test.ts', name: 'a removal that waited for its turn' },
  },
  {
    name: 'moved-peers-not-dialled',
    rows: [],
    does: 'A peer that has moved is dialled where it was until a leader has recorded it, though there is none.',
    edits: [
      {
        file: registry,
        find: "      storeIdOf(before.record) !== store ||\n      standingOf(lineage, incarnationOf(before.lineage)) === 'newer'\n",
        replace: '      storeIdOf(before.record) !== store\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 102, kinds: ['move', 'move-all'] },
  },
  {
    name: 'moves-recorded-unasked',
    rows: [],
    does: 'The leader records a new address without asking at the old one whether the store is still there.',
    edits: [
      {
        file: judge,
        find: 'const found = await this.twinOf(speaker, [record?.peerAddress, overrides.get(node)])',
        replace: 'const found = await this.twinOf(speaker, overrides.size > 9 ? [record?.peerAddress] : [])',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/range/move-judge.test.ts', name: 'is the twin when its store answers' },
  },
  {
    name: 'descent-by-size',
    rows: [],
    does: 'Any higher incarnation passes for the newer one, that of another copy as well.',
    edits: [
      {
        file: 'src/transport/incarnation.ts',
        find: "return lineage.includes(recorded) || recorded < (lineage[0] ?? 0) ? 'newer' : 'superseded'",
        replace: "return recorded < incarnationOf(lineage) ? 'newer' : 'superseded'",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/transport/incarnation.test.ts', name: 'the other stands outside' },
  },
  {
    name: 'copies-cut-links',
    rows: [],
    does: 'Whoever introduces himself last as a store takes over its links, though another process is heard on them.',
    edits: [
      {
        file: 'src/transport/frame-receiver.ts',
        find: 'newest.incarnation !== incarnation && now - newest.heardMs <= electionTimeoutMs',
        replace: 'newest.incarnation !== incarnation && now < newest.heardMs',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/transport/copies.test.ts', name: 'cuts off nothing' },
  },
]
