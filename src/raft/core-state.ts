// What every role shares: Figure 2's persistent state, the log, and the outboxes. Plain data; who may change what is
// said by the functions around it. A leader's own state lives in leadership.ts and dies with the leadership.

import { assert } from '../base/assert.ts'
import { noReplica, type ReplicaId, type Term } from '../base/ids.ts'
import type { RaftLog } from './raft-log.ts'
import type { Configuration, Message, RaftOptions, RaftStart, ReadState, Role } from './types.ts'

export interface CoreState {
  readonly id: ReplicaId
  readonly options: RaftOptions
  readonly log: RaftLog
  readonly outbox: Outbox
  role: Role
  term: Term
  /** 0: none in this term. */
  vote: ReplicaId
  /** 0: unknown. */
  leader: ReplicaId
  configuration: Configuration
  /** The newest term and vote that are on disk. */
  durableTerm: Term
  durableVote: ReplicaId
  /** The shell has no room for entries. */
  isIntakeHeld: boolean
  /** ReadIndex rounds and forwarded read requests are numbered by one counter, so that no ReadState is mistaken. */
  lastReadContext: number
  /** Nothing is handed out to be applied here, and this replica never leads. */
  isStateLost: boolean
  /** It asks its leader for a snapshot. */
  isStateWanted: boolean
}

export function createCoreState(options: RaftOptions, start: RaftStart, log: RaftLog): CoreState {
  const { hardState, configuration } = start
  return {
    id: options.id,
    options,
    log,
    outbox: new Outbox(),
    role: 'follower',
    term: hardState.term,
    vote: hardState.vote,
    leader: noReplica,
    configuration,
    durableTerm: hardState.term,
    durableVote: hardState.vote,
    isIntakeHeld: false,
    // A restart begins elsewhere: an answer to what this replica asked before it must not pass for one of today's.
    lastReadContext: options.random(2 ** 31) * 2 ** 21,
    isStateLost: start.isStateLost ?? false,
    isStateWanted: false,
  }
}

/** What goes out with the next Ready: beside the flush, and behind it. */
export interface Outgoing {
  readonly messages: Message[]
  readonly messagesAfterFlush: Message[]
  readonly readStates: ReadState[]
}

const nothing: Outgoing = { messages: [], messagesAfterFlush: [], readStates: [] }

export class Outbox {
  #outgoing: Outgoing = emptyOutgoing()

  get isEmpty(): boolean {
    const { messages, messagesAfterFlush, readStates } = this.#outgoing
    return messages.length === 0 && messagesAfterFlush.length === 0 && readStates.length === 0
  }

  send(message: Message): void {
    this.#outgoing.messages.push(message)
  }

  sendAfterFlush(message: Message): void {
    this.#outgoing.messagesAfterFlush.push(message)
  }

  answerRead(readState: ReadState): void {
    this.#outgoing.readStates.push(readState)
  }

  /** Whoever takes them owns them: none of these arrays is written to again. */
  take(): Outgoing {
    if (this.isEmpty) return nothing
    const outgoing = this.#outgoing
    this.#outgoing = emptyOutgoing()
    return outgoing
  }
}

function emptyOutgoing(): Outgoing {
  return { messages: [], messagesAfterFlush: [], readStates: [] }
}

/** For messages that promise nothing but their term: at once when that is on disk, else behind the flush that holds it. */
export function sendOnceTermIsDurable(state: CoreState, message: Message): void {
  const { outbox } = state
  if (state.term === state.durableTerm) outbox.send(message)
  else outbox.sendAfterFlush(message)
}

/** The vote is cast, once a term (paper, figure 2). Whatever tells of it goes behind the flush. */
export function castVote(state: CoreState, candidate: ReplicaId): void {
  assert(state.vote === 0 || state.vote === candidate, 'one vote per term')
  state.vote = candidate
}

export function nextReadContext(state: CoreState): number {
  state.lastReadContext++
  assert(Number.isSafeInteger(state.lastReadContext), 'read contexts are safe integers')
  return state.lastReadContext
}
