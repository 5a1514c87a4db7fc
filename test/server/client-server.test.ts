import { connect as connectHttp2, constants } from 'node:http2'
import { type Socket, connect } from 'node:net'
import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import type { grpc } from '../../src/proto/quorate.js'
import { healthService } from '../../src/server/health-service.ts'
import { kvService } from '../../src/server/kv-service.ts'
import { parseAddress } from '../../src/server/listen.ts'
import { defineMethod } from '../../src/server/method.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { TestClient, failureOf, putsOf } from '../support/grpc-client.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const serving = { status: 1 as grpc.health.v1.HealthCheckResponse.ServingStatus }

function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.resume()
  })
}

/** Asks the server, over a fresh connection, whether it still serves. */
async function answers(port: number): Promise<boolean> {
  const client = new TestClient(port)
  try {
    return (await client.unary(kvService.Put, { op: { key: bytes('alive') } })).outcome?.kind === 1
  } finally {
    client.close()
  }
}

describe('binding', () => {
  it('says which port is busy, and what to do', async () => {
    await using first = await startFakeServer()
    const second = startFakeServer({ address: `127.0.0.1:${first.port}` })
    const error = await second.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(KvError)
    expect((error as KvError).message).toMatch(new RegExp(`port ${first.port}\\. .*--listen`))
  })

  it.each(['nonsense', '127.0.0.1', '127.0.0.1:99999', ':7101', 'http://x:1'])(
    'refuses the address %s',
    async address => {
      await expect(startFakeServer({ address })).rejects.toThrow('host:port')
    },
  )

  it('takes IPv6 in brackets', () => {
    expect(parseAddress('[::1]:7101')).toEqual({ host: '::1', port: 7101 })
  })
})

describe('health', () => {
  it('is SERVING while the store is ready', async () => {
    await using node = await startFakeServer()
    const client = new TestClient(node.port)
    expect(await client.unary(healthService.Check, {})).toEqual(serving)
    node.node.store.ready = false
    expect(await client.unary(healthService.Check, { service: 'quorate.v1.KV' })).toEqual({ status: 2 })
    const unknown = await failureOf(client.unary(healthService.Check, { service: 'nobody' }))
    expect(unknown.code).toBe(status.NOT_FOUND)
    client.close()
  })

  it('is watched: a change arrives without another call', async () => {
    await using node = await startFakeServer()
    const client = new TestClient(node.port)
    const { path, requestSerialize, responseDeserialize } = healthService.Watch
    const call = client.client.makeServerStreamRequest(
      path,
      (raw: Buffer) => raw,
      responseDeserialize,
      requestSerialize({ message: {}, bytes: 0 }),
    )
    call.on('error', () => {})
    const seen: unknown[] = []
    for await (const message of call) {
      seen.push(message.status)
      if (seen.length === 2) break
      node.node.store.ready = false
    }
    expect(seen).toEqual([1, 2])
    client.close()
  })
})

describe('reflection', () => {
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'
  const listServices = Buffer.from([0x3a, 0x00])

  function ask(port: number): Promise<string> {
    const client = new TestClient(port)
    const call = client.client.makeBidiStreamRequest(
      path,
      (raw: Buffer) => raw,
      (raw: Buffer) => raw,
    )
    return new Promise<string>((resolve, reject) => {
      call.on('data', (raw: Buffer) => resolve(raw.toString('latin1')))
      call.on('error', reject)
      call.write(listServices)
    }).finally(() => client.close())
  }

  it('lists the services when its flag is set', async () => {
    await using node = await startFakeServer({ reflection: true })
    const listed = await ask(node.port)
    for (const name of ['quorate.v1.KV', 'quorate.v1.Admin', 'grpc.health.v1.Health']) expect(listed).toContain(name)
  })

  it('is not there otherwise', async () => {
    await using node = await startFakeServer()
    expect((await failureOf(ask(node.port))).code).toBe(status.UNIMPLEMENTED)
  })
})

