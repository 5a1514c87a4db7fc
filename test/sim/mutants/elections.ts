// Known bugs of elections and votes (rows 1 to 9), as edits of the core.

import { crashes, slowDisks } from './conditions.ts'
import type { Mutant } from './mutant.ts'

const election = 'src/raft/election.ts'
const lowerTerm = 'src/raft/lower-term.ts'
const raft = 'src/raft/raft.ts'

export const electionMutants: readonly Mutant[] = [
  {
    name: 'leaver-tells-nobody',
    rows: [0],
    does: 'A leader that is removed is gone before anyone has heard that it was.',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: '    if (log.hasUnappliedConfiguration) this.tellCommit(index)\n',
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'remove-leader' },
  },
  {
    name: 'vote-before-disk',
    rows: [1],
    does: 'A vote is sent before it is on disk, and forgotten in a crash.',
    edits: [
      {
        file: election,
        find: "state.outbox.sendAfterFlush({\n    kind: 'request-vote-response'",
        replace: "state.outbox.send({\n    kind: 'request-vote-response'",
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: crashes, overrides: slowDisks },
  },
  {
    name: 'campaign-before-disk',
    rows: [1],
    does: 'A candidate asks for votes before its own is on disk, and may vote for another after a crash.',
    edits: [
      {
        file: election,
        find: "state.outbox.sendAfterFlush({\n      kind: 'request-vote',",
        replace: "state.outbox.send({\n      kind: 'request-vote',",
      },
    ],
    caughtBy: { kind: 'sim', seed: 7, kinds: crashes, overrides: slowDisks },
  },
  {
    name: 'own-vote-not-saved',
    rows: [1],
    does: "A candidate's vote for itself is not written.",
    edits: [
      {
        file: 'src/raft/told-states.ts',
        find: '    return this.#hard\n  }\n\n  takeSoftState',
        replace:
          '    return vote === this.#state.id ? { ...this.#hard, vote: 0 as typeof vote } : this.#hard\n  }\n\n  takeSoftState',
      },
      {
        file: raft,
        find: 'hardStateDurable({ term, vote }: HardState): void {\n    const state = this.#state\n',
        replace:
          'hardStateDurable({ term, vote }: HardState): void {\n    const state = this.#state\n    if (vote === noReplica) vote = state.vote\n',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'step-down-clears-vote',
    rows: [2],
    does: 'Whoever steps down within a term forgets its vote of that term.',
    edits: [
      {
        file: raft,
        find: 'if (term > state.term) {\n      state.term = term',
        replace: 'if (term >= state.term) {\n      state.term = term',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'step-down-clears-vote-in-a-schedule',
    rows: [2],
    does: 'The same, in a schedule of three messages.',
    edits: [
      {
        file: raft,
        find: 'if (term > state.term) {\n      state.term = term',
        replace: 'if (term >= state.term) {\n      state.term = term',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'the vote of a term stands when its candidate' },
  },
  {
    name: 'two-terms',
    rows: [3],
    does: 'A leader appends in a term of its own counting, not in the one that it was elected in.',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: 'log.append([{ term, index, kind, data }])',
        replace: "log.append([{ term: log.lastTerm + (kind === 'empty' ? 1 : 0), index, kind, data } as never])",
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'commits-older-terms',
    rows: [4],
    does: 'An entry of an older term is committed by counting (figure 8 of the paper).',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: "    if (index < this.#firstIndex) return\n    assert(log.matches(index, term), 'an entry of an older term is never committed by counting')\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1, kinds: crashes, overrides: slowDisks },
  },
  {
    name: 'commits-older-terms-in-figure-8',
    rows: [4],
    does: 'The same, in the schedule of figure 8.',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: "    if (index < this.#firstIndex) return\n    assert(log.matches(index, term), 'an entry of an older term is never committed by counting')\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'figure-8' },
  },
  {
    name: 'old-candidate-unanswered',
    rows: [5],
    does: 'A pre-vote of an older term is not answered: a long log in a low term and a short one in a high term wait for ever.',
    edits: [{ file: lowerTerm, find: '      refuseVoteRequest(state, message)\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts' },
  },
  {
    name: 'old-leader-unanswered',
    rows: [5, 8],
    does: 'The leader of an older term is not told of the newer one, so whoever is stuck in it never comes back.',
    edits: [{ file: lowerTerm, find: '      refuseOldLeader(state, message)\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts' },
  },
  {
    name: 'votes-tell-no-commit',
    rows: [5, 20],
    does: 'Votes do not tell what is committed: after a membership change nobody may be able to win.',
    edits: [
      {
        file: raft,
        find: "    if (message.kind === 'request-vote' || message.kind === 'request-vote-response') this.#learnCommit(message)\n",
        replace: '',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'commit-by-vote' },
  },
  {
    name: 'equal-timeouts',
    rows: [6],
    does: 'Election timeouts are all equal: campaigns split the vote again and again.',
    edits: [
      {
        file: 'src/raft/election-timer.ts',
        find: 'electionTimeoutTicks + random(electionTimeoutTicks)',
        replace: 'electionTimeoutTicks + random(1)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'timeouts are drawn anew' },
  },
  {
    name: 'no-check-quorum',
    rows: [7],
    does: 'A leader that no quorum answers goes on leading whoever still hears it.',
    edits: [
      {
        file: 'src/raft/leadership.ts',
        find: "return voteResult(this.#state.configuration, isActive) !== 'won'",
        replace: "return voteResult(this.#state.configuration, isActive) === 'pending'",
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'check-quorum' },
  },
  {
    name: 'no-hand-over',
    rows: [7],
    does: 'A leader that steps down for want of a quorum leaves those that heard it waiting.',
    edits: [{ file: raft, find: '    this.#successors = successors\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'check-quorum' },
  },
  {
    name: 'one-successor-alone',
    rows: [7],
    does: 'A leader that steps down for want of a quorum tells one of the others, whether it reaches it or not.',
    edits: [
      {
        file: raft,
        find: '    this.#successors = successors\n',
        replace: '    this.#successors = successors.slice(0, 1)\n',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'check-quorum' },
  },
  {
    name: 'no-pre-vote',
    rows: [8],
    does: 'Whoever was cut off raises its term alone, and unseats the leader when it comes back.',
    edits: [
      {
        file: raft,
        find: 'if (this.#canCampaign) this.#becomePreCandidate()',
        replace: 'if (this.#canCampaign) this.#becomeCandidate(false)',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/scripts.test.ts', name: 'pre-vote' },
  },
  {
    name: 'votes-against-a-living-leader',
    rows: [8],
    does: 'Whoever hears a leader votes for another all the same.',
    edits: [{ file: raft, find: '        if (!message.transfer && this.#isLeaderAlive) return false\n', replace: '' }],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'whoever hears a leader does not vote' },
  },
  {
    name: 'learners-counted',
    rows: [9],
    does: 'What learners have acknowledged counts towards a commit.',
    edits: [
      {
        file: 'src/raft/quorum.ts',
        find: 'const incoming = majorityAcked(configuration.voters, acked)',
        replace: 'const incoming = majorityAcked([...configuration.voters, ...configuration.learners], acked)',
      },
    ],
    caughtBy: { kind: 'sim', seed: 1 },
  },
  {
    name: 'learner-refuses-to-vote',
    rows: [9],
    does: 'A voter that does not know of its promotion yet refuses to vote.',
    edits: [
      {
        file: election,
        find: '  const granted = free && state.log',
        replace: '  const granted = free && state.configuration.voters.includes(state.id) && state.log',
      },
    ],
    caughtBy: { kind: 'unit', test: 'test/raft/paper.test.ts', name: 'a learner, or one that is no member, votes' },
  },
]
