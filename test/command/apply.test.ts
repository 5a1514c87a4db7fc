import { describe, expect, it } from 'vitest'
import { createPrng } from '../../src/base/prng.ts'
import { asIndex, asRangeId, asReplicaId, asTerm, systemKeyspace, userKeyspace } from '../../src/base/ids.ts'
import { applyEntry } from '../../src/command/apply.ts'
import { commandVersionMax, encodeBatchEntry, encodeThresholdEntry } from '../../src/command/entry.ts'
import { type SessionLimits, sessionLimits } from '../../src/command/sessions.ts'
import { RangeState } from '../../src/command/range-state.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { quorate } from '../../src/proto/quorate.js'
import { addMs, asTimestamp } from '../../src/time/timestamp.ts'
import { ApplyTurn } from '../../src/range/apply-turn.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'

const rangeId = asRangeId(1)
const start = asTimestamp(4096_000_000)
const {
  OUTCOME_KIND_DONE: done,
  OUTCOME_KIND_CONDITION_FAILED: conditionFailed,
  OUTCOME_KIND_TOO_LATE: tooLate,
} = quorate.v1.OutcomeKind

/** `turnKeyOperations`: so many may be applied before it gives way. */
async function openReplica(id = 1, turnKeyOperations = 4_096, limits: Partial<SessionLimits> = {}) {
  const engine = createMemoryEngine()
  const opened = await VersionStore.open(engine, { yieldNow: () => Promise.resolve() })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  const versions = opened.store
  const state = new RangeState({
    rangeId,
    replicaId: asReplicaId(id),
    appliedIndex: asIndex(0),
    appliedTerm: asTerm(0),
    descriptor: quorate.v1.RangeDescriptor.encode({ generation: 1 }).finish(),
    configuration: new Uint8Array(0),
    sessionLimits: { ...sessionLimits, ...limits },
  })
  const turn = new ApplyTurn(systemClock, turnKeyOperations)
  const apply = async (entry: Uint8Array) =>
    applyEntry({ state, versions, turn }, asIndex(state.appliedIndex + 1), asTerm(1), entry)
  const flush = () => versions.flush(1, () => state.takeDirty(versions))
  const text = (key: string) => {
    const found = versions.get(userKeyspace, Buffer.from(key))
    return found === undefined ? undefined : Buffer.from(found.value).toString()
  }
  return { engine, versions, state, turn, apply, flush, text }
}

async function restarted(replica: Awaited<ReturnType<typeof openReplica>>): Promise<typeof replica> {
  await replica.flush()
  const opened = await VersionStore.open(replica.engine, { yieldNow: () => Promise.resolve() })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  const versions = opened.store
  const state = (await RangeState.load(versions, rangeId))!
  return {
    ...replica,
    versions,
    state,
    apply: async data =>
      applyEntry({ state, versions, turn: replica.turn }, asIndex(state.appliedIndex + 1), asTerm(1), data),
    flush: () => versions.flush(1, () => state.takeDirty(versions)),
  }
}

function createLeader() {
  let stamp: number = start
  return (...batches: quorate.v1.IWriteBatch[]): Uint8Array => {
    const operations = batches.reduce((sum, batch) => sum + (batch.writes?.length ?? 0), 0)
    const firstTimestamp = asTimestamp(stamp)
    stamp += Math.max(1, operations)
    return encodeBatchEntry({
      commandVersion: commandVersionMax,
      generation: 1,
      firstTimestamp,
      operations,
      requests: batches.map(batch => quorate.v1.WriteBatch.encode(batch).finish()),
    })
  }
}

const put = (key: string, value: string): quorate.v1.IWrite => ({
  put: { key: Buffer.from(key), value: Buffer.from(value) },
})
const inSession = (number: number, write: quorate.v1.IWrite, floor = 0): quorate.v1.IWriteBatch => ({
  session: Buffer.alloc(16, 7),
  notAfter: addMs(start, 60_000),
  floor,
  writes: [{ ...write, number }],
})

function outcomesOf(result: Awaited<ReturnType<Awaited<ReturnType<typeof openReplica>>['apply']>>) {
  return result.requests.flatMap(request => (request.kind === 'done' ? request.outcomes : []))
}

