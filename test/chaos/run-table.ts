// What a run came to, as text for people.

import { relative } from 'node:path'
import type { ChaosReport } from './run-chaos.ts'

export function chaosTable(report: ChaosReport): string {
  const { workload, nemesis, history } = report
  const { ok, fail, info } = workload.outcomes
  const lines = [
    row(
      'operations',
      `${workload.operations} in ${workload.seconds.toFixed(0)} s: ${workload.okPerSecond.toFixed(0)} ok/s`,
    ),
    row('outcomes', `ok ${ok}   fail ${fail}   unknown ${info} (${(workload.infoShare * 100).toFixed(1)} %)`),
    ...Object.entries(workload.byKind).map(([kind, counts]) =>
      row(`  ${kind}`, `ok ${counts.ok}   fail ${counts.fail}   unknown ${counts.info}`),
    ),
    row('writes among the ok', `${(workload.writeShare * 100).toFixed(0)} %`),
    row('faults verified', String(sum(nemesis.verified))),
    ...Object.entries(nemesis.verified)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, times]) => {
        const refused = nemesis.refused[name]
        return row(`  ${name}`, refused === undefined ? String(times) : `${times} (and ${refused} refused)`)
      }),
    row('two or more at once', `${(nemesis.overlapShare * 100).toFixed(0)} % of the time`),
    row('leader changes', `${report.leaderChanges} (${report.terms} terms)`),
    row('converged', report.convergedMs === undefined ? 'no' : `${Math.round(report.convergedMs)} ms after healing`),
    row(
      'history',
      history === undefined
        ? 'not checked'
        : `${history.verdict}: ${history.operations} operations in ${history.partitions} partitions, ${Math.round(history.elapsedMs)} ms`,
    ),
    row('verdict', report.verdict),
    ...report.reasons.map(reason => row('  because', reason)),
    row('seed', String(report.seed)),
    row('kept in', relative('.', report.folder) || report.folder),
  ]
  return `${lines.join('\n')}\n`
}

function row(name: string, value: string): string {
  return `${name.padEnd(32)} ${value}`
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
