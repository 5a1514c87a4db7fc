// What a set of times looks like: quantiles, and a histogram whose steps widen with the time. Text alone.

import { must } from '../../src/base/assert.ts'

const edgesMs = [20, 50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000]
const barLength = 40

export interface Times {
  readonly what: string
  /** The bar: what 99 of 100 must not exceed. */
  readonly p99MsMax: number
  readonly tookMs: readonly number[]
}

/** The smallest time that at least this share of all does not exceed: with few samples the worst. */
export function quantile(tookMs: readonly number[], share: number): number {
  const sorted = tookMs.toSorted((a, b) => a - b)
  return must(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)], 'no samples')
}

export function isMet({ tookMs, p99MsMax }: Times): boolean {
  return tookMs.length === 0 || quantile(tookMs, 0.99) <= p99MsMax
}

export function report(times: Times): string {
  const { what, p99MsMax, tookMs } = times
  if (tookMs.length === 0) return `${what}: none`
  const at = (share: number): string => `${Math.round(quantile(tookMs, share))}`
  const verdict = isMet(times) ? 'met' : 'MISSED'
  const line = `p50 ${at(0.5)}   p90 ${at(0.9)}   p99 ${at(0.99)}   max ${at(1)} ms   (p99 ≤ ${p99MsMax} ms: ${verdict})`
  return [`${what}, ${tookMs.length} ×`, `  ${line}`, ...histogram(tookMs)].join('\n')
}

function histogram(tookMs: readonly number[]): string[] {
  const counts = new Array<number>(edgesMs.length + 1).fill(0)
  for (const took of tookMs) {
    const bucket = edgesMs.findIndex(edge => took < edge)
    const index = bucket < 0 ? edgesMs.length : bucket
    counts[index] = must(counts[index]) + 1
  }
  const first = counts.findIndex(count => count > 0)
  const last = counts.findLastIndex(count => count > 0)
  const most = Math.max(...counts)
  return counts.slice(first, last + 1).map((count, offset) => {
    const index = first + offset
    const from = String(edgesMs[index - 1] ?? 0).padStart(6)
    const to = String(edgesMs[index] ?? '∞').padStart(6)
    const bar = '█'.repeat(Math.ceil((count / most) * barLength))
    return `  ${from} –${to} ms ${String(count).padStart(4)} ${bar}`.trimEnd()
  })
}
