// The stories whose every step somebody crashes at: a snapshot comes in, a member is removed, a cluster is made, a node joins.

import { isKvError } from '../../src/base/errors.ts'
import { must } from '../../src/base/assert.ts'
import { rangeOne } from '../../src/range/store.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { call } from './client.ts'
import type { Story } from './crash-points.ts'
import { Scenario } from './scenario.ts'
import type { SimNode } from './sim-node.ts'

const seed = 1
const size = 3
const limitMs = 30_000

/** Keeps no log for those who are behind, and has the state on disk soon; history's threshold moves on every ten seconds. */
const shortLog = {
  ...defaultLimits,
  logRetainedBytes: 1,
  logHeldStallMs: 1_000,
  logSegmentBytes: 131_072,
  engineFlushMs: 20,
  drainMs: 1_000,
  historyRetentionMs: 60_000,
}

/** All have caught up, can write, and hold what was acknowledged. */
async function end(scenario: Scenario): Promise<void> {
  await scenario.together(limitMs)
  await scenario.putMany(2)
  await scenario.checkEnd()
}

/** The last node was away, and what it missed is in the log no more. Over when the leader knows that it has all of it. */
async function snapshotBegins(): Promise<Scenario> {
  const scenario = await Scenario.open(seed, { size, limits: shortLog })
  const { world } = scenario
  const [leader, behind] = [scenario.node(0), scenario.node(2)]
  await scenario.lead(leader)
  await scenario.putMany(3)
  behind.crash('kill')
  // Several chunks of it.
  scenario.valueBytes = 60_000
  await scenario.putMany(10)
  scenario.valueBytes = 0
  const last = must(leader.core?.store.replica(rangeOne)).status().lastIndex
  await world.until('the log is cut', limitMs, () => {
    const replica = leader.core?.store.replica(rangeOne)
    return replica !== undefined && replica.log.truncatedIndex >= last
  })
  behind.start()
  let isSending = false
  const logged = world.logged.bind(world)
  world.logged = (node, level, fields, message) => {
    if (message === 'sending a snapshot') isSending = true
    logged(node, level, fields, message)
  }
  await world.until('a snapshot is sent', limitMs, () => isSending)
  return scenario
}

function isCaughtUp(scenario: Scenario): boolean {
  const [leader, behind] = [scenario.node(0), scenario.node(2)]
  const status = leader.core?.store.replica(rangeOne)?.status()
  const id = behind.core?.store.replica(rangeOne)?.replicaId
  return status?.progress.some(({ replica, match }) => replica === id && match === status.lastIndex) === true
}

async function removalBegins(): Promise<Scenario> {
  const scenario = await Scenario.open(seed, { size, limits: shortLog })
  await scenario.lead(scenario.node(0))
  await scenario.putMany(5)
  askToRemove(scenario, scenario.node(0))
  return scenario
}

function askToRemove(scenario: Scenario, node: SimNode): void {
  const gone = scenario.node(2).name
  void call(scenario.world, scenario.prng, node.name, core => core.localStore.removeMember(gone), 5_000)
}

/** The others know it, and it was told and has ended, or its disks have forgotten its replica. */
function isRemoved(scenario: Scenario): boolean {
  const { core, engineDisk, logFiles, failure } = scenario.node(2)
  if (isKvError(failure, 'removed')) return isOutOfRange(scenario)
  return (
    isOutOfRange(scenario) &&
    core !== undefined &&
    core.store.replica(rangeOne) === undefined &&
    engineDisk.pairs().has(`nremoved/${rangeOne}`) &&
    !engineDisk.isWriting &&
    logFiles.inFlightCount === 0
  )
}

function isOutOfRange(scenario: Scenario): boolean {
  const gone = scenario.node(2).name
  const leader = scenario.world.leader()
  const replica = leader?.core?.store.replica(rangeOne)
  return (
    replica !== undefined &&
    leader?.name !== gone &&
    replica.status().configuration.votersOutgoing.length === 0 &&
    replica.descriptor.replicas.every(member => member.node !== gone)
  )
}

