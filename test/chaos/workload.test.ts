// The workload on a cluster that nothing befalls: its history is linearizable, and it does enough to be worth checking.
// And its judge, on reports that fall short.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ProcessCluster } from '../support/process-cluster.ts'
import { until } from '../support/until.ts'
import { History } from './history.ts'
import { checkHistory } from './porcupine.ts'
import { Workload } from './workload.ts'
import { judgeWorkload, WorkloadCounts, type WorkloadReport } from './workload-report.ts'

const loadMs = 5_000

test('without faults everything comes out ok, and the history is linearizable', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-workload-'))
  try {
    // A machine that holds a leader up for a moment must not count as a fault.
    await using cluster = await ProcessCluster.start({ size: 3, proxied: false, electionTimeoutMs: 2_000 })
    const history = new History(join(folder, 'history.jsonl'))
    const nodes = cluster.nodes.map(node => ({ name: node.name, address: node.place.client }))
    const workload = Workload.start({ url: cluster.url, nodes, history, seed: 1 })
    await until('the load has run its time', () => workload.report().seconds * 1_000 >= loadMs)
    const report = await workload.stop()
    await history.close()
    const verdict = await checkHistory(history.path)
    expect(verdict).toMatchObject({ verdict: 'ok', operations: history.operations })
    expect(judgeWorkload(report)).toEqual({ isVoid: false, reasons: [] })
    expect(report.errors).toEqual({})
    expect(Object.keys(report.byKind).sort()).toEqual(
      ['add', 'cas', 'delete', 'dequeue', 'enqueue', 'get', 'put', 'read'].sort(),
    )
    // Beyond what the load did, every key was looked at once more.
    expect(history.operations).toBeGreaterThan(report.operations)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

function reportOf(changes: Partial<WorkloadReport>): WorkloadReport {
  const counts = new WorkloadCounts()
  for (let n = 0; n < 3_100; n++) counts.add(n % 2 === 0 ? 'put' : 'get', 'ok')
  return { ...counts.report(10), ...changes }
}

test('a run is void below its floors, and each reason is named', () => {
  expect(judgeWorkload(reportOf({})).isVoid).toBe(false)
  expect(judgeWorkload(reportOf({ okPerSecond: 299 })).reasons).toEqual([expect.stringContaining('299 operations')])
  expect(judgeWorkload(reportOf({ writeShare: 0.39 })).reasons).toEqual([expect.stringContaining('writes')])
  expect(judgeWorkload(reportOf({ infoShare: 0.21 })).reasons).toEqual([expect.stringContaining('unknown')])
  expect(judgeWorkload(reportOf({ unreadKeys: 1 })).reasons).toEqual([expect.stringContaining('at the end')])
  expect(judgeWorkload(new WorkloadCounts().report(0)).isVoid).toBe(true)
})

test('refusals are not counted towards the rate', () => {
  const counts = new WorkloadCounts()
  for (let n = 0; n < 5_000; n++) counts.add('put', n < 1_000 ? 'ok' : 'fail', 'unavailable')
  expect(judgeWorkload(counts.report(10)).reasons).toEqual([expect.stringContaining('100 operations a second')])
})
