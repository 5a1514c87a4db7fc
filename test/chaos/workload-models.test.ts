// The workload, its recorder and the checker together, against a store in memory that answers late, refuses, and leaves
// callers in the dark. When it keeps its word the history must pass, unknown outcomes and all; and each way of breaking it
// must show.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { createPrng } from '../../src/base/prng.ts'
import { until } from '../support/until.ts'
import { History } from './history.ts'
import { checkHistory, type Verdict } from './porcupine.ts'
import { Workload } from './workload.ts'
import type { Access } from './workload-access.ts'

type Lie =
  | 'nothing'
  | 'reads are stale'
  | 'acknowledged writes are lost'
  | 'refused writes are applied'
  | 'writes are applied twice'
  | 'swaps do not compare'
  | 'scans miss a key'

const lieShare = 0.02
const operations = 5_000

/** Everything takes effect at one moment, some turns of the event loop after the question and some before the answer. */
function memoryAccess(lie: Lie, seed: number): Access {
  const prng = createPrng(seed)
  const data = new Map<string, string>()
  const before = new Map<string, string | undefined>()
  const late: (() => void)[] = []
  const lies = (which: Lie): boolean => lie === which && prng.next() < lieShare
  const wait = async (): Promise<void> => {
    for (let left = prng.below(4); left > 0; left--) await turn()
  }
  const set = (key: string, value: string | undefined): void => {
    before.set(key, data.get(key))
    if (value === undefined) data.delete(key)
    else data.set(key, value)
  }
  const write = async <Result>(apply: () => Result, undo: Result): Promise<Result> => {
    await wait()
    // What was left undone takes effect at some later time.
    while (prng.next() < 0.02 && late.length > 0) late.shift()?.()
    const fate = prng.next()
    if (fate < 0.03) {
      if (lie === 'refused writes are applied') apply()
      throw new KvError('unavailable', 'refused')
    }
    if (fate < 0.05) {
      if (fate < 0.04) apply()
      else if (fate < 0.045) late.push(apply)
      await wait()
      throw new KvError('unknown-outcome', 'who knows')
    }
    const result = lies('acknowledged writes are lost') ? undo : apply()
    if (lies('writes are applied twice')) late.push(apply)
    await wait()
    return result
  }
  return {
    node: 'memory',
    get: async key => {
      await wait()
      const value = (lies('reads are stale') && before.has(key) ? before.get(key) : data.get(key)) ?? null
      await wait()
      return value
    },
    put: (key, value) => write(() => set(key, value), undefined),
    delete: key =>
      write(() => {
        const found = data.has(key)
        set(key, undefined)
        return found
      }, true),
    compareAndSet: (key, expected, value) =>
      write(() => {
        if ((data.get(key) ?? null) !== expected && !lies('swaps do not compare')) return false
        set(key, value)
        return true
      }, true),
    scan: async prefix => {
      await wait()
      const found = [...data].filter(([key]) => key.startsWith(prefix)).map(([, value]) => value)
      if (lies('scans miss a key')) found.shift()
      await wait()
      return found
    },
    close: () => {},
  }
}

async function verdictOn(lie: Lie, seed: number): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-models-'))
  try {
    const history = new History(join(folder, 'history.jsonl'))
    const access = memoryAccess(lie, seed)
    const workload = Workload.start({ url: '', nodes: [], history, seed, access, rate: 20_000, clients: 16 })
    await until('enough operations', () => workload.report().operations >= operations)
    await workload.stop()
    await history.close()
    return await checkHistory(history.path, { partitionLimitMs: 10_000 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test.each([1, 2, 3])('an honest store passes, unknown outcomes and late effects among them (seed %i)', async seed => {
  const verdict = await verdictOn('nothing', seed)
  expect(verdict).toMatchObject({ verdict: 'ok', bad: [] })
  expect(verdict.outcomes.info).toBeGreaterThan(20)
  expect(verdict.outcomes.fail).toBeGreaterThan(20)
})

test.each<Lie>([
  'reads are stale',
  'acknowledged writes are lost',
  'refused writes are applied',
  'writes are applied twice',
  'swaps do not compare',
  'scans miss a key',
])('it shows when %s', async lie => {
  expect(await verdictOn(lie, 1)).toMatchObject({ verdict: 'illegal' })
})
