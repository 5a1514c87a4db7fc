// How much applied log a replica keeps for slow followers: by bytes, so that neither tiny nor huge entries surprise. A
// sample is taken at each engine flush; what lies below the returned index is both flushed and more than enough behind.

import { type Index, asIndex } from '../base/ids.ts'

const samplesMax = 1_024

export class LogRetention {
  readonly #retainedBytes: number
  #samples: { readonly index: Index; readonly bytes: number }[] = []

  constructor(retainedBytes: number) {
    this.#retainedBytes = retainedBytes
  }

  /** `bytes`: all that was ever appended. Returns up to where the log may be truncated, or undefined: nothing yet. */
  flushed(index: Index, bytes: number): Index | undefined {
    const last = this.#samples.at(-1)
    if (last === undefined || (index > last.index && bytes - last.bytes >= this.#retainedBytes / samplesMax))
      this.#samples.push({ index, bytes })
    const past = this.#samples.findLastIndex(sample => bytes - sample.bytes >= this.#retainedBytes)
    if (past < 0) return undefined
    const target = asIndex(this.#samples[past]!.index)
    this.#samples = this.#samples.slice(past + 1)
    return target
  }
}
