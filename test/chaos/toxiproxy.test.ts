// The faults themselves, on a plain echo server: what every scenario relies on is shown here to happen, byte by byte.

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePorts } from '../support/free-ports.ts'
import { type Link, ToxiproxyServer, toxiproxyMissing } from '../support/toxiproxy.ts'
import { until } from '../support/until.ts'

const missing = await toxiproxyMissing()

interface Wire {
  readonly socket: Socket
  received(): string
  isClosed(): boolean
}

describe.skipIf(missing !== undefined)('faults on a link', () => {
  let toxiproxy: ToxiproxyServer
  let echo: Server
  let link: Link
  let port: number
  /** What has reached the echo server, over all connections. */
  let arrived = ''
  const accepted = new Set<Socket>()

  beforeAll(async () => {
    echo = createServer(socket => {
      accepted.add(socket)
      socket.on('close', () => accepted.delete(socket))
      socket.on('error', () => {})
      socket.on('data', bytes => {
        arrived += bytes.toString()
        socket.write(bytes)
      })
    })
    const [echoPort, listenPort] = (await freePorts(2)) as [number, number]
    port = listenPort
    echo.listen(echoPort, '127.0.0.1')
    await once(echo, 'listening')
    toxiproxy = await ToxiproxyServer.start()
    link = await toxiproxy.link('echo', `127.0.0.1:${port}`, `127.0.0.1:${echoPort}`)
  })

  afterAll(async () => {
    await toxiproxy.close()
    echo.close()
  })

  beforeEach(async () => {
    await toxiproxy.heal()
    arrived = ''
  })

  async function dial(): Promise<Wire> {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    let closed = false
    socket.on('data', bytes => {
      text += bytes.toString()
    })
    socket.on('close', () => {
      closed = true
    })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write('a')
    await until('the first echo', () => text === 'a')
    return { socket, received: () => text, isClosed: () => closed }
  }

  test('drop loses what is sent, and healing closes the connection', async () => {
    const wire = await dial()
    await link.cut('drop', ['upstream'])
    wire.socket.write('b')
    await link.heal()
    await until('the connection is closed', () => wire.isClosed())
    expect(arrived).toBe('a')
    const next = await dial()
    next.socket.destroy()
  })

  test('drop on the way back loses the answers alone', async () => {
    const wire = await dial()
    await link.cut('drop', ['downstream'])
    wire.socket.write('b')
    await until('it arrives', () => arrived === 'ab')
    await link.heal()
    await until('the connection is closed', () => wire.isClosed())
    expect(wire.received()).toBe('a')
  })

  test('hold keeps everything back, and healing delivers it on the same connection', async () => {
    const wire = await dial()
    await link.cut('hold', ['upstream'])
    wire.socket.write('b')
    // The other direction still works, and while a byte takes it the held one had its chance to pass.
    for (const socket of accepted) socket.write('!')
    await until('the greeting', () => wire.received() === 'a!')
    expect(arrived).toBe('a')
    await link.heal()
    await until('the held byte arrives', () => wire.received() === 'a!b')
    expect(wire.isClosed()).toBe(false)
    wire.socket.destroy()
  })

  test('reset closes what stands, and what is dialled until healing', async () => {
    const wire = await dial()
    await link.reset()
    wire.socket.write('b')
    await until('the connection is reset', () => wire.isClosed())
    await link.heal()
    const next = await dial()
    next.socket.destroy()
  })

  test('slow delays each way', async () => {
    const wire = await dial()
    await link.slow(100, 0)
    const start = performance.now()
    wire.socket.write('b')
    await until('the echo', () => wire.received() === 'ab', { intervalMs: 5 })
    expect(performance.now() - start).toBeGreaterThan(190)
    wire.socket.destroy()
  })
})
