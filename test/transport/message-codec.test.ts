import { describe, expect, it } from 'vitest'
import { asIndex, asRangeId, asReplicaId, asTerm } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import { MalformedFrame, decodeFrame, encodeFrame } from '../../src/transport/message-codec.ts'
import type { RangeMessage } from '../../src/transport/transport.ts'
import { append, heartbeat } from './transport-contract.ts'

const rest = {
  hello: undefined,
  clock: 5,
  rawClock: 6,
  flushMicros: 7,
  freeBytes: 8,
  diskBand: 'low' as const,
  draining: true,
}

function dataOf(messages: readonly RangeMessage[]): Uint8Array[] {
  return messages.flatMap(({ message }) =>
    message.kind === 'append-entries' ? message.entries.map(entry => entry.data) : [],
  )
}

describe('frames', () => {
  it('carry clocks and what the sender says of itself', () => {
    expect(decodeFrame(encodeFrame({ ...rest, messages: [] }))).toEqual({ ...rest, messages: [] })
  })

  it('carry what a vote tells of the commit index', () => {
    const base = { from: asReplicaId(1), to: asReplicaId(2), term: asTerm(3), preVote: false }
    const told = { commit: asIndex(7), commitTerm: asTerm(2) }
    const messages: RangeMessage[] = (
      [
        { ...base, kind: 'request-vote', lastIndex: asIndex(9), lastTerm: asTerm(2), transfer: false, ...told },
        { ...base, kind: 'request-vote-response', granted: true, ...told },
        { ...base, kind: 'request-vote-response', granted: false },
      ] as const
    ).map(message => ({ rangeId: asRangeId(1), generation: 1, message }))
    expect(decodeFrame(encodeFrame({ ...rest, messages })).messages).toEqual(messages)
  })

  it('leave the one large entry of a frame where it is', () => {
    const bytes = encodeFrame({ ...rest, messages: [append(1, Buffer.alloc(75_000, 1)), heartbeat(1)] })
    const [data] = dataOf(decodeFrame(bytes).messages)
    expect(data?.length).toBe(75_000)
    expect(data?.buffer).toBe(bytes.buffer)
  })

  it('copy an entry that would keep much more than itself in memory', () => {
    const bytes = encodeFrame({
      ...rest,
      messages: [append(1, Buffer.alloc(75_000, 1)), append(2, Buffer.alloc(100, 2))],
    })
    const [, small] = dataOf(decodeFrame(bytes).messages)
    expect(small).toEqual(new Uint8Array(100).fill(2))
    expect(small?.buffer.byteLength).toBe(100)
  })

  it('drop a message of a kind that this version does not know, and keep the others', () => {
    const known = encodeFrame({ ...rest, messages: [heartbeat(1)] })
    const unknown = quorate.v1.PeerFrame.encode({ messages: [{ rangeId: 1, from: 1, to: 2, term: 3 }] }).finish()
    expect(decodeFrame(Buffer.concat([known, unknown])).messages).toEqual([heartbeat(1)])
  })

  it('are refused when a number was rounded or an entry is of no known kind', () => {
    const rounded = quorate.v1.PeerFrame.encode({ messages: [{ term: 2 ** 60, heartbeat: {} }] }).finish()
    expect(() => decodeFrame(rounded)).toThrow(MalformedFrame)
    const odd = quorate.v1.PeerFrame.encode({ messages: [{ appendEntries: { entries: [{ kind: 9 }] } }] }).finish()
    expect(() => decodeFrame(odd)).toThrow(MalformedFrame)
  })

  it('that were cut or scrambled either decode or are refused as malformed, whatever the damage', () => {
    const whole = encodeFrame({ ...rest, messages: [append(3, Buffer.alloc(200, 7)), heartbeat(4)] })
    let refused = 0
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0xa5, at)
      for (const damaged of [whole.subarray(0, at), flipped]) {
        try {
          decodeFrame(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrame)
          refused += 1
        }
      }
    }
    expect(refused).toBeGreaterThan(10)
  })
})
