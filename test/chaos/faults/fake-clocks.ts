// Wall clocks that can be set while the process runs: libfaketime, preloaded into each node, reads its offset from a file.
//
// As measured with libfaketime 0.9.10 on Node 24: `Date` follows the file within the cache's second, both ways;
// `performance.now()`, `hrtime` and timers stay true, but only with FAKETIME_DONT_FAKE_MONOTONIC=1. Without it a jump back
// ends the process (node: "Assertion failed: (now) >= (timer_base())"). `Date.now()` costs 70 ns with the cache (39 without
// the library, 1,400 with FAKETIME_NO_CACHE=1). A rate ("x1.1") counts from the start of the process, and so jumps: not used.
// Each process leaves a semaphore and a piece of shared memory behind when it is killed; a later process of that id would
// refuse to start.

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faketimeLibrary } from './faketime-library.ts'
import type { NodeProcess } from '../../support/node-process.ts'

const sharedMemory = '/dev/shm'
/** A Date header changes when the node's clock begins a second. */
const flipLimitMs = 1_500

export class FakeClocks {
  readonly #folder: string
  readonly #library: string

  private constructor(folder: string, library: string) {
    this.#folder = folder
    this.#library = library
  }

  /** Throws where there is no libfaketime: clocks that cannot be set would look like clocks that do no harm. */
  static async create(folder: string): Promise<FakeClocks> {
    mkdirSync(folder, { recursive: true })
    return new FakeClocks(folder, await faketimeLibrary())
  }

  environment(name: string): Record<string, string> {
    this.set(name, 0)
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file(name),
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    }
  }

  /** From within a second on, across restarts. */
  set(name: string, offsetMs: number): void {
    const file = this.#file(name)
    // Renamed into place, so that nobody reads half of it.
    writeFileSync(`${file}.new`, `${offsetMs < 0 ? '' : '+'}${(offsetMs / 1_000).toFixed(3)}\n`)
    renameSync(`${file}.new`, file)
  }

  #file(name: string): string {
    return join(this.#folder, `${name}.offset`)
  }

  /** Removes what the library leaves of a process that was killed. */
  ended(pid: number): void {
    for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`])
      rmSync(join(sharedMemory, name), { force: true })
  }
}

/** How far the node's wall clock is ahead of ours, as its HTTP server shows it: within some 50 ms. */
export async function observedOffsetMs(node: NodeProcess): Promise<number> {
  let before: string | undefined
  const deadline = performance.now() + flipLimitMs
  while (performance.now() < deadline) {
    const response = await fetch(`http://${node.place.http}/livez`, { signal: AbortSignal.timeout(1_000) })
    const ours = Date.now()
    await response.arrayBuffer()
    const shown = response.headers.get('date') ?? ''
    if (before !== undefined && shown !== before) return Date.parse(shown) - ours
    before = shown
  }
  throw new Error(`the clock of ${node.name} does not move`)
}
