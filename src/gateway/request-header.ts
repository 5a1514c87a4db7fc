// A client's RequestHeader, from untrusted to typed. Whatever a client may get wrong is refused here, by name.

import { KvError } from '../base/errors.ts'
import { type Keyspace, type RangeId, asRangeId, systemKeyspace, userKeyspace } from '../base/ids.ts'
import { sessionIdBytes } from '../base/session-numbers.ts'
import type { quorate } from '../proto/quorate.js'
import type { Timestamp } from '../time/timestamp.ts'

export interface CallHeader {
  readonly clock: Timestamp
  readonly keyspace: Keyspace
  /** undefined: route it by key. */
  readonly rangeId: RangeId | undefined
  readonly generation: number
  readonly timeoutMs: number
  readonly hops: number
}

const emptyHeader: quorate.v1.IRequestHeader = {}

/** Throws KvError `invalid-argument`, `wrong-cluster`, `not-initialised`. */
export function parseHeader(
  wire: quorate.v1.IRequestHeader | null | undefined,
  clusterId: Uint8Array | undefined,
): CallHeader {
  const header = wire ?? emptyHeader
  if (clusterId === undefined) {
    throw new KvError('not-initialised', 'this node is in no cluster yet: run `quorate init` on one node')
  }
  const asked = header.clusterId
  if (asked && asked.length > 0 && !equalBytes(asked, clusterId)) {
    throw new KvError('wrong-cluster', 'the request names another cluster; check the addresses you connect to', {
      details: { asked: Buffer.from(asked).toString('hex'), here: Buffer.from(clusterId).toString('hex') },
    })
  }
  const keyspace = header.keyspace ?? 0
  if (keyspace !== userKeyspace && keyspace !== systemKeyspace) {
    throw new KvError('invalid-argument', `there is no keyspace ${keyspace}`)
  }
  const rangeId = safeInteger('range_id', header.rangeId)
  return {
    clock: safeInteger('clock', header.clock) as Timestamp,
    keyspace: keyspace as Keyspace,
    rangeId: rangeId === 0 ? undefined : asRangeId(rangeId),
    generation: safeInteger('generation', header.generation),
    timeoutMs: header.timeoutMs ?? 0,
    hops: header.hops ?? 0,
  }
}

interface SessionWrite {
  readonly session: Uint8Array
  readonly number: number
  readonly floor: number
  readonly notAfter: number
}

/** How a unary write names itself; undefined: it leaves that to its gateway. */
export function parseSession(header: quorate.v1.IRequestHeader | null | undefined): SessionWrite | undefined {
  const session = header?.session
  if (!header || !session || session.length === 0) return undefined
  if (session.length !== sessionIdBytes) {
    throw new KvError('invalid-argument', `a session has ${sessionIdBytes} bytes, not ${session.length}`)
  }
  const number = safeInteger('number', header.number)
  if (number === 0) throw new KvError('invalid-argument', 'a write in a session needs a number above 0')
  const floor = safeInteger('floor', header.floor)
  if (floor > number) throw new KvError('invalid-argument', `number ${number} is below its own floor ${floor}`)
  return { session, number, floor, notAfter: safeInteger('not_after', header.notAfter) }
}

/** uint64 fields arrive as numbers: above 2^53 they would have lost digits. */
export function safeInteger(field: string, value: number | null | undefined): number {
  const number = value ?? 0
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new KvError('invalid-argument', `${field} is ${number}; it must be an integer below 2^53`)
  }
  return number
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
