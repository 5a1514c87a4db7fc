import { Client as GrpcClient, credentials, status } from '@grpc/grpc-js'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { connect } from '../../src/client/client.ts'
import { parseConfig } from '../../src/config.ts'
import { startNode } from '../../src/node.ts'
import { quorate } from '../../src/proto/quorate.js'
import { kvService } from '../../src/server/kv-service.ts'
import { timestampFromUnixMs } from '../../src/time/timestamp.ts'
import { peerMethods } from '../../src/transport/peer-service.ts'
import { freePorts } from '../support/free-ports.ts'
import { TestClient, failureOf } from '../support/grpc-client.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until, within } from '../support/until.ts'
import { expectUnharmed, runQuorate } from './bad-input.ts'

const kibibyte = 1024
const mebibyte = 1024 * kibibyte
const goodBatch = (): Uint8Array =>
  quorate.v1.WriteBatch.encode({
    session: randomBytes(16),
    floor: 1,
    notAfter: timestampFromUnixMs(Date.now() + 10_000, 0),
    writes: [{ number: 1, put: { key: Buffer.from('good'), value: Buffer.from('v') } }],
  }).finish()
const portOf = (address: unknown): number => Number(String(address).split(':').at(-1))

describe('what clients and strangers send cannot harm a cluster', () => {
  let nodes: LocalNodes
  let raw: TestClient
  beforeAll(async () => {
    nodes = await LocalNodes.cluster({ size: 3, flags: { set: ['limit.server.slowReaderMs=1000'] } })
    raw = new TestClient(portOf(nodes.flagsOf('n1').listen))
  }, 30_000)
  afterAll(async () => {
    raw.close()
    await nodes[Symbol.asyncDispose]()
  })

  const put = (key: Uint8Array, value: Uint8Array, header: quorate.v1.IRequestHeader = {}): Promise<unknown> =>
    raw.unary(kvService.Put, { header, op: { key, value } })

  it.each<readonly [string, number, number, string, RegExp]>([
    ['a key over 4 KiB', 4 * kibibyte + 1, 1, 'too-large', /keyBytesMax.*4096|4096.*keyBytesMax/],
    ['a value over 1 MiB', 1, mebibyte + 1, 'too-large', /valueBytesMax.*1048576|1048576.*valueBytesMax/],
    ['an empty key', 0, 1, 'invalid-argument', /key is empty/],
  ])('%s is refused by name, over gRPC', async (_, keyBytes, valueBytes, code, message) => {
    const { typed } = await failureOf(put(Buffer.alloc(keyBytes, 'k'), Buffer.alloc(valueBytes, 'v')))
    expect(typed?.code).toBe(code)
    expect(`${typed?.message} ${JSON.stringify(typed?.details)}`).toMatch(message)
    expect(typed?.retryable).toBe(false)
    await expectUnharmed(nodes)
  })

  const k = Buffer.from('k')
  const compare = (given: object): Promise<unknown> =>
    raw.unary(kvService.Commit, { op: { compares: [{ key: k, ...given }], then: [{ put: { key: k, value: k } }] } })
  const scan = (given: object): Promise<unknown> => raw.stream(kvService.Scan as never, given as never)
  /** Encoded by hand: -1 in field `field`, as languages without unsigned numbers write it. */
  const minusOne = (field: number): Buffer => Buffer.from([field << 3, ...Array<number>(9).fill(0xff), 1])
  it.each<[string, () => Promise<unknown>, string, RegExp]>([
    ['a get without a key', () => raw.unary(kvService.Get, {}), 'invalid-argument', /key is empty/],
    ['a delete without an operation', () => raw.unary(kvService.Delete, {}), 'invalid-argument', /key is empty/],
    ['a put without an operation', () => raw.unary(kvService.Put, {}), 'invalid-argument', /key is empty/],
    ['a history of a long key', () => raw.unary(kvService.History, { key: Buffer.alloc(5000) }), 'too-large', /4096/],
    ['an empty commit', () => raw.unary(kvService.Commit, { op: {} }), 'invalid-argument', /names no key/],
    ['an operator of -1', () => compare({ operator: -1, version: 1 }), 'invalid-argument', /operator -1/],
    ['an unknown operator', () => compare({ operator: 9, version: 1 }), 'invalid-argument', /operator 9/],
    ['absent by order', () => compare({ operator: 2, absent: true }), 'invalid-argument', /EQUAL or NOT_EQUAL/],
    ['a version with lost digits', () => compare({ version: 2 ** 60 }), 'invalid-argument', /2\^53/],
    ['a compare with nothing', () => compare({}), 'invalid-argument', /without a target/],
    [
      'an unknown kind of read',
      () => raw.unary(kvService.Get, { key: k, options: { kind: 9 as never } }),
      'invalid-argument',
      /read kind 9/,
    ],
    [
      'an instant without its kind',
      () => raw.unary(kvService.Get, { key: k, options: { at: 5 } }),
      'invalid-argument',
      /READ_KIND_AT/,
    ],
    [
      'an instant with lost digits',
      () => raw.unary(kvService.Get, { key: k, options: { kind: 2, at: 2 ** 60 } }),
      'invalid-argument',
      /2\^53/,
    ],
    [
      'a kind without its instant',
      () => raw.unary(kvService.Get, { key: k, options: { kind: 2 } }),
      'invalid-argument',
      /must name it/,
    ],
    [
      'a history before lost digits',
      () => raw.unary(kvService.History, { key: k, before: 2 ** 60 }),
      'invalid-argument',
      /2\^53/,
    ],
    [
      'a scan that ends before it starts',
      () => scan({ start: Buffer.from('b'), end: Buffer.from('a') }),
      'invalid-argument',
      /before it starts/,
    ],
    ['a scan from far behind every key', () => scan({ start: Buffer.alloc(5000) }), 'too-large', /4097/],
    [
      'a scan of -1 keys',
      () => raw.raw({ ...kvService.Get, path: kvService.Scan.path }, minusOne(5)),
      'invalid-argument',
      /limit/,
    ],
    [
      'a deletion of -1 keys',
      () =>
        raw.raw(kvService.DeleteRange, Buffer.concat([Buffer.from([0x12, 13]), minusOne(3), Buffer.from([0x20, 1])])),
      'too-large',
      /deleteRangeKeys/,
    ],
  ])('%s is refused by name, over gRPC', async (_, call, code, message) => {
    const { typed } = await failureOf(call())
    expect([typed?.code, `${typed?.message} ${JSON.stringify(typed?.details)}`]).toEqual([
      code,
      expect.stringMatching(message),
    ])
    await expectUnharmed(nodes)
  })

  it.each<[string, quorate.v1.IDeleteRangeOp]>([
    ['no span', {}],
    ['empty ends', { start: Buffer.alloc(0), end: Buffer.alloc(0) }],
    ['a start alone', { start: Buffer.from('a') }],
    ['an end alone', { end: Buffer.from('z') }],
  ])('a deletion of %s deletes nothing, by any way in', async (_, deleteRange) => {
    await put(Buffer.from('kept'), Buffer.from('v'))
    const unary = await failureOf(raw.unary(kvService.DeleteRange, { op: deleteRange }))
    expect(unary.typed?.code).toBe('invalid-argument')
    const writes = quorate.v1.WriteBatch.encode({
      session: randomBytes(16),
      floor: 1,
      notAfter: timestampFromUnixMs(Date.now() + 10_000, 0),
      writes: [{ number: 1, deleteRange }],
    }).finish()
    const stream = raw.batch()
    stream.write({ id: 1, writes })
    const [{ error }] = (await once(stream, 'data')) as [quorate.v1.BatchResponse]
    stream.end()
    expect(error?.code).toBe('invalid-argument')
    const { item } = await raw.unary(kvService.Get, { key: Buffer.from('kept') })
    expect(item?.timestamp).toBeGreaterThan(0)
  })

  it('a request over 4 MiB is refused with the limit, over gRPC', async () => {
    const error = await failureOf(put(Buffer.from('k'), Buffer.alloc(5 * mebibyte)))
    expect(error.message).toMatch(/RESOURCE_EXHAUSTED.*larger than max \(\d+ vs\.? \d+\)|larger than/i)
    await expectUnharmed(nodes)
  })

  // Limits raised in the SDK, so that it is the cluster that answers.
  it.each([
    ['refused by the SDK itself', {}],
    [
      'refused by the cluster',
      {
        keyBytesMax: mebibyte,
        valueBytesMax: 64 * mebibyte,
        requestBytesMax: 64 * mebibyte,
      },
    ],
  ])('keys and values over the limit are %s with a typed error', async (_, options) => {
    await using client = connect(`quorate://${nodes.flagsOf('n1').listen as string}`, options)
    for (const [key, value] of [
      ['k'.repeat(4 * kibibyte + 1), 'v'],
      ['k', 'v'.repeat(mebibyte + 1)],
    ] as const) {
      const error = await client.put(key, value).catch((thrown: unknown) => thrown)
      expect(isKvError(error, 'too-large'), String(error)).toBe(true)
      expect((error as Error).message).toMatch(/4096|1048576|4 KiB|1 MiB/)
    }
    const error = await client.put('', 'v').catch((thrown: unknown) => thrown)
    expect(isKvError(error, 'invalid-argument'), String(error)).toBe(true)
    expect((error as Error).message).toMatch(/empty|at least one byte/)
    await expectUnharmed(nodes)
  })

  it('a request over 4 MiB from the SDK is refused with a typed error, and its neighbours pass', async () => {
    const options = {
      valueBytesMax: 64 * mebibyte,
      requestBytesMax: 64 * mebibyte,
    }
    await using client = connect(`quorate://${nodes.flagsOf('n1').listen as string}`, options)
    const huge = client.put('k', Buffer.alloc(5 * mebibyte)).catch((thrown: unknown) => thrown)
    const neighbour = client.put('neighbour', 'v')
    const error = await huge
    // The transport refused the message; the SDK does not count on that meaning that nothing was applied.
    expect((error as Error).message).toMatch(/too large.*larger than max \(\d+ vs \d+\)/)
    await neighbour
    await expectUnharmed(nodes)
  })

  it('bytes that are no message are refused as such', async () => {
    for (const method of [kvService.Get, kvService.Put, kvService.Commit]) {
      const { typed } = await failureOf(raw.raw(method, Buffer.from('ffffffffffff', 'hex')))
      expect(typed).toMatchObject({
        code: 'invalid-argument',
        message: expect.stringMatching(/cannot be decoded/),
      })
    }
    await expectUnharmed(nodes)
  })

  it('garbage in place of a WriteBatch is refused, and the stream goes on', async () => {
    const call = raw.batch()
    const garbage = [Buffer.from('ffffffff', 'hex'), Buffer.alloc(500, 0xab), goodBatch().subarray(0, 10)]
    const answers: quorate.v1.BatchResponse[] = []
    call.on('data', (answer: quorate.v1.BatchResponse) => answers.push(answer))
    for (const [id, writes] of garbage.entries()) call.write({ id: id + 1, writes })
    call.write({ id: 9, writes: goodBatch() })
    await until('four answers', () => answers.length === 4)
    for (const answer of answers.filter(({ id }) => id !== 9)) {
      expect(answer.error?.code, JSON.stringify(answer)).toBe('invalid-argument')
      expect(answer.error?.message).not.toBe('')
    }
    expect(answers.find(({ id }) => id === 9)?.outcomes).toHaveLength(1)
    call.end()
    await expectUnharmed(nodes)
  })

  it('a client of another cluster is told so', async () => {
    const { typed } = await failureOf(put(Buffer.from('k'), Buffer.from('v'), { clusterId: randomBytes(16) }))
    expect(typed?.code).toBe('wrong-cluster')
    expect(typed?.message).toMatch(/another cluster; check the addresses/)
    await expectUnharmed(nodes)
  })

  it.each([true, false])('a node of another cluster (moved: %s) says so, and stays out', async moved => {
    await using other = await LocalNodes.cluster({ size: 1 })
    await other.stopNode('n1')
    const lines: string[] = []
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(chunk.toString())
        done()
      },
    })
    const [peer] = await freePorts(1)
    // One that has moved has something to tell to the nodes it was given; one that has not asks them all the same.
    const flags = {
      ...other.flagsOf('n1'),
      node: 'n1',
      ...(moved ? { 'peer-listen': `127.0.0.1:${peer}` } : {}),
    }
    const joins = nodes.names.map(name => nodes.flagsOf(name)['peer-listen'] as string)
    const stranger = await startNode(parseConfig({ ...flags, join: joins }, {}), pino({ level: 'info' }, sink))
    try {
      const isTold = (line: string): boolean =>
        JSON.parse(line).level === 50 && /not of this node's own cluster.*n1 belongs to cluster/.test(line)
      await until('it says so', () => lines.some(isTold))
      expect((await nodes.client('n1').admin.nodes()).length).toBe(3)
    } finally {
      await stranger.close()
    }
    await expectUnharmed(nodes)
  })

  it.each(['listen', 'peer-listen', 'http-listen'])('garbage bytes on --%s end that connection alone', async flag => {
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    for (const bytes of [randomBytes(64 * kibibyte), Buffer.concat([preface, randomBytes(64 * kibibyte)])]) {
      const socket = connectSocket(portOf(nodes.flagsOf('n2')[flag]), '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      const closed = once(socket, 'close')
      socket.write(bytes)
      await within(`${flag} hangs up`, 5_000, closed)
    }
    expect((await fetch(`${nodes.httpUrl('n2')}/livez`)).status).toBe(200)
    await expectUnharmed(nodes)
  })

  it('garbage messages to every method of the peer port are refused, with a reason', async () => {
    const client = new GrpcClient(nodes.flagsOf('n2')['peer-listen'] as string, credentials.createInsecure())
    const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
    for (const [name, { path, requestStream }] of Object.entries(peerMethods)) {
      const call = client.makeBidiStreamRequest(path, identity, identity, {
        deadline: Date.now() + 5_000,
      })
      const said: string[] = []
      let code: number | undefined
      call.on('error', () => {})
      call.on('data', (bytes: Buffer) => said.push(bytes.toString('latin1')))
      call.on('status', end => {
        code = end.code
        said.push(end.details)
      })
      call.write(Buffer.alloc(1_000, 0xff))
      if (!requestStream) call.end()
      await until(`${name} ends`, () => code !== undefined, { limitMs: 6_000 })
      // A refusal comes as a status, or inside the answer where that has room for one.
      expect([0, status.INVALID_ARGUMENT, status.FAILED_PRECONDITION], `${name}: ${said.join()}`).toContain(code)
      expect(said.join(), name).toMatch(/could not be read|not a frame|Hello/)
    }
    client.close()
    await expectUnharmed(nodes)
  })

  it('a client that reads nothing is cut, and costs the others nothing', async () => {
    await nodes.client().put('big', Buffer.alloc(mebibyte - 1))
    // Below grpc-js: that one would hold the end of a call back behind what its reader has not taken.
    const session = connectHttp2(`http://${nodes.flagsOf('n1').listen as string}`)
    session.on('error', () => {})
    const closed = once(session, 'close')
    const stream = session.request({
      ':method': 'POST',
      ':path': kvService.Batch.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.on('error', () => {})
    stream.pause()
    for (let id = 1; id <= 80; id++) {
      const message = quorate.v1.BatchRequest.encode({ id, gets: [Buffer.from('big')] }).finish()
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(message.length, 1)
      stream.write(Buffer.concat([prefix, message]))
    }
    await expectUnharmed(nodes)
    await within('the cut', 5_000, closed)
    await expectUnharmed(nodes)
  })

  it('a scan whose reader has seen enough ends quietly', async () => {
    const client = nodes.client()
    await Promise.all(Array.from({ length: 60 }, (_, at) => client.put(`scan/${at}`, 'x'.repeat(10_000))))
    const connectTo = ['--connect', `quorate://${nodes.flagsOf('n1').listen as string}`]
    const { code, err } = await runQuorate(['scan', 'scan/', ...connectTo], child => {
      child.stdout?.once('data', () => child.stdout?.destroy())
    })
    expect({ code, err }).toEqual({ code: 0, err: '' })
  })
})
