// What the clients of a workload do to registers, sets and queues: it draws the next operation, and says how it is done with
// gets, puts, deletes, compare-and-sets and scans. Every value is written once.

import { KvError, isKvError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import { type Call, type CallOutput, OperationError, type Recorded } from './history.ts'
import type { Access } from './workload-access.ts'
import { type KeyLimits, KeyPool, type WorkloadKey } from './workload-keys.ts'

export interface Step {
  readonly key: WorkloadKey
  readonly call: Call
  run(access: Access, timeoutMs: number): Promise<CallOutput>
  /** Learns what came of it. */
  done?(recorded: Recorded): void
}

export interface WorkloadModel {
  next(): Step
  /** The last look at every key. A queue's step is repeated until it gives nothing. */
  lastSteps(): readonly Step[]
}

interface Source {
  readonly prng: Prng
  /** Unique to the run. */
  readonly prefix: string
  readonly nextValue: () => string
}

const registerLimits: KeyLimits = { activeMax: 6, operationsMax: 200, unknownMax: 3, underWayMax: 5 }
const setLimits: KeyLimits = { activeMax: 2, operationsMax: 120, unknownMax: 4, underWayMax: 6 }
const queueLimits: KeyLimits = { activeMax: 2, operationsMax: 120, unknownMax: 4, underWayMax: 4 }

const lateShare = 0.1

export function registerModel({ prng, prefix, nextValue }: Source): WorkloadModel {
  const pool = new KeyPool(`${prefix}register/`, registerLimits, prng)
  const get = (key: WorkloadKey): Step => ({
    key,
    call: { model: 'register', kind: 'get' },
    run: async (access, timeoutMs) => ({ value: await access.get(key.name, timeoutMs) }),
    done: ({ output }) => {
      if (output?.value !== undefined) key.guess = output.value
    },
  })
  const put = (key: WorkloadKey, value: string): Step => ({
    key,
    call: { model: 'register', kind: 'put', input: { value } },
    run: async (access, timeoutMs) => {
      await access.put(key.name, value, timeoutMs)
      return {}
    },
    done: ({ outcome }) => {
      if (outcome === 'ok') key.guess = value
    },
  })
  const compareAndSet = (key: WorkloadKey, expected: string | null, value: string): Step => ({
    key,
    call: { model: 'register', kind: 'cas', input: { expected, value } },
    run: async (access, timeoutMs) => ({ swapped: await access.compareAndSet(key.name, expected, value, timeoutMs) }),
    done: ({ output }) => {
      if (output?.swapped) key.guess = value
    },
  })
  const remove = (key: WorkloadKey): Step => ({
    key,
    call: { model: 'register', kind: 'delete' },
    run: async (access, timeoutMs) => ({ deleted: await access.delete(key.name, timeoutMs) }),
    done: ({ outcome }) => {
      if (outcome === 'ok') key.guess = null
    },
  })
  return {
    next() {
      const draw = prng.next()
      if (draw < 0.42) return get((prng.next() < lateShare ? pool.retired() : undefined) ?? pool.active())
      const key = pool.active()
      if (draw < 0.72) return put(key, nextValue())
      if (draw < 0.94) return compareAndSet(key, key.guess, nextValue())
      return remove(key)
    },
    lastSteps: () => pool.all().map(get),
  }
}

export function setModel({ prng, prefix, nextValue }: Source): WorkloadModel {
  const pool = new KeyPool(`${prefix}set/`, setLimits, prng)
  const read = (key: WorkloadKey): Step => ({
    key,
    call: { model: 'set', kind: 'read' },
    run: async (access, timeoutMs) => ({ values: await access.scan(`${key.name}/`, timeoutMs) }),
  })
  const add = (key: WorkloadKey, value: string): Step => ({
    key,
    call: { model: 'set', kind: 'add', input: { value } },
    run: async (access, timeoutMs) => {
      await access.put(`${key.name}/${value}`, value, timeoutMs)
      return {}
    },
  })
  return {
    next() {
      if (prng.next() < 0.65) return add(pool.active(), nextValue())
      return read((prng.next() < lateShare ? pool.retired() : undefined) ?? pool.active())
    },
    lastSteps: () => pool.all().map(read),
  }
}

const turnsMax = 40

/**
 * A queue is one key that holds the list of what waits, changed by compare-and-set from the list that was read. The list's
 * text may come back (`[]`), and a swap from it is then as right as ever.
 */
export function queueModel({ prng, prefix, nextValue }: Source): WorkloadModel {
  const pool = new KeyPool(`${prefix}queue/`, queueLimits, prng)
  const dequeue = (key: WorkloadKey): Step => ({
    key,
    call: { model: 'queue', kind: 'dequeue' },
    run: (access, timeoutMs) =>
      changeList(access, key.name, timeoutMs, ([head, ...rest]) =>
        head === undefined ? { output: { value: null } } : { output: { value: head }, list: rest },
      ),
  })
  const enqueue = (key: WorkloadKey, value: string): Step => ({
    key,
    call: { model: 'queue', kind: 'enqueue', input: { value } },
    run: (access, timeoutMs) =>
      changeList(access, key.name, timeoutMs, list => ({
        output: { after: list.at(-1) ?? '' },
        list: [...list, value],
      })),
  })
  return {
    next() {
      if (prng.next() < lateShare) return dequeue(pool.retired() ?? pool.active())
      const key = pool.active()
      return prng.next() < 0.55 ? enqueue(key, nextValue()) : dequeue(key)
    },
    lastSteps: () => pool.all().map(dequeue),
  }
}

interface Changed {
  readonly output: CallOutput
  /** Absent: nothing to change. */
  readonly list?: readonly string[]
}

/** Reads and swaps until nobody comes between. Until the last swap nothing has happened, so its error is the operation's. */
async function changeList(
  access: Access,
  key: string,
  timeoutMs: number,
  change: (list: string[]) => Changed,
): Promise<CallOutput> {
  const deadlineMs = performance.now() + timeoutMs
  for (let turn = 0; turn < turnsMax; turn++) {
    const leftMs = Math.floor(deadlineMs - performance.now())
    if (leftMs <= 0) break
    const before = await readOf(access, key, leftMs)
    const { output, list } = change(before === null ? [] : (JSON.parse(before) as string[]))
    if (list === undefined) return output
    const swapMs = Math.floor(deadlineMs - performance.now())
    if (swapMs <= 0) break
    try {
      if (await access.compareAndSet(key, before, JSON.stringify(list), swapMs)) return output
    } catch (error) {
      throw new OperationError(output, error)
    }
  }
  throw new KvError('unavailable', 'others always came between; nothing was changed')
}

/** A read that fails before a swap leaves no doubt, whatever its error says. */
async function readOf(access: Access, key: string, timeoutMs: number): Promise<string | null> {
  try {
    return await access.get(key, timeoutMs)
  } catch (error) {
    if (!isKvError(error)) throw error
    throw new KvError('unavailable', `the read before the swap failed: ${error.message}`, { cause: error })
  }
}
