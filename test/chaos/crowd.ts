// A crowd of clients in several processes, as a fleet of services would be: they connect at once, and use the cluster at once.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface CrowdOrder {
  readonly round: number
  /** Of each call. */
  readonly timeoutMs: number
}

export interface CrowdReport {
  /** Of each client that was served: from the order to the answer of its get. */
  readonly tookMs: readonly number[]
  readonly failures: readonly string[]
  readonly cpuMs: number
  readonly residentBytes: number
}

export class Crowd implements AsyncDisposable {
  readonly #members: readonly ChildProcess[]
  #round = 0

  private constructor(members: readonly ChildProcess[]) {
    this.#members = members
  }

  /** The processes run; none has connected yet. */
  static async start(url: string, processes: number, clientsEach: number): Promise<Crowd> {
    const program = join(import.meta.dirname, 'crowd-member.ts')
    const members = Array.from({ length: processes }, () => fork(program, [url, String(clientsEach)]))
    await Promise.all(members.map(member => once(member, 'message')))
    return new Crowd(members)
  }

  /** Every client puts and gets, all at once. Resolves when all of them have ended. */
  async round(timeoutMs: number): Promise<CrowdReport> {
    const order: CrowdOrder = { round: ++this.#round, timeoutMs }
    const reports = await Promise.all(
      this.#members.map(async member => {
        const reported = once(member, 'message') as Promise<[CrowdReport]>
        member.send(order)
        return (await reported)[0]
      }),
    )
    return {
      tookMs: reports.flatMap(report => report.tookMs).sort((a, b) => a - b),
      failures: reports.flatMap(report => report.failures),
      cpuMs: reports.reduce((sum, report) => sum + report.cpuMs, 0),
      residentBytes: reports.reduce((sum, report) => sum + report.residentBytes, 0),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#members.map(member => once(member, 'exit'))
    for (const member of this.#members) member.disconnect()
    await Promise.all(ended)
  }
}
