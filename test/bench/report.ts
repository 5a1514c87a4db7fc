// Tables of what was measured, ours beside theirs.

import Table from 'cli-table3'
import type { Ratio, Sample } from './sample.ts'
import { type Work, nameOf } from './work.ts'

export interface Row {
  readonly work: Work
  readonly ours: Sample
  readonly theirs: Sample
  /** Of operations a second, ours to theirs. */
  readonly ratio: Ratio
  readonly p50Ratio: Ratio
  readonly samples: readonly [ours: readonly Sample[], theirs: readonly Sample[]]
}

const plain = { style: { head: [], border: [] } }
const whole = (value: number): string => Math.round(value).toLocaleString('en')
const times = ({ median, least, most }: Ratio): string =>
  `${median.toFixed(2)} × (${least.toFixed(2)}–${most.toFixed(2)})`

function barOf({ ratioMin, p50RatioMax }: Work): string {
  if (ratioMin !== undefined) return `≥ ${ratioMin} ×`
  return p50RatioMax === undefined ? '' : `p50 ≤ ${p50RatioMax} ×`
}

export function ratioTable(rows: readonly Row[]): string {
  const table = new Table({ head: ['', 'operations a second', 'p50', 'bar'], ...plain })
  for (const { work, ratio, p50Ratio } of rows) table.push([nameOf(work), times(ratio), times(p50Ratio), barOf(work)])
  return table.toString()
}

export function rowTable(rows: readonly Row[]): string {
  const side = (name: string): string[] => [`${name} /s`, 'p50 ms', 'p99', 'p99.9', 'CPU µs', 'MiB', 'written ×']
  const table = new Table({ head: ['', ...side('quorate'), ...side('etcd'), 'ratio', 'bar'], ...plain })
  for (const { work, ours, theirs, ratio } of rows)
    table.push([nameOf(work), ...cells(ours), ...cells(theirs), times(ratio), barOf(work)])
  return table.toString()
}

/** For the README. */
export function markdownTable(rows: readonly Row[]): string {
  const head = ['', 'quorate /s', 'p50 ms', 'p99 ms', 'etcd /s', 'p50 ms', 'p99 ms', 'ratio (least–most)']
  const side = ({ perSecond, p50Ms, p99Ms }: Sample): string[] => [whole(perSecond), p50Ms.toFixed(2), p99Ms.toFixed(2)]
  const lines = rows.map(({ work, ours, theirs, ratio }) => [
    nameOf(work),
    ...side(ours),
    ...side(theirs),
    times(ratio),
  ])
  return [head, head.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** CPU: of the load, then of each server. */
function cells(sample: Sample): string[] {
  const { load = 0, ...servers } = sample.cpuMicros
  return [
    whole(sample.perSecond),
    sample.p50Ms.toFixed(2),
    sample.p99Ms.toFixed(2),
    sample.p999Ms.toFixed(2),
    [load, ...Object.values(servers)].map(micros => micros.toFixed(1)).join(' '),
    whole(Object.entries(sample.residentMib).reduce((sum, [name, mib]) => (name === 'load' ? sum : sum + mib), 0)),
    sample.writeFactor > 0 ? sample.writeFactor.toFixed(1) : '',
  ]
}

export function barsMissed(rows: readonly Row[]): string[] {
  return rows.flatMap(({ work, ratio, p50Ratio, ours, theirs }) => {
    const { ratioMin, p50RatioMax } = work
    const missed: string[] = []
    if (ratioMin !== undefined && !(ratio.median >= ratioMin))
      missed.push(`${nameOf(work)}: ${times(ratio)} of etcd's operations, bar ${barOf(work)}`)
    if (p50RatioMax !== undefined && !(p50Ratio.median <= p50RatioMax))
      missed.push(`${nameOf(work)}: ${times(p50Ratio)} of etcd's p50, bar ${barOf(work)}`)
    if (ours.errors > 0 || theirs.errors > 0)
      missed.push(`${nameOf(work)}: errors, quorate ${ours.errors}, etcd ${theirs.errors}`)
    return missed
  })
}
