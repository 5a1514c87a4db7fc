// How long the cluster is without a leader, and how long a node needs to come back. KILLS, PAUSES, BLACKHOLES and CUTS say
// how often (a first argument is KILLS, too); ELECTION_TIMEOUT_MS is what the nodes are given as --election-timeout. A follower
// waits between once and twice that, drawn anew each time, and the bar is three times that.

import { numberOf } from '../support/environment.ts'
import { isMet, report, type Times } from './failover-report.ts'
import { FailoverBench, type Turn } from './failover-turns.ts'

const electionTimeoutMs = numberOf('ELECTION_TIMEOUT_MS', 300)
const failoverMsMax = 3 * electionTimeoutMs
const rejoinMsMax = 1_000

const kinds = [
  { name: 'kill', what: 'leader killed', turns: numberOf('KILLS', 20), run: 'kill' },
  { name: 'pause', what: 'leader paused', turns: numberOf('PAUSES', 5), run: 'pause' },
  { name: 'blackhole', what: 'leader blackholed', turns: numberOf('BLACKHOLES', 5), run: 'blackhole' },
  { name: 'cut', what: 'follower cut off', turns: numberOf('CUTS', 5), run: 'cutFollower' },
] as const

const begun = performance.now()
const times: Times[] = []
const unseated: string[] = []
{
  await using bench = await FailoverBench.start(electionTimeoutMs)
  for (const { name, what, turns, run } of kinds) {
    const done: Turn[] = []
    for (let turn = 1; turn <= turns; turn++) {
      const result = await bench[run]().catch((error: unknown) => {
        process.stderr.write(`${name} ${turn}/${turns} failed\n${bench.logTails()}\n`)
        throw error
      })
      done.push(result)
      if (result.unseated !== undefined) {
        unseated.push(`${name} ${turn}: ${result.unseated}`)
        process.stderr.write(`${bench.logTails()}\n`)
      }
      const parts = [
        `${name} ${turn}/${turns}:`,
        result.failoverMs === undefined ? '' : `write after ${Math.round(result.failoverMs)} ms`,
        result.rejoinMs === undefined ? '' : `back after ${Math.round(result.rejoinMs)} ms`,
        result.unseated === undefined ? '' : `UNSEATED ${result.unseated}`,
      ]
      process.stderr.write(`${parts.filter(part => part !== '').join('  ')}\n`)
    }
    const failovers = done.flatMap(({ failoverMs }) => failoverMs ?? [])
    const rejoins = done.flatMap(({ rejoinMs }) => rejoinMs ?? [])
    if (failovers.length > 0)
      times.push({ what: `${what} → acknowledged write`, p99MsMax: failoverMsMax, tookMs: failovers })
    if (rejoins.length > 0)
      times.push({ what: `${what}, healed → caught up and reading`, p99MsMax: rejoinMsMax, tookMs: rejoins })
  }
}
for (const each of times) console.log(`${report(each)}\n`)
for (const line of unseated) console.log(`unseated: ${line}`)
const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
console.log(
  `--election-timeout ${electionTimeoutMs} ms; leaders unseated by who came back: ${unseated.length}; ${minutes} minutes`,
)
if (!times.every(isMet) || unseated.length > 0) process.exitCode = 1
