import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { asIndex, asRangeId, asReplicaId, asTerm } from '../../src/base/ids.ts'
import { RangeState } from '../../src/command/range-state.ts'
import { VersionStore } from '../../src/mvcc/version-store.ts'
import { blankState } from '../../src/range/blank-state.ts'
import { RemovedReplicas } from '../../src/range/removed-replicas.ts'
import { SnapshotSpool } from '../../src/range/snapshot-spool.ts'
import { createMemoryEngine } from '../support/memory-engine.ts'

const rangeId = asRangeId(1)

async function openVersions(engine: ReturnType<typeof createMemoryEngine>): Promise<VersionStore> {
  const opened = await VersionStore.open(engine, { yieldNow: () => Promise.resolve() })
  if (opened.kind !== 'opened') throw new Error(opened.message)
  return opened.store
}

describe('what a node keeps of a replica that was removed', () => {
  it('its id outlives a restart, and its applied state does not pass for a later replica’s', async () => {
    const engine = createMemoryEngine()
    const versions = await openVersions(engine)
    const { descriptor, configuration } = blankState({ rangeId, replicaId: asReplicaId(3) })
    const ids = { rangeId, replicaId: asReplicaId(3) }
    const applied = { appliedIndex: asIndex(10), appliedTerm: asTerm(1) }
    const state = new RangeState({ ...ids, ...applied, descriptor, configuration })
    await versions.flush(0, () => state.takeDirty(versions))
    expect(await RangeState.load(versions, rangeId)).toBeDefined()
    await new RemovedReplicas(engine, versions).add(rangeId, asReplicaId(3))

    const again = createMemoryEngine(engine.pairs())
    const versionsAgain = await openVersions(again)
    expect(new RemovedReplicas(again, versionsAgain).highest(rangeId)).toBe(3)
    expect(await RangeState.load(versionsAgain, rangeId)).toBeUndefined()
  })

  it('an install tells where it ended, and only it excuses a log beside the state', async () => {
    const engine = createMemoryEngine()
    const spool = new SnapshotSpool(engine, rangeId, batch => engine.write(batch))
    expect(spool.installedIndex).toBe(0)
    await spool.beginInstall()
    expect(spool.isInstalling).toBe(true)
    await spool.endInstall(asIndex(70))
    expect([spool.isInstalling, spool.installedIndex]).toEqual([false, 70])
    expect(must([...engine.pairs().keys()]).some(key => key.startsWith('nspool/'))).toBe(false)
  })
})
