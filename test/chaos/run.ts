// `make chaos`: MINUTES (default 5) of chaos from SEED (default: the time). Prints what happened, and where everything is.
// Exits with 0 only for a run that is ok.

import { join } from 'node:path'
import { numberOf } from '../support/environment.ts'
import { chaosTable } from './run-table.ts'
import { runChaos } from './run-chaos.ts'

const minutes = numberOf('MINUTES', 5, 1)
const seed = numberOf('SEED', Date.now() % 1_000_000_000)
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
