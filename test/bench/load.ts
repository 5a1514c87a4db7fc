// Load on Quorate through the SDK, in the terms of etcd/main.go beside it (same flags, same output): closed-loop callers, a
// warm-up that is not counted, `begin` and `end` around what is, then one JSON line. A process of its own.

import { Client as GrpcClient, credentials } from '@grpc/grpc-js'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { must } from '../../src/base/assert.ts'
import { type Client, connect } from '../../src/client/client.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { WorkKind } from './work.ts'

const flags = new Map<string, string>()
for (let index = 2; index + 1 < process.argv.length; index += 2) {
  flags.set((process.argv[index] ?? '').replace(/^-+/, ''), process.argv[index + 1] ?? '')
}
const text = (name: string): string => must(flags.get(name), `the flag -${name} is missing`)
const number = (name: string): number => Number(text(name))

const url = text('url')
const kind = text('work') as WorkKind
const callers = number('callers')
const keys = number('keys')
const valueBytes = number('size')
const scanKeys = number('scan')
const at = number('at')
/** Operations a second of all callers together, begun when they are due; undefined: each when the one before has ended. */
const rate = flags.has('rate') ? number('rate') : undefined
const deadlineMs = 10_000

// Cut at random places: values that neither compress nor repeat, and cost nothing to make.
const noise = randomBytes(valueBytes + 1024 * 1024)
const value = (): Buffer => {
  const from = Math.floor(Math.random() * 1024 * 1024)
  return noise.subarray(from, from + valueBytes)
}
const key = (n: number): string => `bench${valueBytes}/${String(n).padStart(8, '0')}`
const anyKey = (): string => key(Math.floor(Math.random() * keys))

/** One operation of one caller; resolves to the bytes of keys and values that it wrote. */
type Operation = (caller: number) => Promise<number>

function operationOf(client: Client): Operation {
  switch (kind) {
    case 'put':
      return async () => {
        const name = anyKey()
        await client.put(name, value())
        return name.length + valueBytes
      }
    case 'get':
      return async () => wroteNothing(await client.get(anyKey()))
    case 'stale': {
      const options = { consistency: 'stale' } as const
      return async () => wroteNothing(await client.get(anyKey(), options))
    }
    case 'at': {
      const options = { at }
      return async () => wroteNothing(await client.get(anyKey(), options))
    }
    case 'mixed':
      return async () => {
        const name = anyKey()
        if (Math.random() >= 0.1) return wroteNothing(await client.get(name))
        await client.put(name, value())
        return name.length + valueBytes
      }
    case 'cas':
      return compareAndSets(client)
    case 'scan':
      return async () => {
        const first = Math.floor(Math.random() * (keys - scanKeys))
        let count = 0
        for await (const item of client.scan({ start: key(first), end: key(first + scanKeys) })) {
          if (item.value.length === valueBytes) count++
        }
        if (count !== scanKeys) throw new Error(`a scan of ${scanKeys} keys gave ${count}`)
        return 0
      }
    case 'unary-put':
    case 'unary-get':
      return unaryCalls()
  }
}

function wroteNothing(found: Uint8Array | undefined): number {
  if (found?.length !== valueBytes) throw new Error('a key that was filled is not there')
  return 0
}

/** Each caller has a key of its own, and knows what it wrote there. */
function compareAndSets(client: Client): Operation {
  const known = new Map<number, Uint8Array>()
  return async caller => {
    const name = `bench-cas/${caller}`
    const next = value()
    const expected = known.get(caller)
    if (expected === undefined) await client.put(name, next)
    else {
      const { swapped } = await client.compareAndSet(name, expected, next)
      if (!swapped) throw new Error(`${name} was changed by somebody else`)
    }
    known.set(caller, next)
    return name.length + valueBytes
  }
}

