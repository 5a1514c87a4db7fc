// `make chaos`: MINUTES (default 5) of chaos from SEED (default: the time). Prints what happened, and where everything is.
// Exits with 0 only for a run that is ok.

import { join } from 'node:path'
import { chaosTable } from './run-table.ts'
import { runChaos } from './run-chaos.ts'

const minutes = Number(process.env.MINUTES ?? 5)
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_000)
if (!(minutes > 0) || !Number.isSafeInteger(seed)) throw new Error('MINUTES is a number above 0, SEED a whole number')
const folder = join(import.meta.dirname, '../../.cache/chaos', `seed-${seed}`)

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())

const report = await runChaos({
  seed,
  lengthMs: minutes * 60_000,
  folder,
  signal: stopping.signal,
  say: line => console.error(line),
})
console.log(chaosTable(report))
if (report.verdict !== 'ok') {
  console.log(
    `data, logs, history and schedule: ${folder}\nthe same draws again: make chaos MINUTES=${minutes} SEED=${seed}`,
  )
}
process.exit(report.verdict === 'ok' ? 0 : 1)
