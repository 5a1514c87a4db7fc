// Finding a node that answers. One address is asked first. The others follow one by one: at once when an attempt fails, and
// otherwise only after a patience that grows, while the attempts under way go on: when a whole fleet connects at once, all
// answers are slow, and whoever then asks everybody makes them slower still. The first answer ends the round.

import type { Clock, Timer } from '../time/clock.ts'

export interface DiscoveryOwner {
  /** In the order in which they should be asked. */
  candidates(): readonly string[]
  /** Resolves to whether the node's answer was of use. Never rejects; gives up when `signal` aborts. */
  ask(address: string, signal: AbortSignal): Promise<boolean>
  /** Somebody waits for a node; asked when all were asked in vain. */
  isWanted(): boolean
}

interface Round {
  readonly left: string[]
  readonly controller: AbortController
  patienceMs: number
  open: number
  timer: Timer | undefined
}

/** More than a healthy node takes to accept a connection and answer; no caller waits long for a dead first address. */
const patienceMsMin = 700
/**
 * Patience is counted in parts. One in which this process was kept from looking, by its own work or by another's, does
 * not count: its answers are slow for the same reason.
 */
const patienceParts = 4
const lateFactor = 1.5
const extensionsMax = 20
const pauseMsMin = 40
const pauseMsMax = 500

export class Discovery {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #owner: DiscoveryOwner
  #round: Round | undefined
  #pause: Timer | undefined
  /** Rounds in a row in which nobody answered. */
  #fruitless = 0

  constructor(clock: Clock, random: () => number, owner: DiscoveryOwner) {
    this.#clock = clock
    this.#random = random
    this.#owner = owner
  }

  /** Begins a round, unless one is under way, or all were asked in vain a moment ago. */
  start(): void {
    if (this.#round !== undefined || this.#pause !== undefined) return
    this.#round = {
      left: [...this.#owner.candidates()],
      controller: new AbortController(),
      patienceMs: patienceMsMin * (0.75 + this.#random() / 2),
      open: 0,
      timer: undefined,
    }
    this.#askNext(this.#round)
  }

  stop(): void {
    this.#pause?.cancel()
    this.#pause = undefined
    this.#end()
  }

  #end(): void {
    const round = this.#round
    this.#round = undefined
    round?.timer?.cancel()
    round?.controller.abort()
  }

  #askNext(round: Round): void {
    round.timer?.cancel()
    round.timer = undefined
    const address = round.left.shift()
    if (address === undefined) return
    round.open++
    if (round.left.length > 0) this.#wait(round, patienceParts, extensionsMax)
    const heard = (isOfUse: boolean): void => {
      if (this.#round !== round) return
      round.open--
      if (isOfUse) this.#found()
      else if (round.left.length > 0) this.#askNext(round)
      else if (round.open === 0) this.#nobody()
    }
    void this.#owner.ask(address, round.controller.signal).then(heard)
  }

  #wait(round: Round, parts: number, extensions: number): void {
    const partMs = round.patienceMs / patienceParts
    const begunMs = this.#clock.monotonicMs()
    round.timer = this.#clock.setTimer(partMs, () => {
      // What has arrived meanwhile is looked at first.
      this.#clock.defer(() => {
        if (this.#round !== round) return
        const isExtended = extensions > 0 && this.#clock.monotonicMs() - begunMs > partMs * lateFactor
        if (isExtended) this.#wait(round, parts, extensions - 1)
        else if (parts > 1) this.#wait(round, parts - 1, extensions)
        if (isExtended || parts > 1) return
        round.patienceMs *= 2
        this.#askNext(round)
      })
    })
  }

  #found(): void {
    this.#fruitless = 0
    this.#end()
  }

  #nobody(): void {
    this.#end()
    const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(this.#fruitless++, 10)) * (0.5 + this.#random())
    if (!this.#owner.isWanted()) return
    this.#pause = this.#clock.setTimer(pauseMs, () => {
      this.#pause = undefined
      if (this.#owner.isWanted()) this.start()
    })
  }
}
