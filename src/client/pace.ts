// How fast the cluster answers this client just now, and so how long it is worth waiting. Fixed time-outs are made for a
// cluster that answers in milliseconds. Where a whole fleet connects at once, or the machine is busy with something else,
// they would run out everywhere, and what follows, asking others and dialling again, makes everything slower still.

/** Of so many answers the quickest counts: one that had to wait for an election says nothing of the others. */
const samples = 4
const patienceFactor = 4
const patienceMsMax = 10_000

export class Pace {
  readonly #tookMs: number[] = []
  #next = 0

  /** An answer came after so long. */
  took(ms: number): void {
    this.#tookMs[this.#next] = ms
    this.#next = (this.#next + 1) % samples
  }

  /** `usualMs`, or a few times what answers have been taking, if that is longer. */
  patienceMs(usualMs: number): number {
    if (this.#tookMs.length === 0) return usualMs
    return Math.max(usualMs, Math.min(patienceMsMax, patienceFactor * Math.min(...this.#tookMs)))
  }
}
