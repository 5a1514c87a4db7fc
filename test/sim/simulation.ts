// One seed: a cluster is made, everything goes wrong for a while (safety), then nothing does and it must come together again
// (liveness).

import { strict as assert } from 'node:assert'
import { must } from '../../src/base/assert.ts'
import { type Keyspace, systemKeyspace, userKeyspace } from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import type { ScanPage } from '../../src/mvcc/read-requests.ts'
import type { NodeCore } from '../../src/node-core.ts'
import { rangeOne } from '../../src/range/store.ts'
import { timestampMax } from '../../src/time/timestamp.ts'
import { SimClient, call } from './client.ts'
import { type Fault, type FaultKind, drawFaults } from './faults.ts'
import { Flooder } from './flooder.ts'
import { History } from './history.ts'
import { name } from './model.ts'
import { Nemesis } from './nemesis.ts'
import type { SimOptions } from './options.ts'
import { Trace } from './trace.ts'
import { World } from './world.ts'

const setupLimitMs = 30_000
const convergeLimitMs = 60_000

export interface RunOptions {
  readonly seed: number
  /** Numbers of the faults in the seed's list that happen; all, where it is not given. */
  readonly only?: ReadonlySet<number>
  readonly kinds?: readonly FaultKind[]
  readonly overrides?: Partial<SimOptions>
  readonly print?: (line: string) => void
}

export interface RunResult {
  readonly seed: number
  readonly failure: unknown
  readonly trace: string
  readonly faults: readonly Fault[]
  readonly injected: ReadonlyMap<FaultKind, number>
  readonly virtualMs: number
  readonly events: number
  readonly counts: History['counts']
  readonly committed: number
  readonly terms: number
  readonly state: string
}

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed, only, kinds, print } = options
  const trace = new Trace(print)
  const world = new World(seed, trace, options.overrides)
  const checker = world.checker(rangeOne)
  const history = new History(checker)
  const nemesis = new Nemesis(world, createPrng(seed * 64 + 3))
  let faults: Fault[] = []
  let failure: unknown
  try {
    await setUp(world)
    const { clients: clientCount, safetyMs, faultEveryMs, electionTimeoutMs } = world.options
    const clients = Array.from(
      { length: clientCount },
      (_, at) => new SimClient(world, history, createPrng(seed * 64 + 32 + at), at),
    )
    const flooder = new Flooder(world, history, createPrng(seed * 64 + 31))
    const isFlooded = world.options.floodEveryMs > 0
    for (const client of [...clients, ...(isFlooded ? [flooder] : [])]) client.start()
    const fromMs = world.nowMs
    const span = { fromMs, toMs: fromMs + safetyMs, everyMs: faultEveryMs, electionTimeoutMs }
    faults = drawFaults(createPrng(seed * 64 + 4), span, kinds)
    nemesis.plan(faults.filter((_, at) => only?.has(at) ?? true))
    await world.run(span.toMs)
    trace.line(world.nowMs, '!', 'the faults end')
    nemesis.end()
    await converge(world, nemesis)
    for (const client of [...clients, flooder]) client.stop()
    await settle(world)
    history.finish()
    await checkStates(world)
  } catch (error) {
    failure = error
  }
  const state = world.describe()
  for (const node of world.nodes) node.crash('kill')
  return {
    seed,
    failure,
    trace: trace.digest,
    faults,
    injected: nemesis.injected,
    virtualMs: world.nowMs,
    events: world.scheduler.eventCount,
    counts: history.counts,
    committed: checker.committed,
    terms: checker.leaders.size,
    state,
  }
}

/** With its trace, where it has one. */
export function describeFailure(failure: unknown): string {
  return failure instanceof Error ? (failure.stack ?? failure.message) : JSON.stringify(failure)
}

/** All nodes start, one is told to make a cluster, and all are in it. */
export async function setUp(world: World): Promise<void> {
  for (const node of world.nodes) node.start()
  const first = world.nodes[0] as World['nodes'][number]
  await world.until('the first node is up', setupLimitMs, () => first.core !== undefined)
  let isMade = false
  first.clock?.arrive(() => {
    void first.core?.cluster.init().then(() => {
      isMade = true
    })
  })
  await world.until('a cluster is made', setupLimitMs, () => isMade)
  await world.until('all nodes are members', setupLimitMs, () => areMembers(world))
}

