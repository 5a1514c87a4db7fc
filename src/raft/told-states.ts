// What the shell was told of HardState and SoftState, so that each Ready carries what is new of them.

import type { CoreState } from './core-state.ts'
import type { HardState, SoftState } from './types.ts'

export class ToldStates {
  readonly #state: CoreState
  #hard: HardState
  #soft: SoftState

  constructor(state: CoreState) {
    this.#state = state
    this.#hard = { term: state.term, vote: state.vote, commit: state.log.commit }
    this.#soft = { role: state.role, term: state.term, leader: state.leader }
  }

  get hasNews(): boolean {
    return this.#hard.commit !== this.#state.log.commit || this.hasNewVote || this.#hasNewSoftState
  }

  /** Or a new term: what must be synced before anything is said that depends on it. */
  get hasNewVote(): boolean {
    const { term, vote } = this.#state
    return this.#hard.term !== term || this.#hard.vote !== vote
  }

  get #hasNewSoftState(): boolean {
    const { role, term, leader } = this.#state
    return this.#soft.role !== role || this.#soft.leader !== leader || this.#soft.term !== term
  }

  /** undefined: nothing of it is new. */
  takeHardState(): HardState | undefined {
    const { term, vote, log } = this.#state
    if (!this.hasNewVote && this.#hard.commit === log.commit) return undefined
    this.#hard = { term, vote, commit: log.commit }
    return this.#hard
  }

  takeSoftState(): SoftState | undefined {
    if (!this.#hasNewSoftState) return undefined
    const { role, term, leader } = this.#state
    this.#soft = { role, term, leader }
    return this.#soft
  }
}
