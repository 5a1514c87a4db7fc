// Wall clocks that are wrong: by a little, which the cluster must live with; by much, which costs the node its part in the
// cluster, and the cluster nothing else (DESIGN.md 8). The effect is read off the node's own HTTP Date header.

import type { Prng } from '../../../src/base/prng.ts'
import { until } from '../../support/until.ts'
import { between, type Fault, isSound, leaderNow, pick, soundNodes, type Stage } from './fault.ts'
import { observedOffsetMs } from './fake-clocks.ts'

const toleranceMs = 80
const recoveryLimitMs = 30_000

interface Shift {
  readonly offsetMs: number
  /** So far off that the others and it do not speak. */
  readonly isWild: boolean
}

function wrongClock(name: string, draw: (prng: Prng) => Shift): Fault {
  return {
    name,
    async plan(stage) {
      const { cluster, clocks } = stage
      const leader = pick(stage.prng, [true, false]) ? await leaderNow(stage) : undefined
      const node = leader !== undefined && isSound(stage, leader) ? leader : soundNodes(stage)[0]
      if (node === undefined) return undefined
      const { offsetMs, isWild } = draw(stage.prng)
      return {
        describe: `${node.name} ${offsetMs > 0 ? '+' : ''}${offsetMs} ms`,
        claims: [`clock:${node.name}`],
        impaired: isWild ? [node.name] : [],
        ...(isWild && { lastsMaxMs: 3_000 }),
        showsWithinMs: 10_000,
        async inject() {
          clocks.set(node.name, offsetMs)
          return true
        },
        async verify() {
          return Math.abs((await observedOffsetMs(node)) - offsetMs) < toleranceMs
        },
        async heal() {
          clocks.set(node.name, 0)
          if (!isWild) return
          // What a wild clock has stamped keeps the node away until true time has come so far.
          await until(`${node.name} is heard again`, () => isHeard(stage, node.name), {
            limitMs: Math.max(0, offsetMs) + recoveryLimitMs,
            intervalMs: 200,
          })
        },
      }

      async function isHeard({ isFree }: Stage, wild: string): Promise<boolean> {
        // Whoever was killed or paused meanwhile is not heard for that.
        if (!isFree(`process:${wild}`)) return true
        const others = cluster.others(wild).filter(other => other.isRunning && isFree(`process:${other.name}`))
        const views = await Promise.all(others.map(other => other.client.status(true).catch(() => undefined)))
        return views.some(view => view?.nodes.some(({ record, live }) => record?.id === wild && live))
      }
    },
  }
}

export const wrongClocks: readonly Fault[] = [
  wrongClock('clock a little off', prng => ({
    offsetMs: between(prng, 150, 240) * pick(prng, [-1, 1]),
    isWild: false,
  })),
  wrongClock('clock jumps back', prng => ({ offsetMs: -pick(prng, [2_000, 60_000, 3_600_000]), isWild: true })),
  wrongClock('clock jumps ahead', prng => ({ offsetMs: between(prng, 1_000, 4_000), isWild: true })),
]
