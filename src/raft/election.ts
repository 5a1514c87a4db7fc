// Votes: asking for them and giving them (paper 5.2, 5.4.1; dissertation 9.6 for the pre-vote). Requests and answers
// always go behind the flush: a candidate's own vote is as binding as any other, so nobody hears of its campaign before
// that vote is on disk.

import type { ReplicaId, Term } from '../base/ids.ts'
import { asTerm } from '../base/ids.ts'
import { membersOf } from './configuration.ts'
import { castVote, type CoreState } from './core-state.ts'
import { type VoteResult, voteResult } from './quorum.ts'
import type { Configuration, RequestVote, RequestVoteResponse } from './types.ts'

/** The answers to one campaign. Whoever answers is noted; only voters count. */
export class Ballot {
  readonly #votes = new Map<ReplicaId, boolean>()

  /** The first answer of each replica stands. */
  record(voter: ReplicaId, granted: boolean): void {
    if (!this.#votes.has(voter)) this.#votes.set(voter, granted)
  }

  result(configuration: Configuration): VoteResult {
    return voteResult(configuration, voter => this.#votes.get(voter))
  }
}

/** Asks everyone who votes, in either half. A pre-vote asks in the name of the term it would campaign in. */
export function requestVotes(state: CoreState, preVote: boolean, transfer: boolean): void {
  const { id, log, configuration } = state
  const term = preVote ? asTerm(state.term + 1) : state.term
  for (const to of membersOf(configuration)) {
    if (to === id || !(configuration.voters.includes(to) || configuration.votersOutgoing.includes(to))) continue
    state.outbox.sendAfterFlush({
      kind: 'request-vote',
      from: id,
      to,
      term,
      preVote,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      transfer,
      commit: log.commit,
      commitTerm: log.term(log.commit) ?? asTerm(0),
    })
  }
}

/**
 * Grants or refuses a request of this term, or a pre-vote of a later one; true when a real vote was given.
 * Whether this replica votes by its own configuration is not asked: it may be a voter and not know it yet, and the
 * candidate, who does know, could not win without it (etcd-io/raft, campaign_learner_must_vote).
 */
export function answerVoteRequest(state: CoreState, message: RequestVote): boolean {
  const { preVote, from } = message
  const free =
    state.vote === from ||
    (state.vote === 0 && state.leader === 0) ||
    // A pre-vote for a later term binds nobody.
    (preVote && message.term > state.term)
  const granted = free && state.log.isUpToDate(message.lastIndex, message.lastTerm)
  if (granted && !preVote) castVote(state, from)
  // A grant echoes the term asked for; a refusal tells our own, so that one who is behind catches up.
  answerVote(state, message, granted ? message.term : state.term, granted)
  return granted && !preVote
}

export function refuseVoteRequest(state: CoreState, message: RequestVote): void {
  answerVote(state, message, state.term, false)
}

/** Takes from a vote, either way, what its sender knows to be committed: it is so in any term. True: something new. */
export function maybeCommitByVote(
  { log }: CoreState,
  { commit, commitTerm }: RequestVote | RequestVoteResponse,
): boolean {
  if (commit === undefined || commitTerm === undefined) return false
  if (commit <= log.commit || !log.matches(commit, commitTerm)) return false
  log.commitTo(commit)
  return true
}

function answerVote(state: CoreState, request: RequestVote, term: Term, granted: boolean): void {
  const { log } = state
  state.outbox.sendAfterFlush({
    kind: 'request-vote-response',
    from: state.id,
    to: request.from,
    term,
    preVote: request.preVote,
    granted,
    commit: log.commit,
    commitTerm: log.term(log.commit) ?? asTerm(0),
  })
}
