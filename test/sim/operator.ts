// What an operator of the simulated cluster does about its members: asks whoever leads, and gets a removed node back in.

import { isKvError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { NodeCore } from '../../src/node-core.ts'
import type { AdminAnswer } from '../../src/range/local-store.ts'
import { rangeOne } from '../../src/range/store.ts'
import { call } from './client.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const askMs = 5_000
const bringBackEveryMs = 1_000

/** Whoever is told that another leads asks there, up to `attempts` times in all. */
export function askLeader(
  world: World,
  prng: Prng,
  work: (core: NodeCore) => Promise<AdminAnswer>,
  attempts: number,
): void {
  const leader = world.leader()
  if (leader === undefined || attempts === 0) return
  void call(world, prng, leader.name, work, askMs).then(({ value }) => {
    if (value?.kind === 'not-leader') askLeader(world, prng, work, attempts - 1)
  })
}

/**
 * From now on, to the end of the run: a removal that was in doubt may be carried out late, and the node is told so. It comes back
 * wiped, or as it was, once an operator has let it in; `isBack` is called while that store is a member.
 */
export function bringBack(world: World, prng: Prng, node: SimNode, isWiped: boolean, isBack: () => void): void {
  const replica = world.leader()?.core?.store.replica(rangeOne)
  const isMember = replica?.descriptor.replicas.some(member => member.storeId === node.storeId) === true
  if (!isWiped && isMember) isBack()
  if (isKvError(node.failure, 'removed') && !node.isRunning) {
    if (isWiped) node.wipe()
    else askLeader(world, prng, core => core.localStore.readmitMember(node.name), 1)
    node.start()
  }
  world.scheduler.after(bringBackEveryMs, () => bringBack(world, prng, node, isWiped, isBack))
}
