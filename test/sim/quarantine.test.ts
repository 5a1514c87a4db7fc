// A replica whose state is not to be trusted: it hands over, votes and appends, serves nothing, and is rebuilt by its peers.

import { strict as assert } from 'node:assert'
import { describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { Replica } from '../../src/range/replica.ts'
import { DamageError } from '../../src/engine/engine.ts'
import { rangeOne } from '../../src/range/store.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { call } from './client.ts'
import { Scenario } from './scenario.ts'
import { describeFailure } from './simulation.ts'
import type { SimNode } from './sim-node.ts'

const limitMs = 30_000
const marker = `nquarantined/${rangeOne}`
const limits = { ...defaultLimits, engineFlushMs: 50, logRetainedBytes: 1, drainMs: 1_000 }

const replicaOf = (node: SimNode): Replica => must(node.core?.store.replica(rangeOne))

/** `then` runs in the same tick. */
function quarantine(node: SimNode, then: () => void = () => {}): void {
  must(node.clock).arrive(() => {
    must(node.core).store.quarantine(replicaOf(node), 'on purpose')
    then()
  })
}

/** Three nodes, of which the first leads and all hold the same. */
async function open(seed: number, size = 3): Promise<Scenario> {
  const scenario = await Scenario.open(seed, { size, limits })
  await scenario.lead(scenario.node(0))
  await scenario.putMany(5)
  await scenario.together(limitMs)
  return scenario
}

/** Snapshots do not get to the node until the returned function is called. */
function withoutSnapshots(node: SimNode): () => void {
  const store = must(node.core).store
  store.handleSnapshot = async () => false
  return () => Reflect.deleteProperty(store, 'handleSnapshot')
}

const isRebuilt = (node: SimNode): boolean =>
  node.core !== undefined && !replicaOf(node).isQuarantined && !node.engineDisk.pairs().has(marker)

async function rebuilt(scenario: Scenario, node: SimNode): Promise<void> {
  await scenario.world.until(`${node.name} is rebuilt`, limitMs, () => isRebuilt(node))
}

async function put(scenario: Scenario, node: SimNode): Promise<string> {
  const op = { key: Buffer.from('asked'), value: Buffer.from('anything') }
  let answer: string | undefined
  void call(scenario.world, scenario.prng, node.name, core => core.gateway.put({ op }), 8_000).then(
    ({ value, error }) => {
      answer = value === undefined ? describeFailure(error) : 'ok'
    },
  )
  await scenario.world.until('an answer', 10_000, () => answer !== undefined)
  return must(answer)
}

async function get(scenario: Scenario, node: SimNode): Promise<string> {
  let answer: string | undefined
  const key = Buffer.from('asked')
  void call(scenario.world, scenario.prng, node.name, core => core.gateway.get({ key }), 8_000).then(found => {
    answer =
      found.value === undefined ? describeFailure(found.error) : Buffer.from(found.value.item?.value ?? []).toString()
  })
  await scenario.world.until('an answer', 10_000, () => answer !== undefined)
  return must(answer)
}

describe('a quarantined replica', () => {
  test('hands over before it stops, names no leader, and its node serves through others', {
    timeout: 60_000,
  }, async () => {
    const scenario = await open(1)
    const [leader] = [scenario.node(0)]
    const allow = withoutSnapshots(leader)
    const { term } = replicaOf(leader)
    // Its core leads until the one that it hands over to does, but nobody is sent to it any more.
    const atOnce: unknown[] = []
    quarantine(leader, () => {
      const { isLeader, leaderNode } = replicaOf(leader)
      atOnce.push(isLeader, leaderNode, must(leader.core).localStore.leaderOf(rangeOne))
    })
    await scenario.world.until('another leads', limitMs, () => scenario.world.leader() !== undefined)
    expect(atOnce).toEqual([false, undefined, undefined])
    // By a transfer: nobody had to miss a leader first.
    expect(scenario.term()).toBe(term + 1)
    expect(replicaOf(leader)).toMatchObject({ isQuarantined: true, leaderNode: undefined, isLeader: false })
    expect(must(leader.core).localStore.ready).toBe(false)
    expect(await put(scenario, leader)).toBe('ok')
    expect(await get(scenario, leader)).toBe('anything')
    allow()
    await rebuilt(scenario, leader)
    await scenario.checkEnd()
    scenario.close()
  })

  test('votes and appends: with it and one more of three there is a quorum', { timeout: 60_000 }, async () => {
    const scenario = await open(2)
    const [first, sick, dead] = [scenario.node(0), scenario.node(1), scenario.node(2)]
    const allow = withoutSnapshots(sick)
    quarantine(sick)
    dead.crash('kill')
    await scenario.putMany(3)
    const { term } = replicaOf(first)
    // It is elected by a vote of the quarantined one's.
    first.crash('kill')
    first.start()
    await scenario.world.until(
      'a new term',
      limitMs,
      () => scenario.world.leader() !== undefined && scenario.term() > term,
    )
    assert.equal(scenario.world.leader(), first)
    await scenario.putMany(3)
    expect(replicaOf(sick).isQuarantined).toBe(true)
    allow()
    dead.start()
    await rebuilt(scenario, sick)
    await scenario.checkEnd()
    scenario.close()
  })

  test('never campaigns, however long there is no leader', { timeout: 60_000 }, async () => {
    const scenario = await open(3)
    const [leader, sick, other] = [scenario.node(0), scenario.node(1), scenario.node(2)]
    const allow = withoutSnapshots(sick)
    quarantine(sick)
    leader.crash('kill')
    other.crash('kill')
    await scenario.world.run(scenario.world.nowMs + 20_000)
    expect(replicaOf(sick).status()).toMatchObject({ role: 'follower', leader: 0 })
    allow()
    leader.start()
    other.start()
    await rebuilt(scenario, sick)
    await scenario.checkEnd()
    scenario.close()
  })

  test('is still so after a restart: nothing is replayed, and nothing of the old state served', {
    timeout: 60_000,
  }, async () => {
    const scenario = await open(4)
    const sick = scenario.node(1)
    withoutSnapshots(sick)
    quarantine(sick)
    await scenario.world.until('the marker is on disk', limitMs, () => sick.engineDisk.pairs().has(marker))
    await scenario.putMany(3)
    sick.crash('power')
    const served: unknown[] = []
    sick.start()
    await scenario.world.until('it is up', limitMs, () => sick.core?.store.replica(rangeOne) !== undefined)
    const allow = withoutSnapshots(sick)
    const { applied } = replicaOf(sick).status()
    served.push(replicaOf(sick).stopped?.kind)
    await scenario.putMany(3)
    const stale = must(sick.core).localStore.get({
      rangeId: rangeOne,
      keyspace: 0 as never,
      kind: 'stale',
      at: 0 as never,
      clock: 0 as never,
      deadlineMs: 1e9,
      keys: [Buffer.from('key 1')],
    })
    void stale.then(answer => served.push(answer.kind))
    await scenario.world.run(scenario.world.nowMs + 5_000)
    expect(served).toEqual(['damaged', 'damaged'])
    expect(replicaOf(sick).status().applied).toBe(applied)
    allow()
    await rebuilt(scenario, sick)
    await scenario.checkEnd()
    sick.crash('power')
    sick.start()
    await scenario.world.until('it is up', limitMs, () => sick.core?.store.replica(rangeOne) !== undefined)
    await scenario.checkEnd()
    scenario.close()
  })

  test('begins anew from the snapshot and its own log behind it', { timeout: 60_000 }, async () => {
    const scenario = await open(5)
    const [leader, sick] = [scenario.node(0), scenario.node(1)]
    const store = must(sick.core).store
    // Its log goes on while the snapshot is on its way.
    const handleSnapshot = store.handleSnapshot.bind(store)
    let isHeld = true
    const held: (() => void)[] = []
    store.handleSnapshot = async snapshot => {
      if (isHeld) await new Promise<void>(resolve => held.push(resolve))
      return handleSnapshot(snapshot)
    }
    quarantine(sick)
    await scenario.world.until('a snapshot comes', limitMs, () => held.length > 0)
    await scenario.putMany(5)
    const last = replicaOf(leader).status().lastIndex
    await scenario.world.until('the log is level', limitMs, () => replicaOf(sick).status().lastIndex === last)
    isHeld = false
    must(sick.clock).arrive(() => held.forEach(release => release()))
    const lasts: number[] = []
    const { logged } = scenario.world
    scenario.world.logged = (node, level, fields, message) => {
      if (message.includes('is rebuilt, and serves')) lasts.push(replicaOf(sick).status().lastIndex)
      logged.call(scenario.world, node, level, fields, message)
    }
    await rebuilt(scenario, sick)
    expect(lasts).toEqual([last])
    await scenario.checkEnd()
    scenario.close()
  })

  test('that is the only voter leads no more, and says that there is nobody to rebuild it', {
    timeout: 60_000,
  }, async () => {
    const scenario = await open(6, 1)
    const alone = scenario.node(0)
    quarantine(alone)
    expect(await put(scenario, alone)).toMatch(/the only voter .* nobody to rebuild it/)
    await scenario.world.run(scenario.world.nowMs + 10_000)
    expect(replicaOf(alone).status().role).toBe('follower')
    scenario.close()
  })

  test('asks again only after a while when it is quarantined again at once', { timeout: 60_000 }, async () => {
    const scenario = await open(7)
    const sick = scenario.node(1)
    const rebuiltAtMs: number[] = []
    const { logged } = scenario.world
    scenario.world.logged = (node, level, fields, message) => {
      logged.call(scenario.world, node, level, fields, message)
      if (!message.includes('is rebuilt, and serves')) return
      rebuiltAtMs.push(scenario.world.nowMs)
      if (rebuiltAtMs.length < 4) must(sick.clock).defer(() => quarantine(sick))
    }
    quarantine(sick)
    await scenario.world.until('it was rebuilt four times', 120_000, () => rebuiltAtMs.length === 4)
    const pauses = rebuiltAtMs.slice(1).map((atMs, at) => Math.floor((atMs - must(rebuiltAtMs[at])) / 1_000))
    expect(pauses).toEqual([5, 10, 20])
    await scenario.checkEnd()
    scenario.close()
  })

  test.each([
    ['where the snapshot is to be kept', () => true],
    ['where its state is to be replaced', (node: SimNode) => node.engineDisk.pairs().has(`ninstalling/${rangeOne}`)],
  ])(
    'ends its node, which says what to do, if the engine cannot be cleared: %s',
    {
      timeout: 60_000,
    },
    async (_, isDue) => {
      const scenario = await open(9)
      const sick = scenario.node(1)
      const reasons: unknown[] = []
      scenario.world.onEnded = (_node, reason) => reasons.push(reason)
      sick.engineDisk.fault = operation =>
        operation === 'read' && isDue(sick) ? new DamageError('d', 'a block of a table') : undefined
      quarantine(sick)
      await scenario.world.until('it ends', limitMs, () => reasons.length > 0)
      const message: unknown = expect.stringMatching(/a block of a table.*Move this data directory aside/)
      expect(reasons).toEqual([expect.objectContaining({ code: 'damaged', message })])
      sick.engineDisk.fault = () => undefined
      await scenario.putMany(3)
      // Its disk reads well again: what was begun is ended.
      sick.start()
      await scenario.world.until('it is up', limitMs, () => sick.core?.store.replica(rangeOne) !== undefined)
      await rebuilt(scenario, sick)
      await scenario.checkEnd()
      scenario.close()
    },
  )
})

describe('an entry that is applied by half', () => {
  test('stops its replica alone: the half is dropped, the node flushes on, and the replica is rebuilt', {
    timeout: 60_000,
  }, async () => {
    const scenario = await open(8)
    const sick = scenario.node(1)
    const { versions, store } = must(sick.core)
    const apply = versions.put.bind(versions)
    let isArmed = true
    versions.put = (source, index, keyspace, key, value, timestamp) => {
      if (isArmed && Buffer.from(key).toString() === 'second') {
        isArmed = false
        throw new Error('on purpose')
      }
      return apply(source, index, keyspace, key, value, timestamp)
    }
    const allow = withoutSnapshots(sick)
    const half = ['first', 'second'].map(key => ({ put: { key: Buffer.from(key), value: Buffer.from('1') } }))
    void call(
      scenario.world,
      scenario.prng,
      scenario.node(0).name,
      core => core.gateway.commit({ op: { then: half } }),
      5_000,
    )
    await scenario.world.until('it stops', limitMs, () => replicaOf(sick).isQuarantined)
    let flushes = 0
    must(sick.clock).arrive(() => void store.flush().then(() => flushes++))
    await scenario.world.until('a flush', limitMs, () => flushes > 0)
    expect([...sick.engineDisk.pairs().keys()].filter(key => key.includes('first'))).toEqual([])
    expect(sick.engineDisk.pairs().has(marker)).toBe(true)
    allow()
    await rebuilt(scenario, sick)
    await scenario.checkEnd()
    scenario.close()
  })
})