describe('bad clients', () => {
  it('with garbage bytes are disconnected, and the node serves on', async () => {
    await using node = await startFakeServer()
    for (const garbage of [
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0',
      'x'.repeat(100_000),
    ]) {
      const socket = connect(node.port, '127.0.0.1')
      const gone = closed(socket)
      socket.write(garbage, 'latin1')
      await gone
    }
    expect(await answers(node.port)).toBe(true)
  })

  it('that begin well and go on with garbage are disconnected, too', async () => {
    await using node = await startFakeServer()
    const socket = connect(node.port, '127.0.0.1')
    const gone = closed(socket)
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    socket.write(Buffer.alloc(4096, 0xee))
    await gone
    expect(await answers(node.port)).toBe(true)
  })

  it('that call what does not exist are told so', async () => {
    await using node = await startFakeServer()
    const client = new TestClient(node.port)
    const nothing = defineMethod('/quorate.v1.KV/Nothing', healthCodec, healthCodec)
    expect((await failureOf(client.unary(nothing, {}))).code).toBe(status.UNIMPLEMENTED)
    client.close()
  })

  it('that leave a call half-sent have it ended', async () => {
    await using node = await startFakeServer({ limits: { unaryMaxMs: 60 } })
    const session = connectHttp2(`http://127.0.0.1:${node.port}`)
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: kvService.Put.path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    })
    const trailers = new Promise<unknown>(resolve => stream.on('response', headers => resolve(headers['grpc-status'])))
    stream.write(Buffer.from([0, 0, 0, 1, 0, 1]))
    expect(await trailers).toBe(String(status.DEADLINE_EXCEEDED))
    session.destroy()
  })

  it('that read nothing are cut, and others are served meanwhile', async () => {
    await using node = await startFakeServer({ limits: { inFlightBytesMax: 256 * 1024, slowReaderMs: 80 } })
    const good = new TestClient(node.port)
    await good.unary(kvService.Put, { op: { key: bytes('big'), value: Buffer.alloc(512 * 1024) } })
    const session = connectHttp2(`http://127.0.0.1:${node.port}`)
    const cut = new Promise<void>(resolve => session.on('close', resolve))
    session.on('error', () => {})
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: kvService.Batch.path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    })
    stream.on('error', () => {})
    stream.on('response', () => stream.pause())
    stream.pause()
    // id 1, gets ['big'], a hundred times: 50 MB of answers.
    const message = Buffer.from([0x08, 0x01, 0x22, 0x03, ...Buffer.from('big')])
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message])
    for (let i = 0; i < 100; i++) stream.write(frame)
    expect((await good.unary(kvService.Get, { key: bytes('big') })).item?.value).toHaveLength(512 * 1024)
    await cut
    expect(node.node.store.reads.length).toBeLessThan(50)
    expect((await good.unary(kvService.Get, { key: bytes('big') })).item?.value).toHaveLength(512 * 1024)
    good.close()
  })
})

describe('the HTTP/2 windows', () => {
  it('are as wide as the limit says, for streams and connections', async () => {
    await using node = await startFakeServer({ limits: { windowBytes: 1024 * 1024 } })
    const session = connectHttp2(`http://127.0.0.1:${node.port}`)
    const settings = await new Promise<{ initialWindowSize?: number }>(resolve => session.on('remoteSettings', resolve))
    expect(settings.initialWindowSize).toBe(1024 * 1024)
    await new Promise<void>(resolve => session.ping(() => resolve()))
    expect(session.state.remoteWindowSize).toBe(1024 * 1024)
    session.destroy()
  })
})

describe('closing', () => {
  it('answers what is in flight, ends the streams and lets the port go', async () => {
    const node = await startFakeServer()
    const { store } = node.node
    let open = (): void => {}
    store.gate = new Promise(resolve => (open = resolve))
    const client = new TestClient(node.port)
    const stream = client.batch()
    const answered: number[] = []
    stream.on('data', response => answered.push(response.id))
    const ended = new Promise<void>(resolve => stream.on('end', resolve))
    stream.write({ id: 1, writes: putsOf([['a', '1']]) })
    while (store.writes.length === 0) await new Promise(resolve => setImmediate(resolve))
    const closing = node.server.close(10_000)
    open()
    await ended
    expect(answered).toEqual([1])
    client.close()
    await closing
    const again = await startFakeServer({ address: `127.0.0.1:${node.port}` })
    await again.server.close(0)
  })

  it('cuts what does not end within the grace', async () => {
    const node = await startFakeServer()
    node.node.store.gate = new Promise(() => {})
    const client = new TestClient(node.port)
    const failed = failureOf(client.unary(kvService.Get, { key: bytes('a') }))
    while (node.node.store.reads.length === 0) await new Promise(resolve => setImmediate(resolve))
    await node.server.close(20)
    expect([status.UNAVAILABLE, status.CANCELLED]).toContain((await failed).code)
    client.close()
  })
})

const healthCodec = { encode: () => ({ finish: () => new Uint8Array() }), decode: () => ({}) }
