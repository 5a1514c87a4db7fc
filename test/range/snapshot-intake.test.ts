import { describe, expect, it } from 'vitest'
import { asIndex, asNodeId, asRangeId, asReplicaId, asTerm, userKeyspace } from '../../src/base/ids.ts'
import { RangeState } from '../../src/command/range-state.ts'
import { exportRange } from '../../src/mvcc/range-export.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { blankState } from '../../src/range/blank-state.ts'
import type { Replica } from '../../src/range/replica.ts'
import { SnapshotIntake, discardUnfinished } from '../../src/range/snapshot-intake.ts'
import { systemClock } from '../../src/time/system-clock.ts'
import { asTimestamp } from '../../src/time/timestamp.ts'
import type { IncomingSnapshot } from '../../src/transport/transport.ts'
import { type MemoryEngine, createMemoryEngine } from '../support/memory-engine.ts'

const rangeId = asRangeId(1)
const [sender, receiver] = [asReplicaId(1), asReplicaId(2)]
const none = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
const broken = new Error('the stream broke')

async function* stream(chunks: readonly Uint8Array[], error?: Error): AsyncGenerator<Uint8Array> {
  yield* chunks
  if (error !== undefined) throw error
}

function snapshotOf(chunks: AsyncIterable<Uint8Array>, index = 91, term = 7): IncomingSnapshot {
  return {
    node: asNodeId('n1'),
    rangeId,
    from: sender,
    to: receiver,
    term: asTerm(term),
    meta: { index: asIndex(index), term: asTerm(7), configuration: none },
    descriptor: new Uint8Array(),
    chunks,
    onInstalling: () => {},
  }
}

async function openVersions(engine: MemoryEngine): Promise<VersionStore> {
  const opened = await VersionStore.open(engine, { yieldNow: async () => {} })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  return opened.store
}

/** What another node sends of `keys`: a mebibyte each, so that few of them are several batches. */
async function exported(keys: readonly string[]): Promise<readonly Uint8Array[]> {
  const engine = createMemoryEngine()
  const versions = await openVersions(engine)
  const { descriptor, configuration } = blankState({ rangeId, replicaId: sender })
  const ids = { rangeId, replicaId: sender }
  const applied = { appliedIndex: asIndex(91), appliedTerm: asTerm(7) }
  keys.forEach((key, at) =>
    versions.put(ids, asIndex(at + 1), userKeyspace, Buffer.from(key), Buffer.alloc(1 << 20, key), asTimestamp(at + 1)),
  )
  const state = new RangeState({ ...ids, ...applied, descriptor, configuration })
  await versions.flush(1, () => state.takeDirty(versions))
  const chunks: Uint8Array[] = []
  for await (const chunk of exportRange(engine, rangeId)) chunks.push(chunk)
  return chunks
}

/** A replica that has applied up to `applied`, in term 7; what its core was told, and what is in its engine. */
async function createReceiver(applied: number) {
  const engine = createMemoryEngine()
  const versions = await openVersions(engine)
  const told: number[] = []
  const stopping = Promise.withResolvers<boolean>()
  const replica = {
    isInstalling: false,
    isQuarantined: false,
    term: asTerm(7),
    state: { appliedIndex: asIndex(applied) },
    maybeRestore: (_from: number, _term: number, { index }: { readonly index: number }) => {
      told.push(index)
      return index > applied
    },
    waitApplied: (isMet: () => boolean) => (told.length > 0 || isMet() ? Promise.resolve(true) : stopping.promise),
  } as unknown as Replica
  let installs = 0
  const onInstalled = async () => void installs++
  const quarantines = { damaged: () => {}, rebuild: async () => false }
  const intake = new SnapshotIntake({ rangeId, engine, versions, clock: systemClock, onInstalled, quarantines })
  return {
    engine,
    versions,
    intake,
    told,
    stop: () => stopping.resolve(false),
    installs: () => installs,
    receive: (snapshot: IncomingSnapshot) => intake.receive(replica, snapshot),
    names: () => [...engine.pairs().keys()].filter(key => /^[dhlrsn]/.test(key) && !key.startsWith('nmarker')),
  }
}

const keysIn = (versions: VersionStore, keys: readonly string[]): readonly string[] =>
  keys.filter(key => versions.get(userKeyspace, Buffer.from(key)) !== undefined)

