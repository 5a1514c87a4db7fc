import { describe, expect, it } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { asNodeId } from '../../src/base/ids.ts'
import { defaultWriteLimits } from '../../src/command/limits.ts'
import { quorate } from '../../src/proto/quorate.js'
import { addMs } from '../../src/time/timestamp.ts'
import { createFakeCluster } from '../support/fake-cluster.ts'

const key = (text: string): Uint8Array => Buffer.from(text)
const put = (k: string, value: string): quorate.v1.IWrite => ({ put: { key: key(k), value: key(value) } })
const session = Buffer.alloc(16, 7)

function encodeBatch(writes: quorate.v1.IWrite[], more: quorate.v1.IWriteBatch = { session }): Uint8Array {
  const numbered = more.session ? writes.map((write, i) => ({ ...write, number: i + 1 })) : writes
  return quorate.v1.WriteBatch.encode({ floor: 1, ...more, writes: numbered }).finish()
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: unknown) => (isKvError(error) ? error.code : String(error)),
  )
}

describe('the session of a gateway itself', () => {
  const ofGateway = (response: quorate.v1.IBatchResponse) => response.error ?? response.outcomes?.length

  it('is taken from another gateway, and refused from a client', async () => {
    const { at } = createFakeCluster()
    const writes = encodeBatch([put('a', '1')], { session: new Uint8Array(16).fill(7), notAfter: 1, isGateway: true })
    const { gateway } = at('n1')
    expect(ofGateway(await gateway.batch({ writes }, { isForwarded: true }))).toBe(1)
    expect(ofGateway(await gateway.batch({ writes }))).toMatchObject({ code: 'invalid-argument' })
    // Whatever it says of itself.
    expect(ofGateway(await gateway.batch({ writes, header: { hops: 1 } }))).toMatchObject({ code: 'invalid-argument' })
  })

  it('is what unary writes and batches without a session run under', async () => {
    const { at, state } = createFakeCluster(['n1', 'n2'])
    state.leader = asNodeId('n2')
    const { gateway } = at('n1')
    await gateway.put({ op: { key: key('a'), value: key('1') } })
    expect(ofGateway(await gateway.batch({ writes: encodeBatch([put('a', '1')], {}) }))).toBe(1)
    const batches = at('n2').store.writes.map(({ writes }) => quorate.v1.WriteBatch.decode(writes))
    expect(batches.map(batch => [batch.session.length, batch.isGateway])).toEqual([
      [16, true],
      [16, true],
    ])
  })

  it('names no instant beyond what leaders take, however long its caller waits', async () => {
    const { at } = createFakeCluster(['n1'], { timeoutMaxMs: 900_000 })
    const { gateway, store, hybridClock } = at('n1')
    await gateway.put({ header: { timeoutMs: 900_000 }, op: { key: key('a'), value: key('1') } })
    const { notAfter } = quorate.v1.WriteBatch.decode(store.writes[0]!.writes)
    expect(notAfter).toBeLessThan(addMs(hybridClock.raw(), defaultWriteLimits.notAfterAheadMs))
  })
})

describe('a gateway whose clock is far ahead of the leader', () => {
  const details = { limit: 'notAfterAheadMs', limitValue: '120000', now: '1' }
  const ahead = { kind: 'invalid', message: 'notAfter lies too far ahead', details } as const

  it('says that it is not to be asked, where it chose notAfter itself', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.writeAnswers.push(ahead, ahead)
    expect(await codeOf(gateway.put({ op: { key: key('a'), value: key('1') } }))).toBe('unavailable')
    const response = await gateway.batch({ writes: encodeBatch([put('a', '1')], {}) })
    expect(response.error?.code).toBe('unavailable')
  })

  it('passes the refusal on, details and all, where the caller chose it', async () => {
    const { at } = createFakeCluster()
    const { gateway, store } = at('n1')
    store.writeAnswers.push(ahead)
    const response = await gateway.batch({ writes: encodeBatch([put('a', '1')]) })
    expect(response.error).toMatchObject({ code: 'invalid-argument', details })
  })
})
