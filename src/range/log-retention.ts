// How much applied log a replica keeps for slow followers: by bytes, so that neither tiny nor huge entries surprise. A
// sample is taken at each engine flush; what lies below the returned index is both flushed and more than enough behind.
//
// What a follower needs that is catching up is kept for longer: else, on a slow disk, each snapshot would be too old by the
// time it is installed, and the next one as well (hashicorp/raft#212, braft#528).

import { type Index, asIndex } from '../base/ids.ts'
import type { RaftStatus } from '../raft/types.ts'

const samplesMax = 1_024

export class LogRetention {
  readonly #retainedBytes: number
  readonly #heldBytes: number
  #samples: { readonly index: Index; readonly bytes: number }[] = []

  constructor(retainedBytes: number, heldBytes: number) {
    this.#retainedBytes = retainedBytes
    this.#heldBytes = Math.max(retainedBytes, heldBytes)
  }

  /** `bytes`: all that was ever appended; `needed`: followers need everything above it. Returns up to where the log may be truncated, or undefined: nothing yet. */
  flushed(index: Index, bytes: number, needed: Index): Index | undefined {
    const last = this.#samples.at(-1)
    if (last === undefined || (index > last.index && bytes - last.bytes >= this.#retainedBytes / samplesMax))
      this.#samples.push({ index, bytes })
    const past = this.#samples.findLastIndex(sample => {
      const behind = bytes - sample.bytes
      return behind >= this.#retainedBytes && (sample.index <= needed || behind >= this.#heldBytes)
    })
    if (past < 0) return undefined
    const target = asIndex(this.#samples[past]!.index)
    this.#samples = this.#samples.slice(past + 1)
    return target
  }
}

/** As a leader sees it: up to where everybody has the log who answers, or whom a snapshot is on its way to. */
export function neededByFollowers({ id, progress }: RaftStatus, truncatedIndex: Index): Index {
  let needed = Number.MAX_SAFE_INTEGER
  for (const { replica, match, next, state, recentActive } of progress) {
    if (replica === id || !(recentActive || state === 'snapshot')) continue
    const has = state === 'replicate' ? match : next - 1
    // Whoever lacks what is truncated already gets a snapshot in any case.
    if (has >= truncatedIndex) needed = Math.min(needed, has)
  }
  return asIndex(needed)
}