/** An operator asks again until it is done, wipes the node and lets it join anew. */
async function removeAndJoin(scenario: Scenario): Promise<void> {
  const { world } = scenario
  for (let attempt = 0; !isOutOfRange(scenario) && attempt < 10; attempt++) {
    const leader = world.leader()
    if (leader !== undefined) askToRemove(scenario, leader)
    await world.run(world.nowMs + 2_000, () => isOutOfRange(scenario))
  }
  await scenario.putMany(2)
  const gone = scenario.node(2)
  gone.wipe()
  gone.start()
  await end(scenario)
}

async function initBegins(): Promise<Scenario> {
  const scenario = Scenario.create(seed, { size, limits: shortLog })
  const { world } = scenario
  for (const node of world.nodes) node.start()
  await world.until('all nodes are up', limitMs, () => world.nodes.every(node => node.core !== undefined))
  askToInit(scenario)
  return scenario
}

function askToInit(scenario: Scenario): void {
  const first = scenario.node(0)
  void call(scenario.world, scenario.prng, first.name, core => core.cluster.init(), 8_000)
}

function isMade(scenario: Scenario): boolean {
  const first = scenario.node(0)
  return first.core?.localStore.nodes().some(({ id }) => id === first.name) === true
}

function areAllIn(scenario: Scenario): boolean {
  const replica = scenario.world.leader()?.core?.store.replica(rangeOne)
  return replica?.status().configuration.voters.length === size
}

/** Asked again, it is done, or has been done. */
async function initAgain(scenario: Scenario): Promise<void> {
  const { world } = scenario
  askToInit(scenario)
  await world.until('all vote', limitMs, () => areAllIn(scenario))
  await scenario.together(limitMs)
  const known = world.nodes.map(node => node.core?.cluster.nodes().length)
  if (known.some(count => count !== size)) throw new Error(`everybody knows everybody: ${known.join()}`)
  await end(scenario)
}

async function joinBegins(): Promise<Scenario> {
  const scenario = Scenario.create(seed, { size, limits: shortLog })
  const { world } = scenario
  const [first, second, third] = [scenario.node(0), scenario.node(1), scenario.node(2)]
  first.start()
  second.start()
  await world.until('two nodes are up', limitMs, () => first.core !== undefined && second.core !== undefined)
  askToInit(scenario)
  await world.until('two vote', limitMs, () => {
    const replica = world.leader()?.core?.store.replica(rangeOne)
    return replica?.status().configuration.voters.length === 2
  })
  // What the third one gets is several chunks.
  scenario.valueBytes = 60_000
  await scenario.putMany(10)
  scenario.valueBytes = 0
  third.start()
  return scenario
}

async function untilAllIn(scenario: Scenario): Promise<void> {
  await scenario.world.until('all vote', limitMs, () => areAllIn(scenario))
  await end(scenario)
}

const lastNode = (scenario: Scenario): SimNode => scenario.node(2)
const firstNode = (scenario: Scenario): SimNode => scenario.node(0)

export const stories = {
  'a snapshot comes in, and its receiver crashes': {
    begin: snapshotBegins,
    victim: lastNode,
    isOver: isCaughtUp,
    goOn: end,
  },
  'a snapshot comes in, and its sender crashes': {
    begin: snapshotBegins,
    victim: firstNode,
    isOver: isCaughtUp,
    goOn: end,
  },
  'a member is removed, and crashes': {
    begin: removalBegins,
    victim: lastNode,
    isOver: isRemoved,
    goOn: removeAndJoin,
  },
  'a member is removed, and the leader crashes': {
    begin: removalBegins,
    victim: firstNode,
    isOver: isRemoved,
    goOn: removeAndJoin,
  },
  'a cluster is made, and its first node crashes': {
    begin: initBegins,
    victim: firstNode,
    isOver: isMade,
    goOn: initAgain,
  },
  'a node joins, and crashes': { begin: joinBegins, victim: lastNode, isOver: areAllIn, goOn: untilAllIn },
  'a node joins, and the leader crashes': { begin: joinBegins, victim: firstNode, isOver: areAllIn, goOn: untilAllIn },
} satisfies Readonly<Record<string, Story>>
