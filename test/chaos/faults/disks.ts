// A disk without room. The node says so and takes nothing, or ends at the block that it cannot have, and says why; once there
// is room again it goes on with what it had.

import { readFileSync, statSync } from 'node:fs'
import { type Claim, type Fault, type Stage, isSound, shuffled } from './fault.ts'

const startLimitMs = 30_000
/** As the node says it, and, where it came too fast for that, as Node and LevelDB do. */
const noSpace = /the disk is full|ENOSPC|No space left on device/

export const fullDisk: Fault = {
  name: 'disk full',
  async plan(stage) {
    const candidates = shuffled(stage.prng, [...stage.disks])
    const isReached = (name: string): boolean => linksTo(stage, name).every(stage.isFree)
    const [name, disk] = candidates.find(([node]) => isSound(stage, stage.cluster.node(node)) && isReached(node)) ?? []
    if (name === undefined || disk === undefined) return undefined
    const node = stage.cluster.node(name)
    const logged = statSync(node.logPath).size
    return {
      describe: name,
      // Who is cut off has nothing to write, and needs no room.
      claims: [`process:${name}`, ...linksTo(stage, name)],
      impaired: [name],
      showsWithinMs: 15_000,
      async inject() {
        disk.fill()
        return true
      },
      async verify() {
        return noSpace.test(readFileSync(node.logPath).subarray(logged).toString())
      },
      async heal() {
        disk.free()
        // It still runs, unless it met the end of the disk before it looked.
        node.start()
        await node.untilLive(startLimitMs)
      },
    }
  },
}

/** The ways by which the others reach the node. */
function linksTo({ cluster }: Stage, name: string): Claim[] {
  const others = cluster.nodes.filter(node => node.name !== name)
  return others.map((other): Claim => `link:${cluster.link(other.name, name).name}`)
}
