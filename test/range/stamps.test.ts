import { describe, expect, it } from 'vitest'
import { asIndex, asTerm } from '../../src/base/ids.ts'
import { encodeBatchEntry } from '../../src/command/entry.ts'
import type { Entry } from '../../src/raft/types.ts'
import { mergeStamps } from '../../src/range/stamps.ts'
import { HybridClock } from '../../src/time/hybrid-clock.ts'
import { asTimestamp, epochUnixMs } from '../../src/time/timestamp.ts'

const entry = (data: Uint8Array): Entry => ({ term: asTerm(1), index: asIndex(1), kind: 'command', data })

describe('stamps of entries that come in', () => {
  it('move the clock past them, so that whoever leads next stamps above them', () => {
    const clock = new HybridClock(() => epochUnixMs)
    const firstTimestamp = asTimestamp(5_000_000)
    mergeStamps(clock, [
      entry(encodeBatchEntry({ commandVersion: 1, generation: 1, firstTimestamp, operations: 3, requests: [] })),
    ])
    expect(clock.now()).toBe(5_000_003)
  })

  it('of bytes that are no entry of ours are nothing, and harm nobody', () => {
    const clock = new HybridClock(() => epochUnixMs)
    mergeStamps(clock, [entry(Uint8Array.of(1, 2, 3)), entry(new Uint8Array(100).fill(0xff))])
    expect(clock.now()).toBeLessThan(10)
  })
})
