// What simulated clients do: a mix over few keys, so that everything meets everything, with values that are never used twice.

import type { Prng } from '../../src/base/prng.ts'
import { quorate } from '../../src/proto/quorate.js'

const { ReadKind, CompareOperator } = quorate.v1
const keyCount = 12

export type Operation =
  | {
      readonly kind: 'scan'
      readonly start: Uint8Array
      readonly end: Uint8Array
      readonly pageKeys: number
      readonly reverse: boolean
    }
  | { readonly kind: 'write'; readonly writes: readonly quorate.v1.IWrite[]; readonly isSessionless: boolean }
  | {
      readonly kind: 'read'
      readonly keys: readonly Uint8Array[]
      readonly options: quorate.v1.IReadOptions
    }

export function drawOperation(prng: Prng, client: string, number: number, clock: number, token: number): Operation {
  const key = (): Uint8Array => Buffer.from(`k${prng.below(keyCount)}`)
  let part = 0
  const value = (): Uint8Array => {
    const unique = `${client}-${number}-${part++}`
    return Buffer.from(prng.below(20) === 0 ? unique.padEnd(600, '.') : unique)
  }
  const put = (): quorate.v1.IWrite => ({ put: { key: key(), value: value() } })
  const die = prng.below(100)
  const isSessionless = prng.below(8) === 0
  if (die < 30) return { kind: 'write', writes: [put()], isSessionless }
  if (die < 36) return { kind: 'write', writes: [put(), put(), { delete: { key: key() } }], isSessionless: false }
  if (die < 42) return { kind: 'write', writes: [{ delete: { key: key() } }], isSessionless: false }
  if (die < 44) {
    const deleteRange = { start: Buffer.from('k'), end: Buffer.from('l'), limit: 1 + prng.below(4) }
    return { kind: 'write', writes: [{ deleteRange }], isSessionless: false }
  }
  if (die < 54) {
    const compared = key()
    const target = prng.below(2) === 0 ? { version: prng.below(4) } : { absent: prng.below(2) === 0 }
    const operator = prng.below(4) === 0 ? CompareOperator.NOT_EQUAL : CompareOperator.EQUAL
    const commit = {
      compares: [{ key: compared, operator, ...target }],
      then: [{ put: { key: compared, value: value() } }, { put: { key: key(), value: value() } }],
      otherwise: prng.below(2) === 0 ? [{ put: { key: key(), value: value() } }] : [],
    }
    return { kind: 'write', writes: [{ commit }], isSessionless }
  }
  if (die < 58) {
    const [start, end] = [Buffer.from('k'), Buffer.from(prng.below(2) === 0 ? 'l' : 'k5')]
    return { kind: 'scan', start, end, pageKeys: 1 + prng.below(6), reverse: prng.below(2) === 0 }
  }
  const keys = [key(), ...(prng.below(3) === 0 ? [key()] : [])]
  if (die < 80) return { kind: 'read', keys, options: { kind: ReadKind.READ_KIND_LINEARIZABLE } }
  if (die < 86) return { kind: 'read', keys, options: { kind: ReadKind.READ_KIND_STALE } }
  if (die < 93 && token > 0) return { kind: 'read', keys, options: { kind: ReadKind.READ_KIND_SESSION, at: token } }
  const at = clock - prng.below(3_000) * 4_096 * prng.below(2)
  if (at <= 0) return { kind: 'read', keys, options: { kind: ReadKind.READ_KIND_LINEARIZABLE } }
  return { kind: 'read', keys, options: { kind: ReadKind.READ_KIND_AT, at } }
}