describe('a snapshot arrives', () => {
  it('is spooled, handed to the core, and installed', async () => {
    const { told, names, intake, versions, installs, receive } = await createReceiver(90)
    const chunks = await exported(['a', 'b'])
    expect(await receive(snapshotOf(stream(chunks)))).toBe(true)
    expect([told, names().length]).toEqual([[91], chunks.length])
    const state = await intake.install(receiver)
    expect([state.appliedIndex, state.replicaId, intake.installedIndex, installs()]).toEqual([91, receiver, 91, 1])
    expect(keysIn(versions, ['a', 'b'])).toEqual(['a', 'b'])
  })

  it('contradicts itself once spooled: its state is gone, and the remedy is told', async () => {
    const { intake, receive } = await createReceiver(90)
    const chunks = await exported(['a', 'b'])
    expect(await receive(snapshotOf(stream(chunks.slice(0, -1))))).toBe(true)
    await expect(intake.install(receiver)).rejects.toThrow(/damaged .*do not delete it/)
  })

  it('holds nothing new: the core hears of it nevertheless, and tells a leader that lost the answer to the one before', async () => {
    const { told, names, receive } = await createReceiver(90)
    expect(await receive(snapshotOf(stream([], broken), 90))).toBe(false)
    expect([told, names()]).toEqual([[90], []])
  })

  it('comes from a leader of the past: nothing is told', async () => {
    const { told, receive } = await createReceiver(90)
    expect(await receive(snapshotOf(stream([], broken), 91, 6))).toBe(false)
    expect(told).toEqual([])
  })

  it('comes while another does: it is turned away', async () => {
    const { receive, stop } = await createReceiver(0)
    const first = receive(snapshotOf(hanging([])))
    expect(await receive(snapshotOf(stream([])))).toBe(false)
    stop()
    await expect(first).rejects.toThrow('has stopped')
  })
})

describe('a snapshot arrives at a replica that has no state', () => {
  it('is written once: nothing of it is spooled', async () => {
    const { names, versions, intake, installs, receive } = await createReceiver(0)
    const keys = Array.from({ length: 20 }, (_, at) => `key ${at}`)
    expect(await receive(snapshotOf(stream(await exported(keys))))).toBe(true)
    expect(names()).toContain('nreceiving/1')
    expect(names().filter(name => name.startsWith('s'))).toEqual([])
    const state = await intake.install(receiver)
    expect([state.appliedIndex, state.replicaId, intake.installedIndex, installs()]).toEqual([91, receiver, 91, 1])
    expect(keysIn(versions, keys)).toEqual(keys)
    expect(names()).not.toContain('nreceiving/1')
  })

  it('breaks, and another comes: nothing of the first stays', async () => {
    const { told, versions, intake, receive } = await createReceiver(0)
    const keys = Array.from({ length: 20 }, (_, at) => `key ${at}`)
    const chunks = await exported(keys)
    await expect(receive(snapshotOf(stream(chunks.slice(0, -2), broken)))).rejects.toThrow('broke')
    expect(told).toEqual([])
    expect(await receive(snapshotOf(stream(await exported(['other']))))).toBe(true)
    await intake.install(receiver)
    expect(keysIn(versions, [...keys, 'other'])).toEqual(['other'])
  })

  it('contradicts itself: whoever reads of it learns that nothing is lost', async () => {
    const { told, receive } = await createReceiver(0)
    const chunks = await exported(['a', 'b'])
    await expect(receive(snapshotOf(stream(chunks.slice(0, -1))))).rejects.toThrow(/damaged .*nothing of it is kept/)
    expect(told).toEqual([])
  })

  it('is there whole and not installed when the node crashes: the next start knows nothing of it', async () => {
    const { engine, receive } = await createReceiver(0)
    await receive(snapshotOf(stream(await exported(['a', 'b']))))
    const again = createMemoryEngine(engine.pairs())
    await discardUnfinished(again)
    expect([...again.pairs().keys()].filter(key => !key.startsWith('nmarker'))).toEqual([])
    expect(await RangeState.load(await openVersions(again), rangeId)).toBeUndefined()
  })

  it('is installed: a start discards nothing', async () => {
    const { engine, intake, receive } = await createReceiver(0)
    await receive(snapshotOf(stream(await exported(['a', 'b']))))
    await intake.install(receiver)
    const again = createMemoryEngine(engine.pairs())
    await discardUnfinished(again)
    expect(keysIn(await openVersions(again), ['a', 'b'])).toEqual(['a', 'b'])
  })

  it('hangs while the replica stops: it is given up', async () => {
    const { receive, stop } = await createReceiver(0)
    const received = receive(snapshotOf(hanging(await exported(['a']))))
    stop()
    await expect(received).rejects.toThrow('has stopped')
  })
})

async function* hanging(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
  await new Promise(() => {})
}
