// What becomes of a message of a term that is past: it has no effect here, and whoever waits for an answer gets one.

import { asIndex } from '../base/ids.ts'
import type { CoreState } from './core-state.ts'
import { refuseVoteRequest } from './election.ts'
import { refuseOldLeader } from './follower.ts'
import { answerReadRequest } from './read-index.ts'
import type { Message } from './types.ts'

/** Whoever is behind learns our term by an answer; a stale answer itself says nothing. */
export function answerLowerTerm(state: CoreState, message: Message): void {
  switch (message.kind) {
    case 'append-entries':
    case 'heartbeat':
      refuseOldLeader(state, message)
      return
    case 'request-vote':
      refuseVoteRequest(state, message)
      return
    case 'read-index-request':
      answerReadRequest(state, message.from, message.context, asIndex(0), false)
      return
    default:
  }
}
