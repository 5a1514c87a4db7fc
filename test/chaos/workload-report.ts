// What a workload came to, and whether that is enough to say anything about the cluster.

import type { CallKind, CallOutcome } from './history.ts'
import { isWrite } from './history.ts'

/** Below any of these a run is void, which is not passed. */
export const workloadFloor = { okPerSecondMin: 300, writeShareMin: 0.4, infoShareMax: 0.2 }

export type OutcomeCounts = Readonly<Record<CallOutcome, number>>

export interface WorkloadReport {
  /** Since the workload began, to its stop. */
  readonly seconds: number
  readonly operations: number
  readonly outcomes: OutcomeCounts
  readonly byKind: Readonly<Partial<Record<CallKind, OutcomeCounts>>>
  /** How often each error was met, `fail` and `info` together. */
  readonly errors: Readonly<Record<string, number>>
  readonly okPerSecond: number
  /** Of the operations that came out ok. */
  readonly writeShare: number
  /** Of all. */
  readonly infoShare: number
  /** Keys that did not answer the last look. */
  readonly unreadKeys: number
}

export interface WorkloadJudgement {
  readonly isVoid: boolean
  /** Why it is void, in words. */
  readonly reasons: readonly string[]
}

export class WorkloadCounts {
  readonly #byKind = new Map<CallKind, Record<CallOutcome, number>>()
  readonly #errors = new Map<string, number>()

  add(kind: CallKind, outcome: CallOutcome, error?: string): void {
    const counts = this.#byKind.get(kind) ?? { ok: 0, fail: 0, info: 0 }
    counts[outcome]++
    this.#byKind.set(kind, counts)
    if (error !== undefined) this.#errors.set(error, (this.#errors.get(error) ?? 0) + 1)
  }

  report(seconds: number): WorkloadReport {
    const outcomes = { ok: 0, fail: 0, info: 0 }
    let okWrites = 0
    for (const [kind, counts] of this.#byKind) {
      for (const outcome of ['ok', 'fail', 'info'] as const) outcomes[outcome] += counts[outcome]
      if (isWrite(kind)) okWrites += counts.ok
    }
    const operations = outcomes.ok + outcomes.fail + outcomes.info
    return {
      seconds,
      operations,
      outcomes,
      byKind: structuredClone(Object.fromEntries(this.#byKind)),
      errors: Object.fromEntries(this.#errors),
      okPerSecond: seconds > 0 ? outcomes.ok / seconds : 0,
      writeShare: outcomes.ok > 0 ? okWrites / outcomes.ok : 0,
      infoShare: operations > 0 ? outcomes.info / operations : 0,
      unreadKeys: 0,
    }
  }
}

/** Only what came out ok counts towards the rate: refusals are cheap, and say little. */
export function judgeWorkload(
  report: WorkloadReport,
  okPerSecondMin: number = workloadFloor.okPerSecondMin,
): WorkloadJudgement {
  const { writeShareMin, infoShareMax } = workloadFloor
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
  const reasons: string[] = []
  if (!(report.okPerSecond >= okPerSecondMin))
    reasons.push(
      `${report.okPerSecond.toFixed(0)} operations a second came out ok; at least ${okPerSecondMin} are needed`,
    )
  if (!(report.writeShare >= writeShareMin))
    reasons.push(`${percent(report.writeShare)} of them were writes; at least ${percent(writeShareMin)} are needed`)
  if (!(report.infoShare <= infoShareMax))
    reasons.push(`${percent(report.infoShare)} of the outcomes are unknown; at most ${percent(infoShareMax)} may be`)
  if (report.unreadKeys > 0) reasons.push(`${report.unreadKeys} keys could not be read at the end`)
  return { isVoid: reasons.length > 0, reasons }
}
