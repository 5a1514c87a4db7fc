// Rows that rot in the engine of a node that runs on. Nobody helps it: a read, a flush, a snapshot or a checksum finds the damage,
// and its peers rebuild it.

import type { Prng } from '../../src/base/prng.ts'
import { apartPrefixes } from '../../src/engine/engine.ts'
import { quarantineKey } from '../../src/range/quarantine-marker.ts'
import { rangeOne } from '../../src/range/store.ts'
import { call } from './client.ts'
import type { Fault } from './faults.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const readEveryMs = 2_000

interface Rot {
  readonly node: SimNode
  readonly key: string
  readonly bytes: string
}

export class RottenRows {
  readonly #world: World
  readonly #prng: Prng
  #rot: Rot | undefined

  constructor(world: World, prng: Prng) {
    this.#world = world
    this.#prng = prng
  }

  /** Whose rows are rotten, or who is not rebuilt yet. */
  get node(): SimNode | undefined {
    if (this.#rot === undefined) return undefined
    const { node, key, bytes } = this.#rot
    const replica = node.core?.store.replica(rangeOne)
    const pairs = node.engineDisk.pairs()
    const isSick = replica === undefined || replica.isQuarantined || pairs.has(quarantineKey(rangeOne))
    if (isSick || textOf(pairs.get(key)) === bytes) return node
    this.#rot = undefined
    return undefined
  }

  /** What was done, to whom; undefined: it does not fit now. */
  rot(node: SimNode, dice: Fault['dice']): string | undefined {
    const keys = [...node.engineDisk.pairs().keys()].filter(key => key.startsWith(apartPrefixes.rows)).sort()
    if (keys.length === 0 || node.core === undefined) return undefined
    const key = keys[dice[1] % keys.length] as string
    node.engineDisk.corrupt(key, bytes => {
      const at = dice[2] % Math.max(1, bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (dice[1] % 8))
    })
    this.#rot = { node, key, bytes: textOf(node.engineDisk.pairs().get(key)) }
    this.#readOn()
    return `${node.name} ${JSON.stringify(key)}`
  }

  /** All replicas read all their rows, again and again, until what rotted is found and rebuilt, or overwritten. */
  #readOn(): void {
    if (this.node === undefined) return
    const leader = this.#world.leader()
    if (leader !== undefined)
      void call(
        this.#world,
        this.#prng,
        leader.name,
        ({ localStore, store }) => localStore.checksum(rangeOne, undefined, store.clock.monotonicMs() + readEveryMs),
        readEveryMs,
      )
    this.#world.scheduler.after(readEveryMs, () => this.#readOn())
  }
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('latin1')
}