function areMembers(world: World): boolean {
  const replica = world.leader()?.core?.store.replica(rangeOne)
  if (replica === undefined) return false
  const { voters, votersOutgoing, learners } = replica.status().configuration
  const wanted = world.options.voters
  return (
    votersOutgoing.length === 0 &&
    voters.length === wanted &&
    learners.length === world.nodes.length - wanted &&
    world.nodes.every(node =>
      replica.descriptor.replicas.some(member => member.node === node.name && member.storeId === node.storeId),
    )
  )
}

function areRecorded(world: World): boolean {
  const records = world.leader()?.core?.localStore.nodes() ?? []
  return world.nodes.every(({ name: id, peerAddress }) =>
    records.some(record => record.id === id && record.peerAddress === peerAddress),
  )
}

/** Faults have stopped: a leader within 10 election timeouts of the last node's start, and all of it within 60 s (PROOF.md 1). */
async function converge(world: World, nemesis: Nemesis): Promise<void> {
  const beganMs = world.nowMs
  await world.until('every node is up', 15_000, () => world.nodes.every(node => node.core !== undefined))
  const electionMs = 20 * world.options.electionTimeoutMs
  await world.until('a leader', Math.max(electionMs, clockSettleMs), () => world.leader() !== undefined)
  const left = (): number => Math.max(0, beganMs + convergeLimitMs - world.nowMs)
  await world.until('all nodes are members again', left(), () => areMembers(world))
  await world.until('all nodes are recorded where they are', left(), () => areRecorded(world))
  await world.until('what rotted is rebuilt by its peers', left(), () => nemesis.rotten.node === undefined)
  const prng = createPrng(world.options.seed)
  let isWritten = false
  const write = (): void => {
    const leader = world.leader()
    const again = (): void => void world.scheduler.after(200, write)
    if (leader === undefined) {
      again()
      return
    }
    const op = { key: Buffer.from('last'), value: Buffer.from('written') }
    void call(world, prng, leader.name, core => core.gateway.put({ op }), 3_000).then(answer => {
      if (answer.value === undefined) again()
      else isWritten = true
    })
  }
  write()
  await world.until('a write', left(), () => isWritten)
}

/** A clock that was ahead is waited for: nothing can be done before it was passed. */
const clockSettleMs = 20_000

async function settle(world: World): Promise<void> {
  await world.run(world.nowMs + 12_000)
  await world.until('all nodes have applied the same', 10_000, () => {
    const replicas = world.nodes.map(node => node.core?.store.replica(rangeOne))
    const first = replicas[0]
    return replicas.every(
      replica =>
        replica !== undefined &&
        replica.state.appliedIndex === first?.state.appliedIndex &&
        replica.state.appliedIndex === replica.status().lastIndex,
    )
  })
}

/** Every node's state, read back whole, is what the log says; so are the old versions that it still has. */
export async function checkStates(world: World): Promise<void> {
  const { model, committed } = world.checker(rangeOne)
  for (const node of world.nodes) {
    const { core } = node
    assert.ok(core !== undefined)
    const replica = core.store.replica(rangeOne)
    assert.ok(replica !== undefined && replica.stopped === undefined, `${node.name} serves`)
    for (const keyspace of [userKeyspace, systemKeyspace]) {
      const found = await readAll(world, core, keyspace)
      const prefix = String.fromCharCode(keyspace)
      const expected = [...model.keys()]
        .filter(key => key.startsWith(prefix) && model.atIndex(key, committed) !== undefined)
        .sort()
      assert.deepEqual(
        found.map(item => name(keyspace, item.key)),
        expected,
        `the keys of ${node.name}`,
      )
      for (const item of found) {
        const wanted = model.atIndex(name(keyspace, item.key), committed)
        assert.deepEqual(
          { stamp: item.timestamp, version: item.version, value: Buffer.from(item.value).toString('latin1') },
          {
            stamp: wanted?.stamp,
            version: wanted?.version,
            value: Buffer.from(wanted?.value ?? []).toString('latin1'),
          },
          `${Buffer.from(item.key).toString()} on ${node.name}`,
        )
      }
    }
  }
}

/** Virtual time goes on while the engine is read. */
async function readAll(world: World, { versions }: NodeCore, keyspace: Keyspace): Promise<ScanPage['items']> {
  const whole = { start: new Uint8Array(0), end: new Uint8Array(0), limit: 10_000, bytesMax: 1 << 28 }
  let page: ScanPage | undefined
  const scan = versions.scan({ keyspace, ...whole, at: timestampMax, reverse: false, keysOnly: false })
  void scan.then(found => {
    page = found
  })
  await world.until('a scan', 10_000, () => page !== undefined)
  return must(page).items
}
