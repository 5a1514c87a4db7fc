// `make bench-limits`: what the parts below us do with the same bytes, each alone on this machine: grpc-js, the log's
// flushes, LevelDB. What share of each limit the whole reaches is for `make bench` beside it.

import { Client, credentials } from '@grpc/grpc-js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { constants } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { randomBytes } from 'node:crypto'
import Table from 'cli-table3'
import { must } from '../../src/base/assert.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { type Target, measure } from './peer.ts'
import { type Work, keysUsual, valueBytesUsual } from './work.ts'
import { systemClock } from '../../src/time/system-clock.ts'

const batchOperations = 256
/** A key, a value, and what protobuf puts around them. */
const operationBytes = 18 + valueBytesUsual + 12
const seconds = 4
const flushOperations = 5_000

interface Limit {
  readonly what: string
  readonly perSecond: number
  readonly note: string
}

async function startEcho(): Promise<{ readonly port: string; readonly pid: number; close(): Promise<void> }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'echo-server.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string]
  return {
    port,
    pid: must(child.pid),
    close: async () => {
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
    },
  }
}

/** One message of a batch's size in flight, as the SDK's puts go. */
async function streamEcho(port: string): Promise<Limit> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  const asIs = (bytes: Buffer): Buffer => bytes
  const stream = client.makeBidiStreamRequest('/quorate.v1.KV/Batch', asIs, asIs)
  const message = randomBytes(batchOperations * operationBytes)
  const endMs = performance.now() + seconds * 1000
  let messages = 0
  stream.write(message)
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('data', () => {
      messages++
      if (performance.now() < endMs) stream.write(message)
      else resolve()
    })
  })
  stream.end()
  client.close()
  const perSecond = (messages * batchOperations) / seconds
  return { what: 'grpc-js, a stream: echo', perSecond, note: `${batchOperations} operations a message, one in flight` }
}

async function unaryEcho(port: string, pid: number): Promise<Limit> {
  const peer: Target = {
    name: 'echo',
    load: [process.execPath, join(import.meta.dirname, 'load.ts'), '-url', `quorate://127.0.0.1:${port}`],
    servers: () => Promise.resolve([{ name: 'server', pid }]),
    close: () => Promise.resolve(),
  }
  const shape = { callers: 256, valueBytes: valueBytesUsual, keys: keysUsual, scanKeys: 0, isQuick: false }
  const work: Work = { kind: 'unary-put', ...shape }
  const { perSecond, cpuMicros } = await measure(peer, work, '0', { seconds, warmupSeconds: 1 })
  const cpu = Object.entries(cpuMicros).map(([name, micros]) => `${name} ${micros.toFixed(0)} µs`)
  return { what: 'grpc-js, unary calls: echo', perSecond, note: `256 in flight, one connection; ${cpu.join(', ')}` }
}

async function logFlushes(folder: string): Promise<Limit> {
  const bytes = batchOperations * operationBytes
  const file = await open(join(folder, 'log'), constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC)
  const length = 64 * 1024 * 1024
  await file.write(Buffer.alloc(length))
  const buffer = randomBytes(bytes)
  const endMs = performance.now() + seconds * 1000
  let flushes = 0
  for (let at = 0; performance.now() < endMs; flushes++, at += bytes) {
    if (at + bytes > length) at = 0
    await file.write(buffer, 0, bytes, at)
  }
  await file.close()
  const perSecond = (flushes * batchOperations) / seconds
  return { what: 'log flushes', perSecond, note: `${Math.round(flushes / seconds)} a second of ${bytes} bytes` }
}

async function levelBatches(folder: string): Promise<Limit> {
  const engine = await openLevelEngine(join(folder, 'level'), { clock: systemClock })
  const noise = randomBytes(1024 * 1024 + valueBytesUsual)
  const cpu = process.cpuUsage()
  const endMs = performance.now() + seconds * 1000
  let puts = 0
  while (performance.now() < endMs) {
    const batch = Array.from({ length: flushOperations }, () => {
      const from = Math.floor(Math.random() * 1024 * 1024)
      const key = `d\u0001bench/${String(Math.floor(Math.random() * keysUsual)).padStart(8, '0')}`
      return { key, value: noise.subarray(from, from + valueBytesUsual) }
    })
    await engine.write(batch)
    puts += flushOperations
  }
  await engine.close()
  const { user, system } = process.cpuUsage(cpu)
  const note = `synced, ${flushOperations} records a batch; ${((user + system) / puts).toFixed(1)} µs of CPU a record`
  return { what: 'LevelDB batches', perSecond: puts / seconds, note }
}

const folder = await mkdtemp(join(tmpdir(), 'quorate-limits-'))
const echo = await startEcho()
try {
  const limits = [
    await streamEcho(echo.port),
    await unaryEcho(echo.port, echo.pid),
    await logFlushes(folder),
    await levelBatches(folder),
  ]
  const table = new Table({ head: ['', 'operations a second', ''], style: { head: [], border: [] } })
  for (const { what, perSecond, note } of limits) table.push([what, Math.round(perSecond).toLocaleString('en'), note])
  console.log(table.toString())
} finally {
  await echo.close()
  await rm(folder, { recursive: true, force: true })
}
process.exit(0)