/** Plain gRPC, one call an operation, no batching: what a client of another language does. */
function unaryCalls(): Operation {
  const [address = ''] = url.replace(/^quorate:\/\//, '').split(',')
  const client = new GrpcClient(address, credentials.createInsecure())
  const call = <Response>(path: string, bytes: Uint8Array, decode: (bytes: Buffer) => Response) =>
    new Promise<Response>((resolve, reject) => {
      client.makeUnaryRequest(
        `/quorate.v1.KV/${path}`,
        (buffer: Buffer) => buffer,
        decode,
        Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        { deadline: Date.now() + deadlineMs },
        (error, response) => (error ? reject(error) : resolve(response as Response)),
      )
    })
  const header = { timeoutMs: deadlineMs }
  if (kind === 'unary-get')
    return async () => {
      const request = quorate.v1.GetRequest.encode({ header, key: Buffer.from(anyKey()) }).finish()
      const { item } = await call('Get', request, bytes => quorate.v1.GetResponse.decode(bytes))
      return wroteNothing(item?.value ?? undefined)
    }
  return async () => {
    const put = { key: Buffer.from(anyKey()), value: value() }
    const request = quorate.v1.PutRequest.encode({ header, op: put }).finish()
    await call('Put', request, bytes => quorate.v1.WriteResponse.decode(bytes))
    return put.key.length + valueBytes
  }
}

/** Prints an instant at which every key has its first value. */
async function fill(client: Client): Promise<void> {
  let next = 0
  let newest = 0
  const worker = async (): Promise<void> => {
    while (next < keys) {
      const { timestamp } = await client.put(key(next++), value())
      newest = Math.max(newest, timestamp)
    }
  }
  await Promise.all(Array.from({ length: callers }, worker))
  console.log(JSON.stringify({ at: String(newest) }))
}

async function measure(operation: Operation): Promise<void> {
  const seconds = number('seconds')
  const beginMs = performance.now() + number('warmup') * 1000
  const endMs = beginMs + seconds * 1000
  const latenciesMs: number[] = []
  let errors = 0
  let lastError: unknown
  let writtenBytes = 0
  let lastMs = beginMs
  let gapMs = 0
  let isBegun = false
  let isEnded = false
  const loadedMs = performance.now()
  const caller = async (_: unknown, number: number): Promise<void> => {
    let operations = 0
    /** Latency counts from when an operation was due, so that a stall is not hidden by those that it kept from beginning. */
    const next = async (endedMs: number): Promise<number> => {
      if (rate === undefined) return endedMs
      const dueMs = loadedMs + ((operations++ * callers + number) * 1000) / rate
      if (dueMs > endedMs) await delay(dueMs - endedMs)
      return dueMs
    }
    for (let started = await next(loadedMs); started < endMs; ) {
      try {
        const wrote = await operation(number)
        const now = performance.now()
        if (!isBegun && now >= beginMs) {
          isBegun = true
          process.stdout.write('begin\n')
        }
        if (!isEnded && now >= endMs) {
          isEnded = true
          process.stdout.write('end\n')
        }
        if (now >= beginMs && now < endMs) {
          latenciesMs.push(now - started)
          writtenBytes += wrote
          gapMs = Math.max(gapMs, now - lastMs)
          lastMs = now
        }
        started = await next(now)
      } catch (error) {
        errors++
        lastError = error
        started = await next(performance.now())
      }
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  if (!isEnded) process.stdout.write('end\n')
  if (latenciesMs.length === 0) throw new Error(`no operation succeeded, ${errors} failed`, { cause: lastError })
  if (lastError !== undefined) console.error(`${errors} operations failed, the last:`, lastError)
  const sorted = Float64Array.from(latenciesMs).sort()
  const quantile = (part: number): number => Number(sorted[Math.floor(part * (sorted.length - 1))]?.toFixed(3))
  const perSecond = latenciesMs.length / seconds
  const latencies = { p50Ms: quantile(0.5), p99Ms: quantile(0.99), p999Ms: quantile(0.999) }
  console.log(JSON.stringify({ perSecond, ...latencies, gapMs, errors, writtenBytes }))
}

const client = connect(url, { timeoutMs: deadlineMs })
await (flags.has('fill') ? fill(client) : measure(operationOf(client)))
client.close()
process.exit(0)
