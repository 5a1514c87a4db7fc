// One client opens more sessions than a range keeps. Whoever is known goes on, retries included; what is new is refused, and
// told when to come again; gateways have room of their own; and it is over once the sessions have run out.

import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { sessionLimits } from '../../src/command/sessions.ts'
import { quorate } from '../../src/proto/quorate.js'
import { kvService } from '../../src/server/kv-service.ts'
import { timestampFromUnixMs } from '../../src/time/timestamp.ts'
import { TestClient } from '../support/grpc-client.ts'
import { LocalNodes } from '../support/local-nodes.ts'

const lastsMs = 20_000

it('a flood of sessions costs nobody who is known anything, and ends by itself', { timeout: 90_000 }, async () => {
  await using nodes = await LocalNodes.cluster({ size: 1 })
  const raw = new TestClient(Number(String(nodes.flagsOf('n1').listen).split(':').at(-1)))
  const call = raw.batch()
  const waiting = new Map<number, (response: quorate.v1.BatchResponse) => void>()
  let nextId = 1
  call.on('error', () => {})
  call.on('data', (response: quorate.v1.BatchResponse) => waiting.get(response.id)?.(response))
  const write = (session: Uint8Array, number: number, notAfter: number): Promise<quorate.v1.BatchResponse> => {
    const id = nextId++
    const writes = quorate.v1.WriteBatch.encode({
      session,
      floor: 1,
      notAfter,
      writes: [{ number, put: { key: Buffer.from('flood'), value: Buffer.from(String(number)) } }],
    }).finish()
    return new Promise(resolve => {
      waiting.set(id, resolve)
      call.write({ id, writes })
    })
  }
  const inMs = (ms: number): number => timestampFromUnixMs(Date.now() + ms)

  const far = await write(randomBytes(16), 1, inMs(150_000))
  expect(far.error).toMatchObject({ code: 'invalid-argument', details: { limit: 'notAfterAheadMs' } })

  const known = randomBytes(16)
  const notAfter = inMs(110_000)
  const first = await write(known, 1, notAfter)
  const endsMs = Date.now() + lastsMs
  const codes = new Map<string, number>()
  for (let opened = 0; opened < sessionLimits.sessionsMax + 1_000; opened += 1_000) {
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => write(randomBytes(16), 1, inMs(lastsMs))))
    for (const { error } of answers) codes.set(error?.code ?? 'ok', (codes.get(error?.code ?? 'ok') ?? 0) + 1)
  }
  expect(Date.now(), 'the flood was quick enough to fill the table').toBeLessThan(endsMs)
  expect([...codes.keys()]).toEqual(['ok', 'overloaded'])

  const refused = await write(randomBytes(16), 1, inMs(10_000))
  expect(refused.error).toMatchObject({ code: 'overloaded', retryable: true, details: { queue: 'sessions' } })
  expect(refused.error?.retryAfterMs).toBeGreaterThanOrEqual(50)
  expect((await write(known, 1, notAfter)).outcomes).toEqual(first.outcomes)
  const second = await write(known, 2, notAfter)
  expect(second.outcomes[0]?.kind).toBe(quorate.v1.OutcomeKind.OUTCOME_KIND_DONE)
  const op = { key: Buffer.from('unary'), value: Buffer.from('write') }
  expect((await raw.unary(kvService.Put, { op })).outcome).toMatchObject({ version: 1 })
  // A whole SDK client that begins now waits its turn, and gets it.
  await nodes.client('n1').put('patient', 'client', { timeoutMs: lastsMs + 20_000 })
  expect(Date.now()).toBeGreaterThan(endsMs - 2_000)
  expect((await write(known, 2, notAfter)).outcomes).toEqual(second.outcomes)
  call.cancel()
  raw.close()
})
