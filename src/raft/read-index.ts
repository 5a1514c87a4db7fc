// ReadIndex (dissertation 6.4): a read may be served at the commit index noted when it arrived, once a quorum has
// confirmed, in a round begun after that, that this leader was still the leader. Rounds are numbered by a counter that
// never repeats; a heartbeat carries the newest, and confirms all before it. There is no lease: it would rest on clocks.

import { asIndex, type Index, type ReplicaId } from '../base/ids.ts'
import { type CoreState, nextReadContext, sendOnceTermIsDurable } from './core-state.ts'
import { isSoleVoter } from './configuration.ts'

interface PendingRead {
  /** The number of its round. */
  readonly round: number
  readonly index: Index
  /** Who asked: this replica itself, or another, by its own number. */
  readonly asker: ReplicaId
  readonly context: number
}

/** The leader's reads that wait for their round. */
export class LeaderReads {
  readonly #state: CoreState
  readonly #pending: PendingRead[] = []
  /** The newest round that has gone out with a heartbeat. */
  #roundSent = 0

  constructor(state: CoreState) {
    this.#state = state
  }

  /** What the next heartbeat asks to have confirmed; 0: nothing. */
  get newestRound(): number {
    return this.#pending.at(-1)?.round ?? 0
  }

  get isRoundDue(): boolean {
    return this.newestRound > this.#roundSent
  }

  roundSent(): void {
    this.#roundSent = Math.max(this.#roundSent, this.newestRound)
  }

  /** The caller has made sure that an entry of this term is committed. Answers the ReadState's context to come. */
  add(asker: ReplicaId, askerContext: number): number {
    const state = this.#state
    const round = nextReadContext(state)
    const context = asker === state.id ? round : askerContext
    const read: PendingRead = { round, index: state.log.commit, asker, context }
    if (isSoleVoter(state.configuration, state.id)) this.#answer(read, true)
    else this.#pending.push(read)
    return context
  }

  /** A quorum has answered this round: so it has every round before it. */
  confirmedTo(round: number): void {
    while (this.#pending.length > 0 && (this.#pending[0] as PendingRead).round <= round) {
      this.#answer(this.#pending.shift() as PendingRead, true)
    }
  }

  /** Leadership was lost: nothing more can be confirmed, and whoever asks again makes a new request. */
  fail(): void {
    for (const read of this.#pending) this.#answer(read, false)
    this.#pending.length = 0
  }

  #answer(read: PendingRead, confirmed: boolean): void {
    const { context, index } = read
    if (read.asker === this.#state.id) this.#state.outbox.answerRead({ context, index, confirmed })
    else answerReadRequest(this.#state, read.asker, context, index, confirmed)
  }
}

/** `index` 0 with a refusal: ask again, as a new request. */
export function answerReadRequest(
  state: CoreState,
  to: ReplicaId,
  context: number,
  index: Index,
  confirmed: boolean,
): void {
  sendOnceTermIsDurable(state, {
    kind: 'read-index-response',
    from: state.id,
    to,
    term: state.term,
    context,
    index: confirmed ? index : asIndex(0),
    rejected: !confirmed,
  })
}

/** A follower's or learner's reads that it asked its leader for. Each ends in a ReadState: answered, refused, or given up. */
export class ForwardedReads {
  readonly #state: CoreState
  /** Context to the ticks it may still wait. In the order asked. */
  readonly #waiting = new Map<number, number>()

  constructor(state: CoreState) {
    this.#state = state
  }

  ask(): number {
    const state = this.#state
    const context = nextReadContext(state)
    this.#waiting.set(context, state.options.electionTimeoutTicks)
    sendOnceTermIsDurable(state, {
      kind: 'read-index-request',
      from: state.id,
      to: state.leader,
      term: state.term,
      context,
    })
    return context
  }

  answered(context: number, index: Index, confirmed: boolean): void {
    if (!this.#waiting.delete(context)) return
    this.#state.outbox.answerRead({ context, index, confirmed })
  }

  /** The request or its answer may be lost; a retry is the asker's, and a new request. */
  tick(): void {
    for (const [context, ticks] of this.#waiting) {
      if (ticks > 1) this.#waiting.set(context, ticks - 1)
      else this.answered(context, asIndex(0), false)
    }
  }

  fail(): void {
    for (const context of this.#waiting.keys()) this.answered(context, asIndex(0), false)
  }
}