describe('applying an entry', () => {
  it('evaluates each operation in order, at a stamp of its own', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    const result = outcomesOf(
      await replica.apply(entry({ writes: [put('a', '1'), put('a', '2')] }, { writes: [put('b', '3')] })),
    )
    expect(result.map(outcome => [outcome.kind, outcome.timestamp, outcome.version])).toEqual([
      [done, start, 1],
      [done, start + 1, 2],
      [done, start + 2, 1],
    ])
    expect([replica.text('a'), replica.text('b')]).toEqual(['2', '3'])
    expect(replica.state.keyCount).toBe(2)
    expect(replica.state.closed).toBe(start + 2)
  })

  it("counts the system's keys apart, among all", async () => {
    const replica = await openReplica()
    const entry = createLeader()
    const remove = (key: string): quorate.v1.IWrite => ({ delete: { key: Buffer.from(key) } })
    await replica.apply(entry({ writes: [put('a', '1'), put('b', '1')] }))
    await replica.apply(entry({ keyspace: systemKeyspace, writes: [put('x', '1'), put('x', '2'), put('y', '1')] }))
    expect([replica.state.keyCount, replica.state.systemKeyCount]).toEqual([4, 2])
    await replica.apply(entry({ keyspace: systemKeyspace, writes: [remove('x'), remove('absent'), remove('a')] }))
    await replica.apply(entry({ writes: [remove('b')] }))
    expect([replica.state.keyCount, replica.state.systemKeyCount]).toEqual([2, 1])
    await replica.flush()
    const loaded = await RangeState.load(replica.versions, rangeId)
    expect([loaded?.keyCount, loaded?.systemKeyCount]).toEqual([2, 1])
  })

  it('a retry of a session’s number gets the first outcome and changes nothing', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    const first = outcomesOf(await replica.apply(entry(inSession(1, put('a', 'first')))))
    const again = outcomesOf(await replica.apply(entry(inSession(1, put('a', 'second')))))
    expect(again).toEqual(first)
    expect(replica.text('a')).toBe('first')
  })

  it('a number below the floor is too late', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    await replica.apply(entry(inSession(2, put('a', 'x'), 2)))
    const late = outcomesOf(await replica.apply(entry(inSession(1, put('a', 'y')))))
    expect(late.map(outcome => outcome.kind)).toEqual([tooLate])
    expect(replica.text('a')).toBe('x')
  })

  it('a commit whose compare fails applies the other branch, and says which compare', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    const key = Buffer.from('k')
    const commit: quorate.v1.IWrite = {
      commit: {
        compares: [
          { key, absent: false },
          { key, value: Buffer.from('old') },
        ],
        then: [{ put: { key, value: Buffer.from('new') } }],
        otherwise: [{ put: { key: Buffer.from('failed'), value: key } }],
      },
    }
    const first = outcomesOf(await replica.apply(entry({ writes: [commit] })))
    expect(first).toMatchObject([{ kind: conditionFailed, failedCompare: 1 }])
    expect(replica.text('failed')).toBe('k')
    await replica.apply(entry({ writes: [put('k', 'old'), commit] }))
    expect(replica.text('k')).toBe('new')
  })

  it('a DeleteRange says where to go on, and is counted', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    await replica.apply(entry({ writes: Array.from({ length: 5 }, (_, at) => put(`k${at}`, 'v')) }))
    const deleteRange: quorate.v1.IWrite = { deleteRange: { start: Buffer.from('k'), end: Buffer.from('l'), limit: 3 } }
    const [outcome] = outcomesOf(await replica.apply(entry({ writes: [deleteRange] })))
    expect(outcome?.deleted).toBe(3)
    expect(Buffer.from(outcome?.resume ?? []).toString()).toBe('k3')
    expect(replica.state.keyCount).toBe(2)
  })

  it('stops at an entry that it does not know', async () => {
    const replica = await openReplica()
    const entry = createLeader()({ writes: [put('a', '1')] })
    for (const [at, value] of [
      [0, 9],
      [1, 9],
      [3, 99],
    ] as const) {
      const bad = Buffer.from(entry)
      bad[at] = value
      await expect(replica.apply(bad)).rejects.toThrow(/not known here/)
    }
  })

  it('does nothing for an entry that was routed by another generation', async () => {
    const replica = await openReplica()
    const entry = Buffer.from(createLeader()({ writes: [put('a', '1')] }))
    entry.writeDoubleBE(2, 12)
    expect((await replica.apply(entry)).requests).toEqual([{ kind: 'range-mismatch' }])
    expect(replica.text('a')).toBeUndefined()
    expect(replica.state.appliedIndex).toBe(1)
  })

  it('publishes its stamps only when all of it is applied', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    await replica.apply(entry({ writes: [put('k', 'v')] }))
    const pending = replica.apply(entry({ writes: [{ deleteRange: { start: Buffer.from('k') } }] }))
    expect(replica.state.lastStamp).toBe(start)
    await pending
    expect(replica.state.lastStamp).toBe(start + 1)
  })

  it('removes a bounded number of bytes in one DeleteRange', async () => {
    const replica = await openReplica()
    const entry = createLeader()
    const value = Buffer.alloc(1024 * 1024)
    for (let at = 0; at < 10; at++)
      await replica.apply(entry({ writes: [{ put: { key: Buffer.from(`k${at}`), value } }] }))
    const [outcome] = outcomesOf(await replica.apply(entry({ writes: [{ deleteRange: { start: Buffer.from('k') } }] })))
    expect(outcome?.deleted).toBeLessThanOrEqual(5)
    expect(outcome?.resume?.length).toBeGreaterThan(0)
  })

  it('gives way between two operations when its turn is over, never within one', async () => {
    const replica = await openReplica(1, 1)
    const entry = createLeader()
    await replica.apply(entry({ writes: [put('a', 'old'), put('b', 'old')] }))
    const both: quorate.v1.IWrite = {
      commit: { then: ['a', 'b'].map(key => ({ put: { key: Buffer.from(key), value: Buffer.from('new') } })) },
    }
    const seen: string[] = []
    const look = () => seen.push(`${replica.text('a')} ${replica.text('b')} ${replica.text('c')}`)
    const { lastStamp } = replica.state
    await new Promise(setImmediate)
    const pending = replica.apply(entry({ writes: [put('c', '1'), both] }, { writes: [put('c', '2'), put('c', '3')] }))
    let isDone = false
    void pending.then(() => {
      isDone = true
    })
    while (!isDone) {
      look()
      expect(replica.state.lastStamp).toBe(lastStamp)
      // What was read may be stamped as late as this, and a reader is told so.
      expect(replica.state.readStamp).toBe(lastStamp + 4)
      await new Promise(setImmediate)
    }
    look()
    expect(new Set(seen)).toEqual(new Set(['old old 1', 'new new 1', 'new new 2', 'new new 3']))
    expect(replica.state.readStamp).toBe(lastStamp + 4)
  })

  it('comes to the same however it is cut into turns', async () => {
    const entry = createLeader()
    const prng = createPrng(11)
    const entries = Array.from({ length: 40 }, () =>
      entry({
        writes: Array.from({ length: 1 + prng.below(8) }, (): quorate.v1.IWrite => {
          const key = Buffer.from(`k${prng.below(10)}`)
          const other = Buffer.from(`m${prng.below(10)}`)
          const choice = prng.below(4)
          if (choice === 0) return { delete: { key } }
          if (choice === 1) return { deleteRange: { start: key, limit: 2 } }
          if (choice === 2) return put(key.toString(), String(prng.below(100)))
          return {
            commit: {
              compares: [{ key, absent: true }],
              then: [{ put: { key, value: key } }, { put: { key: other, value: key } }],
              otherwise: [{ delete: { key: other } }],
            },
          }
        }),
      }),
    )
    const replicas = await Promise.all([1, 2, 7, 4_096].map((size, at) => openReplica(at + 1, size)))
    for (const item of entries) {
      const results = await Promise.all(replicas.map(replica => replica.apply(item)))
      for (const result of results) expect(result).toEqual(results[0])
      expect(new Set(replicas.map(replica => replica.state.stateHash)).size).toBe(1)
    }
  })

  it('stops when stamps do not grow', async () => {
    const replica = await openReplica()
    const entry = createLeader()({ writes: [put('a', '1')] })
    await replica.apply(entry)
    await expect(replica.apply(entry)).rejects.toThrow(/stamps grow strictly/)
  })

  it('raises the collection threshold, and never lowers it', async () => {
    const replica = await openReplica()
    const raise = (threshold: number, first: number) =>
      encodeThresholdEntry({
        commandVersion: 1,
        generation: 1,
        firstTimestamp: asTimestamp(first),
        threshold: asTimestamp(threshold),
      })
    await replica.apply(raise(500, start))
    await replica.apply(raise(400, start + 1))
    expect(replica.state.threshold).toBe(500)
  })

  it('gives equal hashes on replicas that flush and restart at different times', async () => {
    const [a, b] = [await openReplica(1), await openReplica(2)]
    const entry = createLeader()
    const prng = createPrng(7)
    const entries = Array.from({ length: 200 }, (_, number) => {
      const writes = Array.from({ length: 1 + prng.below(5) }, () => {
        const key = Buffer.from(`k${prng.below(20)}`)
        return prng.below(3) === 0 ? { delete: { key } } : put(key.toString(), String(prng.below(1000)))
      })
      return number % 3 === 0 ? entry(inSession(number + 1, writes[0]!)) : entry({ writes })
    })
    let c = b
    for (const [number, item] of entries.entries()) {
      await a.apply(item)
      await c.apply(item)
      if (number % 7 === 0) await c.flush()
      if (number === 100) c = await restarted(c)
      expect(c.state.stateHash, `after entry ${number}`).toBe(a.state.stateHash)
    }
    expect(c.state.keyCount).toBe(a.state.keyCount)
    expect(c.state.byteCount).toBe(a.state.byteCount)
  })

  it('ends and refuses the same sessions on replicas that flush and restart at different times', async () => {
    const limits = { sessionsMax: 5, outcomesMax: 12, endedPerEntryMax: 2 }
    const [a, b] = [await openReplica(1, 4_096, limits), await openReplica(2, 4_096, limits)]
    const prng = createPrng(11)
    let stamp: number = start
    let c = b
    const kinds = new Set<string>()
    for (let number = 0; number < 400; number++) {
      stamp += prng.below(400)
      const batches = Array.from({ length: 1 + prng.below(3) }, () => ({
        session: Buffer.alloc(16, prng.below(20)),
        notAfter: asTimestamp(stamp + prng.below(4_000)),
        floor: 1 + prng.below(3),
        writes: [{ ...put(`k${prng.below(9)}`, String(number)), number: 3 + prng.below(4) }],
      }))
      const entry = encodeBatchEntry({
        commandVersion: commandVersionMax,
        generation: 1,
        firstTimestamp: asTimestamp(stamp),
        operations: batches.length,
        requests: batches.map(batch => quorate.v1.WriteBatch.encode(batch).finish()),
      })
      stamp += batches.length
      const [one, other] = [await a.apply(entry), await c.apply(entry)]
      expect(other, `entry ${number}`).toEqual(one)
      for (const request of one.requests) kinds.add(request.kind === 'full' ? request.queue : request.kind)
      if (number % 7 === 0) await c.flush()
      if (number % 60 === 59) c = await restarted(c)
      expect(c.state.stateHash, `after entry ${number}`).toBe(a.state.stateHash)
      expect(c.state.sessions.count).toBe(a.state.sessions.count)
    }
    expect([...kinds].toSorted()).toEqual(['done', 'sessions'])
    expect(c.state.sessions.limits).toMatchObject(limits)
  })

  it('leaves no outcome of a batch that is refused: the same number runs once there is room', async () => {
    const replica = await openReplica(1, 4_096, { sessionsMax: 1 })
    const entry = createLeader()
    await replica.apply(entry({ ...inSession(1, put('a', '1')), notAfter: start }))
    const batch = { ...inSession(1, put('b', '2')), session: Buffer.alloc(16, 8) }
    const crowded = encodeBatchEntry({
      commandVersion: commandVersionMax,
      generation: 1,
      firstTimestamp: start,
      operations: 1,
      requests: [quorate.v1.WriteBatch.encode(batch).finish()],
    })
    const other = await openReplica(1, 4_096, { sessionsMax: 0 })
    expect((await other.apply(crowded)).requests).toEqual([{ kind: 'full', queue: 'sessions' }])
    expect(other.text('b')).toBeUndefined()
    // Log time has passed the end of the session that was there.
    expect(outcomesOf(await replica.apply(entry(batch)))).toMatchObject([{ kind: done }])
    expect(replica.text('b')).toBe('2')
  })
})
