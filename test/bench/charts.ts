// `make bench-charts`: what `make bench` measured last, for the README: as SVG beside this file, and as a table in Markdown.
// Each chart names the machine and the settings that it was made with, so that it never stands for another run than its own.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { View, parse } from 'vega'
import { type TopLevelSpec, compile } from 'vega-lite'
import { type Row, markdownTable } from './report.ts'
import { nameOf } from './work.ts'

interface Run {
  readonly at: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string }
  readonly settings: { readonly rounds: number; readonly seconds: number }
  readonly rows: readonly Row[]
}

const resultFile = join(import.meta.dirname, '../../.cache/bench.json')
const folder = join(import.meta.dirname, 'charts')
const colours = { quorate: '#2f6fde', etcd: '#9aa3ad', bar: '#c2410c' }
const wide = 560

const { at, machine, settings, rows } = JSON.parse(readFileSync(resultFile, 'utf8')) as Run
const subtitle = [
  `three nodes each on ${machine.cores} cores (${machine.cpu}), the load included; Node ${machine.node}`,
  `medians of ${settings.rounds} rounds of ${settings.seconds} s, ${at.slice(0, 10)}`,
]
const order = rows.map(row => nameOf(row.work))

const ratios: TopLevelSpec = {
  title: { text: 'Operations a second, as a multiple of etcd’s', subtitle, anchor: 'start' },
  width: wide,
  height: { step: 20 },
  data: {
    values: rows.map(({ work, ratio }) => ({
      work: nameOf(work),
      ...ratio,
      bar: work.ratioMin ?? null,
      text: `${ratio.median.toFixed(1)} ×`,
    })),
  },
  encoding: { y: { field: 'work', type: 'nominal', sort: order, title: null } },
  layer: [
    {
      mark: { type: 'bar', color: colours.quorate },
      encoding: {
        x: { field: 'median', type: 'quantitative', title: '× etcd; thin line: least and most of the rounds' },
      },
    },
    {
      mark: { type: 'rule', color: 'black' },
      encoding: { x: { field: 'least', type: 'quantitative' }, x2: { field: 'most' } },
    },
    {
      mark: { type: 'tick', color: colours.bar, thickness: 3 },
      encoding: { x: { field: 'bar', type: 'quantitative' } },
    },
    {
      mark: { type: 'text', align: 'left', dx: 6 },
      encoding: { x: { field: 'most', type: 'quantitative' }, text: { field: 'text' } },
    },
  ],
}

const latencies: TopLevelSpec = {
  title: { text: 'Latency: from the median to the 99th percentile', subtitle, anchor: 'start' },
  width: wide,
  height: { step: 12 },
  data: {
    values: rows.flatMap(({ work, ours, theirs }) =>
      [['quorate', ours] as const, ['etcd', theirs] as const].map(([system, { p50Ms, p99Ms }]) => ({
        work: nameOf(work),
        system,
        p50Ms,
        p99Ms,
      })),
    ),
  },
  encoding: {
    y: { field: 'work', type: 'nominal', sort: order, title: null },
    yOffset: { field: 'system', sort: ['quorate', 'etcd'] },
    color: {
      field: 'system',
      scale: { domain: ['quorate', 'etcd'], range: [colours.quorate, colours.etcd] },
      title: null,
    },
  },
  layer: [
    {
      mark: { type: 'rule', strokeWidth: 3 },
      encoding: {
        x: {
          field: 'p50Ms',
          type: 'quantitative',
          scale: { type: 'log' },
          title: 'milliseconds (logarithmic): point p50, end p99',
        },
        x2: { field: 'p99Ms' },
      },
    },
    { mark: { type: 'point', filled: true, size: 40 }, encoding: { x: { field: 'p50Ms', type: 'quantitative' } } },
  ],
}

mkdirSync(folder, { recursive: true })
for (const [name, chart] of Object.entries({ ratios, latencies })) {
  const file = join(folder, `${name}.svg`)
  const { spec } = compile({ background: 'white', config: { view: { stroke: null } }, ...chart })
  writeFileSync(file, `${await new View(parse(spec), { renderer: 'none' }).toSVG()}\n`)
  console.log(file)
}
console.log(markdownTable(rows))
