import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keyOperationsOf } from '../../src/base/key-operations.ts'
import { outlineWriteBatch } from '../../src/gateway/write-batch-outline.ts'
import { quorate } from '../../src/proto/quorate.js'

const all = Number.POSITIVE_INFINITY
const keyOperations = (writes: readonly quorate.v1.IWrite[]) =>
  writes.reduce((sum, write) => sum + keyOperationsOf(write), 0)

function decoded(bytes: Uint8Array): quorate.v1.WriteBatch | undefined {
  try {
    return quorate.v1.WriteBatch.decode(bytes)
  } catch {
    return undefined
  }
}

/** What the gateway refuses does no harm; what it accepts must be what the leader will see. */
function expectAgreement(bytes: Uint8Array): void {
  const outline = outlineWriteBatch(bytes, all)
  const batch = decoded(bytes)
  if (outline === undefined || batch === undefined) return
  expect(outline).toEqual({
    sessionBytes: batch.session.length,
    keyspace: batch.keyspace,
    writeCount: batch.writes.length,
    keyOperations: keyOperations(batch.writes),
    isGateway: batch.isGateway,
  })
}

const anyChanges = fc.array(
  fc.oneof(
    fc.record({ put: fc.record({ key: fc.uint8Array(), value: fc.uint8Array() }) }),
    fc.record({ delete: fc.record({ key: fc.uint8Array() }) }),
  ),
)
const anyCommit = fc.record({
  compares: fc.array(fc.record({ key: fc.uint8Array(), version: fc.nat() })),
  then: anyChanges,
  otherwise: anyChanges,
})
const anyBatch = fc.record({
  session: fc.uint8Array({ maxLength: 20 }),
  floor: fc.maxSafeNat(),
  notAfter: fc.maxSafeNat(),
  keyspace: fc.nat(300),
  isGateway: fc.boolean(),
  writes: fc.array(
    fc.oneof(
      fc.record({ number: fc.maxSafeNat(), put: fc.record({ key: fc.uint8Array(), value: fc.uint8Array() }) }),
      fc.record({ delete: fc.record({ key: fc.uint8Array() }) }),
      fc.record({ deleteRange: fc.record({ start: fc.uint8Array(), limit: fc.nat(20_000) }) }),
      fc.record({ commit: anyCommit }),
    ),
  ),
})

describe('the outline of a WriteBatch', () => {
  it('is that of what was encoded', () => {
    fc.assert(
      fc.property(anyBatch, batch => {
        expect(outlineWriteBatch(quorate.v1.WriteBatch.encode(batch).finish(), all)).toEqual({
          sessionBytes: batch.session.length,
          keyspace: batch.keyspace,
          writeCount: batch.writes.length,
          keyOperations: keyOperations(batch.writes),
          isGateway: batch.isGateway,
        })
      }),
    )
  })

  it('counts no further than to the limit', () => {
    const writes = Array.from({ length: 10 }, () => ({ deleteRange: { limit: 100 } }))
    const bytes = quorate.v1.WriteBatch.encode({ writes }).finish()
    expect(outlineWriteBatch(bytes, 250)).toMatchObject({ writeCount: 10, keyOperations: 300 })
  })

  it('agrees with the decoder on any bytes that both accept', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 12 }),
      fc.constantFrom(
        [0x20, 0x01], // keyspace 1
        [0x20, 0x00],
        [0x20, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], // keyspace 2^63 + 1: cut to 1
        [0xa0, 0x80, 0x80, 0x80, 0x80, 0x01, 0x01], // a tag of 2^35 + 32: cut to the keyspace's
        [0x22, 0x01, 0x01], // the keyspace as bytes
        [0x30, 0x01], // of a gateway
        [0x30, 0x00],
        [0x30, 0x80, 0x80, 0x80, 0x80, 0x10], // of a gateway, by a bit above the 32nd
        [0x32, 0x01, 0x01], // that as bytes
        [0x0a, 0x02, 0x01, 0x02],
        [0x2a, 0x00],
        [0x2d, 0, 0, 0, 0],
        [0x29, 0, 0, 0, 0, 0, 0, 0, 0],
      ),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), pieces =>
        expectAgreement(Uint8Array.from(pieces.flatMap(each => [...each]))),
      ),
      { numRuns: 5000 },
    )
  })

  it.each([
    ['a keyspace above 32 bits', [0x20, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    ['a tag above 32 bits', [0xa0, 0x80, 0x80, 0x80, 0x80, 0x01, 0x01]],
    ['a field that is cut off', [0x0a, 0x10, 0x01]],
    ['a group', [0x2b, 0x2c]],
    ['an endless varint', Array.from({ length: 12 }, () => 0x80)],
  ])('refuses %s', (_what, bytes) => {
    expect(outlineWriteBatch(Uint8Array.from(bytes), all)).toBeUndefined()
  })
})
