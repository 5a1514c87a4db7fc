// Load on Quorate through the SDK, in the terms of etcd/main.go beside it (same flags, same output): closed-loop callers, a
// warm-up that is not counted, one JSON line with the rate and the latencies. A process of its own.

import { connect } from '../../src/client/client.ts'

const flags = new Map<string, string>()
for (let index = 2; index + 1 < process.argv.length; index += 2) {
  flags.set((process.argv[index] ?? '').replace(/^-+/, ''), process.argv[index + 1] ?? '')
}
const text = (name: string, fallback: string) => flags.get(name) ?? fallback
const number = (name: string, fallback: number) => Number(flags.get(name) ?? fallback)

const work = text('work', 'put')
const callers = number('callers', 64)
const seconds = number('seconds', 5)
const warmupSeconds = number('warmup', 1)
const keys = number('keys', 100_000)
const value = Buffer.alloc(number('size', 256), 'v')

const client = connect(text('url', 'quorate://127.0.0.1:7101'))
const key = (n: number) => `bench/${String(n).padStart(8, '0')}`

async function fill(): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < keys) await client.put(key(next++), value)
  }
  await Promise.all(Array.from({ length: callers }, worker))
}

async function measure(): Promise<void> {
  const begin = performance.now() + warmupSeconds * 1000
  const end = begin + seconds * 1000
  const latencies: number[] = []
  let errors = 0
  const caller = async () => {
    for (let started = performance.now(); started < end; started = performance.now()) {
      const name = key(Math.floor(Math.random() * keys))
      try {
        if (work === 'put') await client.put(name, value)
        else await client.get(name)
        const now = performance.now()
        if (started > begin && now < end) latencies.push(now - started)
      } catch {
        errors++
      }
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  if (latencies.length === 0) throw new Error(`no operation succeeded, ${errors} failed`)
  const sorted = Float64Array.from(latencies).sort()
  const at = (quantile: number) => Number(sorted[Math.floor(quantile * (sorted.length - 1))]?.toFixed(3))
  console.log(JSON.stringify({ perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), errors }))
}

await (work === 'fill' ? fill() : measure())
client.close()
