// How much applied log a replica keeps for slow followers: by bytes, so that neither tiny nor huge entries surprise. What
// lies below the returned index is flushed, more than enough behind, and needed by nobody who holds it (log-holds.ts).

import { type Index, asIndex } from '../base/ids.ts'
import type { Entry } from '../raft/types.ts'

/** So finely the retained part is told apart. */
const samplesOfRetained = 1_024
/** Past it, every second sample goes: what is held in addition may be told apart less finely. */
const samplesMax = 16_384

interface Sample {
  readonly index: Index
  /** All that was appended up to this index. */
  readonly bytes: number
}

export class LogRetention {
  readonly retainedBytes: number
  #samples: Sample[] = []
  #appendedBytes = 0
  /** At the index up to which the log was truncated last. */
  #truncatedBytes = 0

  constructor(retainedBytes: number) {
    this.retainedBytes = retainedBytes
  }

  /** Bytes of entry data appended since this process started. */
  get appendedBytes(): number {
    return this.#appendedBytes
  }

  /** The first may overwrite a suffix. */
  appended(entries: readonly Entry[]): void {
    const first = entries[0]
    const last = entries.at(-1)
    if (first === undefined || last === undefined) return
    while ((this.#samples.at(-1)?.index ?? 0) >= first.index) this.#samples.pop()
    for (const entry of entries) this.#appendedBytes += entry.data.length
    const sampledBytes = this.#samples.at(-1)?.bytes ?? this.#truncatedBytes
    if (this.#appendedBytes - sampledBytes < this.retainedBytes / samplesOfRetained) return
    this.#samples.push({ index: last.index, bytes: this.#appendedBytes })
    if (this.#samples.length > samplesMax) this.#samples = this.#samples.filter((_, at) => at % 2 === 0)
  }

  /** Bytes of the entries after `index`, of those appended since this process started; rather too many than too few. */
  bytesAbove(index: Index): number {
    const sample = this.#samples.findLast(candidate => candidate.index <= index)
    return this.#appendedBytes - (sample?.bytes ?? this.#truncatedBytes)
  }

  /** Up to where the log may be truncated; undefined: nothing yet. `needed`: somebody needs everything above it. */
  flushed(flushed: Index, needed: Index): Index | undefined {
    const past = this.#samples.findLastIndex(
      ({ index, bytes }) => index <= flushed && index <= needed && this.#appendedBytes - bytes >= this.retainedBytes,
    )
    const sample = this.#samples[past]
    if (sample === undefined) return undefined
    this.#truncatedBytes = sample.bytes
    this.#samples = this.#samples.slice(past + 1)
    return asIndex(sample.index)
  }
}
