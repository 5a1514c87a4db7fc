// Processes that die at once, and processes that stop and go on: SIGKILL of one, two and all, SIGSTOP and SIGCONT.

import { readFileSync } from 'node:fs'
import type { NodeProcess } from '../../support/node-process.ts'
import { between, type Claim, type Fault, leaderNow, soundNodes, type Stage } from './fault.ts'
import { probe } from './probe.ts'

const startLimitMs = 30_000

function kill(name: string, choose: (stage: Stage) => Promise<readonly NodeProcess[]>): Fault {
  return {
    name,
    async plan(stage) {
      const victims = await choose(stage)
      if (victims.length === 0) return undefined
      return {
        describe: victims.map(node => node.name).join(' '),
        claims: victims.map((node): Claim => `process:${node.name}`),
        impaired: victims.map(node => node.name),
        async inject() {
          await Promise.all(victims.map(node => node.kill()))
          return true
        },
        async verify() {
          const probes = await Promise.all(victims.map(node => probe(node.place.client)))
          return victims.every(node => !node.isRunning) && probes.every(({ outcome }) => outcome === 'refused')
        },
        async heal() {
          for (const node of victims) node.start()
          await Promise.all(victims.map(node => node.untilLive(startLimitMs)))
        },
      }
    },
  }
}

const isFreeToKill = (stage: Stage): NodeProcess[] =>
  soundNodes({ ...stage, isFree: claim => claim.startsWith('clock:') || stage.isFree(claim) })

/** /proc/PID/stat: the state follows the name in brackets, which may hold anything. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
}

function pause(name: string, choose: (stage: Stage) => Promise<NodeProcess | undefined>): Fault {
  return {
    name,
    async plan(stage) {
      const victim = await choose(stage)
      const pid = victim?.pid
      if (victim === undefined || pid === undefined) return undefined
      return {
        describe: victim.name,
        claims: [`process:${victim.name}`],
        impaired: [victim.name],
        lastsMaxMs: between(stage.prng, 1, 10) * stage.electionTimeoutMs,
        async inject() {
          victim.pause()
          return true
        },
        async verify() {
          return stateOf(pid) === 'T'
        },
        async heal() {
          victim.resume()
        },
      }
    },
  }
}

async function freeLeader(stage: Stage): Promise<NodeProcess | undefined> {
  const leader = await leaderNow(stage)
  return leader !== undefined && stage.isFree(`process:${leader.name}`) ? leader : undefined
}

export const processFaults: readonly Fault[] = [
  kill('kill one', async stage => isFreeToKill(stage).slice(0, 1)),
  kill('kill the leader', async stage => [(await freeLeader(stage)) ?? []].flat()),
  kill('kill two', async stage => {
    const victims = isFreeToKill(stage).slice(0, 2)
    return victims.length === 2 ? victims : []
  }),
  kill('kill all', async stage => {
    const victims = isFreeToKill(stage)
    return victims.length === stage.cluster.nodes.length ? victims : []
  }),
  pause('pause one', async stage => isFreeToKill(stage)[0]),
  pause('pause the leader', freeLeader),
]
